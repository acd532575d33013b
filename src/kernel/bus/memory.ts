import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, Fault, revive } from '../errors/errors.ts'
import {
  type Bus,
  type BusStats,
  type CallOptions,
  type Handler,
  type Message,
  noAnswer,
  noReceiver,
  type OnBusError,
  PATIENCE_MS,
  tellAll,
} from './bus.ts'
import { DoneOnce } from './done-once.ts'
import { routeOf, Subscribers } from './subscribers.ts'

const copy = <T>(value: T): T => (value === undefined ? value : JSON.parse(JSON.stringify(value)))

function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) frozen(part)
  return Object.freeze(value)
}

interface Receiver {
  handler: Handler<any, any>
  elsewhere: boolean
}

/** Thrown by a receiver that is a process elsewhere and has gone: whoever asked waits for it to come back, as long as the bus has patience. */
export class ReceiverGone extends Error {}

/** The bus of a cloud that is one process, and the middle of one whose hosts are processes of their own (see socket.ts). */
export class MemoryBus implements Bus {
  private readonly receivers = new Map<string, Receiver>()
  private readonly subscribers = new Subscribers()
  private readonly waiting = new Map<string, Set<() => void>>()
  private readonly once = new DoneOnce()
  private readonly onError: OnBusError
  private readonly patienceMs: number
  private closed = false
  /** Whoever hears is no part of what told it, which does not wait for them, nor of its context. */
  private readonly apart = AsyncLocalStorage.snapshot()

  /** `patienceMs`: how long a message waits for a receiver that is not there (yet); in one process there is no need to. */
  constructor(onError: OnBusError = () => {}, { patienceMs = 0 }: { patienceMs?: number } = {}) {
    this.onError = onError
    this.patienceMs = patienceMs
  }

  async call<In, Out>(topic: string, { name }: Message<In, Out>, payload: In, options: CallOptions = {}): Promise<Out> {
    const timeoutMs = options.timeoutMs ?? PATIENCE_MS
    const wired = options.inTransit || this.receivers.get(`${topic} ${name}`)?.elsewhere
    const sent = wired ? payload : copy(payload)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(noAnswer(topic, name, timeoutMs)), timeoutMs)
    })
    try {
      const answer = (await Promise.race([this.deliver(topic, name, sent, options), late])) as Out
      return wired ? answer : copy(answer)
    } catch (error) {
      throw error instanceof Fault ? revive(describe(error)) : error
    } finally {
      clearTimeout(timer)
    }
  }

  private async deliver(topic: string, name: string, payload: unknown, options: CallOptions): Promise<unknown> {
    const id = `${topic} ${name}`
    for (;;) {
      const { handler } = this.receivers.get(id) ?? (await this.comes(topic, name))
      try {
        return await this.once.run(
          id,
          options.key,
          async () => await handler(payload, { topic, requestId: options.requestId, key: options.key }),
        )
      } catch (error) {
        if (!(error instanceof ReceiverGone)) throw error
      }
    }
  }

  private async comes(topic: string, name: string): Promise<Receiver> {
    const id = `${topic} ${name}`
    if (this.patienceMs > 0 && !this.closed)
      await new Promise<void>((resolve) => {
        const set = this.waiting.get(id) ?? new Set()
        const end = () => {
          clearTimeout(timer)
          set.delete(end)
          if (set.size === 0) this.waiting.delete(id)
          resolve()
        }
        const timer = setTimeout(end, this.patienceMs)
        this.waiting.set(id, set.add(end))
      })
    const receiver = this.receivers.get(id)
    if (!receiver) throw noReceiver(topic, name)
    return receiver
  }

  async cast<In>(topic: string, { name }: Message<In, unknown>, payload: In, options: CallOptions = {}): Promise<void> {
    if (!this.receivers.has(`${topic} ${name}`) && this.patienceMs === 0) throw noReceiver(topic, name)
    const sent = options.inTransit ? payload : copy(payload)
    setImmediate(() => this.apart(() => this.deliver(topic, name, sent, options).catch((error) => this.onError(error, `${topic} ${name}`))))
  }

  serve<In, Out>(topic: string, message: Message<In, Out>, handler: Handler<In, Out>, { elsewhere = false } = {}): () => void {
    const id = `${topic} ${message.name}`
    this.receivers.set(id, { handler, elsewhere })
    for (const end of [...(this.waiting.get(id) ?? [])]) end()
    return () => {
      if (this.receivers.get(id)?.handler === handler) this.receivers.delete(id)
    }
  }

  publish<In>(event: Message<In, void>, payload: In, about: string[] = []): void {
    const handlers = this.subscribers.on([event.name, ...about.map((one) => routeOf(event.name, one))])
    if (handlers.length === 0) return
    // a thousand hosts may listen: one copy for all, that none can change
    const sent = frozen(copy(payload))
    setImmediate(() => this.apart(() => tellAll(handlers, sent, (error) => this.onError(error, event.name))))
  }

  subscribe<In>(event: Message<In, void>, handler: (payload: In) => void, about?: string): () => void {
    const route = routeOf(event.name, about)
    this.subscribers.add(route, handler)
    return () => void this.subscribers.remove(route, handler)
  }

  async stats(): Promise<BusStats> {
    const topics = new Map<string, { waiting: number; receivers: number }>()
    const of = (id: string) => {
      const topic = id.slice(0, id.indexOf(' '))
      const known = topics.get(topic) ?? { waiting: 0, receivers: 0 }
      topics.set(topic, known)
      return known
    }
    for (const id of this.receivers.keys()) of(id).receivers = 1
    for (const [id, waiting] of this.waiting) of(id).waiting += waiting.size
    return { kind: 'memory', nodes: [], queues: [...topics].map(([topic, counts]) => ({ topic, ...counts })) }
  }

  /** Who asks from now on hears at once that nobody is there. */
  async close(): Promise<void> {
    this.closed = true
    this.receivers.clear()
    this.subscribers.clear()
    for (const set of this.waiting.values()) for (const end of [...set]) end()
  }
}
