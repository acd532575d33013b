import { message } from '../kernel/bus/bus.ts'

/** A process of this cloud as it tells of itself every other second. */
export interface ProcessState {
  id: string
  /** `control`, or what it does on its host: `compute,network,storage`; all of it in a cloud of one process. */
  role: string
  host: string
  pid: number
  version: string
  startedAt: string
}

export const BEAT_MS = 2_000

export const processAlive = message<ProcessState, void>('process.alive')
