import type { ChildProcess } from 'node:child_process'
import { describe, revive } from '../errors/errors.ts'
import type { Bus, CallOptions, Handler, Message } from './bus.ts'

/** A bus between a test and a process that it started with an IPC channel, for agents that must live in another host of a lab. */
type Frame =
  | { do: 'call'; id: number; topic: string; name: string; payload: unknown; timeoutMs?: number }
  | { do: 'serve'; topic: string; name: string }
  | { do: 'subscribe'; name: string }
  | { do: 'event'; name: string; payload: unknown }
  | { do: 'answer'; id: number; answer?: unknown; error?: ReturnType<typeof describe> }

interface Channel {
  send(frame: Frame): void
  on(hear: (frame: Frame) => void): void
}

class Peer {
  private readonly channel: Channel
  private readonly waiting = new Map<number, (frame: Extract<Frame, { do: 'answer' }>) => void>()
  private next = 1

  constructor(channel: Channel, hear: (frame: Exclude<Frame, { do: 'answer' }>) => Promise<unknown> | unknown) {
    this.channel = channel
    channel.on((frame) => {
      if (frame.do === 'answer') return void this.waiting.get(frame.id)?.(frame)
      Promise.resolve()
        .then(() => hear(frame))
        .then(
          (answer) => frame.do === 'call' && channel.send({ do: 'answer', id: frame.id, answer }),
          (error) => frame.do === 'call' && channel.send({ do: 'answer', id: frame.id, error: describe(error) }),
        )
    })
  }

  ask(topic: string, name: string, payload: unknown, timeoutMs?: number): Promise<any> {
    const id = this.next++
    return new Promise((resolve, reject) => {
      this.waiting.set(id, ({ answer, error }) => {
        this.waiting.delete(id)
        error ? reject(revive(error)) : resolve(answer)
      })
      this.channel.send({ do: 'call', id, topic, name, payload, timeoutMs })
    })
  }

  send(frame: Frame): void {
    this.channel.send(frame)
  }
}

/** Joins a child process to the bus of this one. */
export function joinBus(bus: Bus, child: ChildProcess): void {
  const stops: (() => void)[] = []
  const peer = new Peer(
    { send: (frame) => child.connected && child.send(frame), on: (hear) => child.on('message', hear as (frame: unknown) => void) },
    (frame) => {
      const message: Message<any, any> = { name: frame.name }
      if (frame.do === 'call') return bus.call(frame.topic, message, frame.payload, { timeoutMs: frame.timeoutMs })
      if (frame.do === 'serve') stops.push(bus.serve(frame.topic, message, (payload) => peer.ask(frame.topic, frame.name, payload)))
      if (frame.do === 'subscribe') stops.push(bus.subscribe(message, (payload) => peer.send({ do: 'event', name: frame.name, payload })))
      if (frame.do === 'event') bus.publish(message, frame.payload)
    },
  )
  child.on('exit', () => {
    for (const stop of stops) stop()
  })
}

/** The other end, in the child. */
export function parentBus(): Bus {
  const handlers = new Map<string, Handler<any, any>>()
  const subscribers = new Map<string, Set<(payload: any) => void>>()
  const peer = new Peer(
    { send: (frame) => void process.send!(frame), on: (hear) => process.on('message', hear as (frame: unknown) => void) },
    (frame) => {
      if (frame.do === 'call') return handlers.get(`${frame.topic} ${frame.name}`)!(frame.payload, { topic: frame.topic })
      if (frame.do === 'event') for (const handler of subscribers.get(frame.name) ?? []) handler(frame.payload)
    },
  )
  const call = <In, Out>(topic: string, { name }: Message<In, Out>, payload: In, { timeoutMs }: CallOptions = {}) =>
    peer.ask(topic, name, payload, timeoutMs)
  return {
    call,
    cast: async (topic, message, payload, options) => void call(topic, message, payload, options).catch(() => {}),
    serve(topic, { name }, handler) {
      handlers.set(`${topic} ${name}`, handler)
      peer.send({ do: 'serve', topic, name })
      return () => handlers.delete(`${topic} ${name}`)
    },
    publish: ({ name }, payload) => peer.send({ do: 'event', name, payload }),
    subscribe({ name }, handler) {
      const all = subscribers.get(name) ?? new Set()
      if (all.size === 0) peer.send({ do: 'subscribe', name })
      subscribers.set(name, all.add(handler))
      return () => all.delete(handler)
    },
    close: async () => process.disconnect?.(),
  }
}
