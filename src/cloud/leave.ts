import { processAlive } from '../cluster/rpc.ts'
import { computeTopic } from '../compute/rpc.ts'
import type { Leave } from '../kernel/bus/hub.ts'
import { events, networkTopic } from '../network/rpc.ts'
import { volumeTopic } from '../volume/rpc.ts'

const EVENTS = new Set<string>([events.hostAlive.name, processAlive.name])

/** A host serves what is its own and tells control; it neither poses as another host nor gives orders to one. */
export const leaveOf = (host: string): Leave => ({
  serve: (topic) => topic === computeTopic(host) || topic === networkTopic(host) || topic.startsWith(volumeTopic(`${host}@`)),
  call: (topic) => topic.endsWith('.control'),
  publish: (event) => EVENTS.has(event),
})
