import type { ChildProcess } from 'node:child_process'
import type { Bus } from './bus.ts'
import type { Channel, Frame } from './frames.ts'
import { HubBus, joinBus } from './hub.ts'

/** What is said within one turn of the event loop goes in one piece: each piece costs a system call at both ends, whatever is in it. */
function together(send: (frames: Frame[]) => void): (frame: Frame) => void {
  let due: Frame[] | undefined
  const flush = () => {
    const frames = due!
    due = undefined
    send(frames)
  }
  return (frame) => {
    if (due) due.push(frame)
    else {
      due = [frame]
      setImmediate(flush)
    }
  }
}

function each(frames: Frame[], hear: (frame: Frame) => void): void {
  for (const frame of frames) hear(frame)
}

/** Joins a child process that was started with an IPC channel to the bus of this one: for agents that must live in another host of a lab. */
export function joinChild(bus: Bus, child: ChildProcess): void {
  joinBus(bus, {
    send: together((frames) => void (child.connected && child.send(frames))),
    onFrame: (hear) => void child.on('message', (frames) => each(frames as Frame[], hear)),
    onClose: (gone) => void child.on('exit', gone),
  })
}

/** The other end, in the child. */
export function parentBus(): Bus {
  const channel: Channel = {
    send: together((frames) => void (process.connected && process.send!(frames))),
    onFrame: (hear) => void process.on('message', (frames) => each(frames as Frame[], hear)),
    onClose: (gone) => void process.on('disconnect', gone),
  }
  const bus = new HubBus(
    () => {},
    () => 'parent',
  )
  bus.attach(channel)
  return bus
}
