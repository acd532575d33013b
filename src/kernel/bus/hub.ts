import { forbidden } from '../errors/errors.ts'
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
import { type Answer, answered, answerOf, type Channel, type Frame } from './frames.ts'
import { ReceiverGone } from './memory.ts'
import { routeOf, Subscribers } from './subscribers.ts'

/** What a process at the other end of a channel may do on the bus. */
export interface Leave {
  serve(topic: string): boolean
  call(topic: string): boolean
  publish(event: string): boolean
}

const ALL: Leave = { serve: () => true, call: () => true, publish: () => true }

/** Makes the process at the other end a part of `bus`: it serves, asks, tells and hears as if it were here. */
export function joinBus(bus: Bus, channel: Channel, leave: Leave = ALL): void {
  const asked = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>()
  const stops = new Map<string, () => void>()
  let last = 0
  const forward = (topic: string, name: string): Handler<unknown, unknown> => {
    return async (payload, { key, requestId }) => {
      const id = ++last
      const answer = await new Promise<Answer>((resolve, reject) => {
        asked.set(id, { resolve, reject })
        channel.send({ do: 'call', id, topic, name, payload, key, requestId })
      })
      return answered(answer)
    }
  }
  const hold = (id: string, stop: () => void) => {
    stops.get(id)?.()
    stops.set(id, stop)
  }
  channel.onFrame((frame) => {
    if (frame.do === 'answer') {
      asked.get(frame.id)?.resolve(frame)
      asked.delete(frame.id)
    } else if (frame.do === 'call' || frame.do === 'cast') {
      void passOn(bus, channel, frame, leave)
    } else if (frame.do === 'event') {
      if (leave.publish(frame.name)) bus.publish({ name: frame.name }, frame.payload, frame.about)
    } else if (frame.do === 'serve') {
      if (leave.serve(frame.topic))
        hold(
          `serve ${frame.topic} ${frame.name}`,
          bus.serve(frame.topic, { name: frame.name }, forward(frame.topic, frame.name), { elsewhere: true }),
        )
    } else if (frame.do === 'subscribe') {
      const { name, about } = frame
      const told = about === undefined ? { name } : { name, about: [about] }
      hold(
        `subscribe ${routeOf(name, about)}`,
        bus.subscribe({ name }, (payload) => channel.send({ do: 'event', ...told, payload }), about),
      )
    } else {
      const id = 'topic' in frame ? `serve ${frame.topic} ${frame.name}` : `subscribe ${routeOf(frame.name, frame.about)}`
      stops.get(id)?.()
      stops.delete(id)
    }
  })
  channel.onClose(() => {
    for (const stop of stops.values()) stop()
    for (const { reject } of asked.values()) reject(new ReceiverGone())
    asked.clear()
  })
}

async function passOn(bus: Bus, channel: Channel, frame: Extract<Frame, { do: 'call' | 'cast' }>, leave: Leave): Promise<void> {
  const { id, topic, name, payload, key, requestId } = frame
  const answer = await answerOf(() => {
    if (!leave.call(topic)) throw forbidden(`this process may not send to ${topic}`)
    const options = { key, requestId, inTransit: true }
    return frame.do === 'cast'
      ? bus.cast(topic, { name }, payload, options)
      : bus.call(topic, { name }, payload, { ...options, timeoutMs: frame.timeoutMs })
  })
  channel.send({ do: 'answer', id, ...answer })
}

interface Asked {
  frame: Frame
  settle: (answer: Answer) => void
}

/** The bus of a process whose hub is elsewhere. It may lose its channel and get another: what was asked is asked again, and receivers are made known again. */
export class HubBus implements Bus {
  private channel: Channel | undefined
  private readonly receivers = new Map<string, Handler<any, any>>()
  private readonly subscribers = new Subscribers()
  private readonly asked = new Map<number, Asked>()
  private readonly once = new DoneOnce()
  private readonly onError: OnBusError
  private readonly hub: () => string
  private last = 0

  constructor(onError: OnBusError, hub: () => string) {
    this.onError = onError
    this.hub = hub
  }

