import type { Connection, Consumer } from 'rabbitmq-client'
import { type Message, type OnBusError, PATIENCE_MS, tellAll } from './bus.ts'
import { type Sender, wantedFor, within } from './rabbit-sender.ts'
import { routeOf, Subscribers } from './subscribers.ts'

export const EVENTS = 'yun.events'
/** Of one message: all of its header goes in one frame. */
const MOST_ROUTES = 200

/** The events that one process tells and hears: one queue of its own, bound to what it listens to. */
export class RabbitEvents {
  private readonly connection: Connection
  private readonly sender: Sender
  private readonly queue: string
  private readonly onError: OnBusError
  private readonly subscribers = new Subscribers()
  private readonly bindings: { exchange: string; queue: string; routingKey: string }[] = []
  private readonly beingBound = new Set<Promise<void>>()

  constructor(connection: Connection, sender: Sender, queue: string, onError: OnBusError) {
    this.connection = connection
    this.sender = sender
    this.queue = queue
    this.onError = onError
  }

  consume(queueOptions: { exclusive: boolean; autoDelete: boolean }): Consumer {
    return this.connection.createConsumer(
      {
        queue: this.queue,
        queueOptions,
        noAck: true,
        exchanges: [{ exchange: EVENTS, type: 'direct', durable: true }],
        queueBindings: this.bindings, // grows: a new connection binds what was bound before
      },
      (message) => this.hear(message.routingKey, message.headers?.CC ?? [], message.body),
    )
  }

  publish<In>({ name }: Message<In, void>, payload: In, about: string[] = []): void {
    const text = JSON.stringify(payload)
    for (let i = 0; i === 0 || i < about.length; i += MOST_ROUTES) {
      const routes = about.slice(i, i + MOST_ROUTES).map((one) => routeOf(name, one))
      const headers = routes.length > 0 ? { CC: routes } : undefined // the broker sends it these ways, too, and to each queue once
      this.sender
        .send({ exchange: EVENTS, routingKey: name, headers }, text, wantedFor(PATIENCE_MS))
        .catch((error) => this.onError(error, `event ${name}`))
    }
  }

  subscribe<In>({ name }: Message<In, void>, handler: (payload: In) => void, about?: string): () => void {
    const route = routeOf(name, about)
    if (this.subscribers.add(route, handler)) this.bind(route)
    return () => {
      if (!this.subscribers.remove(route, handler)) return
      const index = this.bindings.findIndex((one) => one.routingKey === route)
      const [binding] = this.bindings.splice(index, 1)
      if (binding && this.connection.ready) this.connection.queueUnbind(binding).catch((error) => this.onError(error, `event ${route}`))
    }
  }

  /** Resolves when the broker knows all that was subscribed to, or after so many ms. */
  async bound(ms: number): Promise<void> {
    if (this.beingBound.size > 0) await within(ms, Promise.all(this.beingBound))
  }

  private bind(route: string): void {
    const binding = { exchange: EVENTS, queue: this.queue, routingKey: route }
    this.bindings.push(binding)
    if (!this.connection.ready) return
    const bound: Promise<void> = this.connection
      .queueBind(binding)
      .catch((error) => this.onError(error, `event ${route}`))
      .finally(() => this.beingBound.delete(bound))
    this.beingBound.add(bound)
  }

  private hear(name: string, routes: string[], body: unknown): void {
    const payload = typeof body === 'string' || Buffer.isBuffer(body) ? JSON.parse(String(body)) : body
    tellAll(this.subscribers.on([name, ...routes]), payload, (error) => this.onError(error, name))
  }
}
