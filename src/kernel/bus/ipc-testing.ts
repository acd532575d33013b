import type { ChildProcess } from 'node:child_process'
import type { Bus } from './bus.ts'
import type { Channel, Frame } from './frames.ts'
import { HubBus, joinBus } from './hub.ts'

/** Joins a child process that was started with an IPC channel to the bus of this one: for agents that must live in another host of a lab. */
export function joinChild(bus: Bus, child: ChildProcess): void {
  joinBus(bus, {
    send: (frame) => void (child.connected && child.send(frame)),
    onFrame: (hear) => void child.on('message', (frame) => hear(frame as Frame)),
    onClose: (gone) => void child.on('exit', gone),
  })
}

/** The other end, in the child. */
export function parentBus(): Bus {
  const channel: Channel = {
    send: (frame) => void process.send!(frame),
    onFrame: (hear) => void process.on('message', (frame) => hear(frame as Frame)),
    onClose: (gone) => void process.on('disconnect', gone),
  }
  const bus = new HubBus(
    () => {},
    () => 'parent',
  )
  bus.attach(channel)
  return bus
}
