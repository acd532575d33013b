import { Fault, unavailable } from '../errors/errors.ts'

/** A typed message: what goes in and what comes back. Payloads are JSON; nothing is shared between sender and receiver. */
export interface Message<In, Out> {
  readonly name: string
  /** Only for the compiler. */
  readonly types?: { in: In; out: Out }
}

export const message = <In, Out = void>(name: string): Message<In, Out> => ({ name })

export interface Delivery {
  topic: string
  requestId?: string
  /** The sender's key for this very message: a repeat has the same one. */
  key?: string
}

export type Handler<In, Out> = (payload: In, delivery: Delivery) => Promise<Out> | Out

export interface CallOptions {
  /** ms to wait for the answer (default 60 000). */
  timeoutMs?: number
  /** Makes a repeat harmless: the receiver answers a known key with what it answered before. */
  key?: string
  requestId?: string
  /** The payload comes off a wire and the answer goes onto one: neither is anybody's here, and neither is copied. */
  inTransit?: boolean
}

/** Topics with receivers (call, cast) and events that all subscribers hear (publish). At least once: receivers are idempotent. */
export interface Bus {
  call<In, Out>(topic: string, message: Message<In, Out>, payload: In, options?: CallOptions): Promise<Out>
  /** Returns when the message is in safe hands. */
  cast<In>(topic: string, message: Message<In, unknown>, payload: In, options?: CallOptions): Promise<void>
  /**
   * One receiver of a topic's messages of this kind; returns how to stop. Several processes that serve one topic share its messages.
   * `elsewhere`: the handler only sends on, at once, what it is given, and what it answers came over a wire.
   */
  serve<In, Out>(topic: string, message: Message<In, Out>, handler: Handler<In, Out>, of?: { elsewhere?: boolean }): () => void
  /** `about`: what it speaks of, by id, for those who hear of some things only. */
  publish<In>(event: Message<In, void>, payload: In, about?: string[]): void
  /**
   * Returns how to stop. `about`: only what is published about this. What is asked (call) after it is answered when it counts: who subscribes and then asks misses nothing.
   * An event that is about several things may be heard once for each.
   */
  subscribe<In>(event: Message<In, void>, handler: (payload: In) => void, about?: string): () => void
  stats(): Promise<BusStats>
  close(): Promise<void>
}

export interface BusStats {
  kind: 'memory' | 'socket' | 'rabbitmq'
  /** The brokers or hubs that it can use. */
  nodes: { name: string; state: 'in use' | 'answers' | 'does not answer' }[]
  /** What waits for its receiver. */
  queues: { topic: string; waiting: number; receivers: number }[]
}

/** What went wrong on the way, with no receiver's fault in it. */
export type OnBusError = (error: unknown, where: string) => void

export const noReceiver = (topic: string, name: string) =>
  unavailable(`nobody serves "${name}" on ${topic}: is that host's process running?`, 'NoReceiver')

export const noAnswer = (topic: string, name: string, timeoutMs: number) =>
  new Fault(504, 'MessagingTimeout', `no answer to "${name}" from ${topic} within ${timeoutMs} ms`)

/** ms that a caller waits unless it says otherwise. */
export const PATIENCE_MS = 60_000

/** One that fails keeps no other from hearing. */
export function tellAll(handlers: Iterable<(payload: any) => unknown>, payload: unknown, onError: (error: unknown) => void): void {
  for (const handler of handlers)
    try {
      const result = handler(payload)
      if (result instanceof Promise) result.catch(onError)
    } catch (error) {
      onError(error)
    }
}
