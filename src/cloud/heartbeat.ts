import { randomUUID } from 'node:crypto'
import { BEAT_MS, processAlive } from '../cluster/rpc.ts'
import type { Bus } from '../kernel/bus/bus.ts'
import { version } from './version.ts'

/** Tells all control processes that this one lives. */
export function beat(bus: Bus, role: string, host: string): () => void {
  const self = { id: randomUUID(), role, host, pid: process.pid, version, startedAt: new Date().toISOString() }
  const tell = () => bus.publish(processAlive, self)
  tell()
  const timer = setInterval(tell, BEAT_MS).unref()
  return () => clearInterval(timer)
}
