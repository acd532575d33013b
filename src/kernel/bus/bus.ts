import { describe, Fault, revive, unavailable } from '../errors/errors.ts'

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
}

/** Topics with receivers (call, cast) and events that all subscribers hear (publish). At least once: receivers are idempotent. */
export interface Bus {
  call<In, Out>(topic: string, message: Message<In, Out>, payload: In, options?: CallOptions): Promise<Out>
  cast<In>(topic: string, message: Message<In, unknown>, payload: In, options?: CallOptions): Promise<void>
  /** One receiver of a topic's messages of this kind; returns how to stop. */
  serve<In, Out>(topic: string, message: Message<In, Out>, handler: Handler<In, Out>): () => void
  publish<In>(event: Message<In, void>, payload: In): void
  subscribe<In>(event: Message<In, void>, handler: (payload: In) => void): () => void
  close(): Promise<void>
}

const copy = <T>(value: T): T => (value === undefined ? value : JSON.parse(JSON.stringify(value)))

/** The bus of a cloud that is one process. */
export class MemoryBus implements Bus {
  private readonly receivers = new Map<string, Handler<any, any>>()
  private readonly subscribers = new Map<string, Set<(payload: any) => void>>()
  private readonly answers = new Map<string, Promise<unknown>>()
  private readonly onError: (error: unknown, where: string) => void

  constructor(onError: (error: unknown, where: string) => void = () => {}) {
    this.onError = onError
  }

  async call<In, Out>(topic: string, message: Message<In, Out>, payload: In, options: CallOptions = {}): Promise<Out> {
    const handler = this.receivers.get(`${topic} ${message.name}`)
    if (!handler) throw unavailable(`nobody serves "${message.name}" on ${topic}: is that host's process running?`, 'NoReceiver')
    const timeoutMs = options.timeoutMs ?? 60_000
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Fault(504, 'MessagingTimeout', `no answer to "${message.name}" from ${topic} within ${timeoutMs} ms`)),
        timeoutMs,
      )
    })
    try {
      return copy(await Promise.race([this.once(topic, message.name, handler, copy(payload), options), late])) as Out
    } catch (error) {
      throw error instanceof Fault ? revive(describe(error)) : error
    } finally {
      clearTimeout(timer)
    }
  }

  private once(topic: string, name: string, handler: Handler<any, any>, payload: unknown, options: CallOptions): Promise<unknown> {
    const run = async () => await handler(payload, { topic, requestId: options.requestId, key: options.key })
    if (!options.key) return run()
    const id = `${topic} ${name} ${options.key}`
    const known = this.answers.get(id)
    if (known) return known
    const answer = run()
    this.answers.set(id, answer)
    answer.then(
      () => this.forget(),
      () => this.answers.delete(id), // a failure may be tried again
    )
    return answer
  }

  private forget(): void {
    if (this.answers.size > 4096) for (const id of [...this.answers.keys()].slice(0, 1024)) this.answers.delete(id)
  }

  async cast<In>(topic: string, message: Message<In, unknown>, payload: In, options: CallOptions = {}): Promise<void> {
    const handler = this.receivers.get(`${topic} ${message.name}`)
    if (!handler) throw unavailable(`nobody serves "${message.name}" on ${topic}`, 'NoReceiver')
    const sent = copy(payload)
    setImmediate(() =>
      this.once(topic, message.name, handler, sent, options).catch((error) => this.onError(error, `${topic} ${message.name}`)),
    )
  }

  serve<In, Out>(topic: string, message: Message<In, Out>, handler: Handler<In, Out>): () => void {
    const id = `${topic} ${message.name}`
    this.receivers.set(id, handler)
    return () => {
      if (this.receivers.get(id) === handler) this.receivers.delete(id)
    }
  }

  publish<In>(event: Message<In, void>, payload: In): void {
    for (const handler of this.subscribers.get(event.name) ?? []) {
      const sent = copy(payload)
      setImmediate(() => {
        try {
          const result = handler(sent) as unknown
          if (result instanceof Promise) result.catch((error) => this.onError(error, event.name))
        } catch (error) {
          this.onError(error, event.name)
        }
      })
    }
  }

  subscribe<In>(event: Message<In, void>, handler: (payload: In) => void): () => void {
    const handlers = this.subscribers.get(event.name) ?? new Set()
    this.subscribers.set(event.name, handlers.add(handler))
    return () => handlers.delete(handler)
  }

  async close(): Promise<void> {
    this.receivers.clear()
    this.subscribers.clear()
  }
}