  /** From now on this is the way to the hub. */
  attach(channel: Channel): void {
    this.channel = channel
    channel.onFrame((frame) => void this.hear(channel, frame))
    channel.onClose(() => {
      if (this.channel === channel) this.channel = undefined
    })
    for (const id of this.receivers.keys()) channel.send({ do: 'serve', ...partsOf(id) })
    for (const route of this.subscribers.all()) channel.send({ do: 'subscribe', ...subscriptionOf(route) })
    for (const { frame } of this.asked.values()) channel.send(frame)
  }

  private async hear(channel: Channel, frame: Frame): Promise<void> {
    if (frame.do === 'answer') return void this.asked.get(frame.id)?.settle(frame)
    if (frame.do === 'event') {
      const { name, about, payload } = frame
      const routes = about?.map((one) => routeOf(name, one)) ?? [name]
      tellAll(this.subscribers.on(routes), payload, (error) => this.onError(error, name))
    } else if (frame.do === 'call') {
      const { topic, name, payload, key, requestId } = frame
      const handler = this.receivers.get(`${topic} ${name}`)
      const answer = await answerOf(() => {
        if (!handler) throw noReceiver(topic, name)
        return this.once.run(`${topic} ${name}`, key, async () => await handler(payload, { topic, key, requestId }))
      })
      channel.send({ do: 'answer', id: frame.id, ...answer })
    }
  }

  async call<In, Out>(topic: string, { name }: Message<In, Out>, payload: In, options: CallOptions = {}): Promise<Out> {
    const timeoutMs = options.timeoutMs ?? PATIENCE_MS
    const { key, requestId } = options
    return (await this.ask({ do: 'call', id: ++this.last, topic, name, payload, key, requestId, timeoutMs }, timeoutMs)) as Out
  }

  async cast<In>(topic: string, { name }: Message<In, unknown>, payload: In, options: CallOptions = {}): Promise<void> {
    const { key, requestId } = options
    await this.ask({ do: 'cast', id: ++this.last, topic, name, payload, key, requestId }, PATIENCE_MS)
  }

  private async ask(frame: Extract<Frame, { do: 'call' | 'cast' }>, timeoutMs: number): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined
    try {
      return answered(
        await new Promise<Answer>((resolve, reject) => {
          timer = setTimeout(() => reject(noAnswer(frame.topic, frame.name, timeoutMs)), timeoutMs)
          this.asked.set(frame.id, { frame, settle: resolve })
          this.channel?.send(frame)
        }),
      )
    } finally {
      clearTimeout(timer)
      this.asked.delete(frame.id)
    }
  }

  serve<In, Out>(topic: string, { name }: Message<In, Out>, handler: Handler<In, Out>): () => void {
    const id = `${topic} ${name}`
    this.receivers.set(id, handler)
    this.channel?.send({ do: 'serve', topic, name })
    return () => {
      if (this.receivers.get(id) !== handler) return
      this.receivers.delete(id)
      this.channel?.send({ do: 'unserve', topic, name })
    }
  }

  publish<In>({ name }: Message<In, void>, payload: In, about?: string[]): void {
    this.channel?.send({ do: 'event', name, payload, about })
  }

  subscribe<In>({ name }: Message<In, void>, handler: (payload: In) => void, about?: string): () => void {
    const route = routeOf(name, about)
    if (this.subscribers.add(route, handler)) this.channel?.send({ do: 'subscribe', name, about })
    return () => {
      if (this.subscribers.remove(route, handler)) this.channel?.send({ do: 'unsubscribe', name, about })
    }
  }

  async stats(): Promise<BusStats> {
    return { kind: 'socket', nodes: [{ name: this.hub(), state: this.channel ? 'in use' : 'does not answer' }], queues: [] }
  }

  async close(): Promise<void> {
    this.receivers.clear()
    this.subscribers.clear()
    this.channel = undefined
  }
}

function subscriptionOf(route: string): { name: string; about?: string } {
  const { topic, name } = partsOf(route)
  return route.includes(' ') ? { name: topic, about: name } : { name: route }
}

const partsOf = (id: string) => ({ topic: id.slice(0, id.indexOf(' ')), name: id.slice(id.indexOf(' ') + 1) })
