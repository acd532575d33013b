import type { ProcessState } from '../rpc.ts'
import { BEAT_MS } from '../rpc.ts'

/** ms of silence after which a process counts as gone. */
const GONE_MS = 4 * BEAT_MS
const FORGOTTEN_MS = 3_600_000

export interface SeenProcess extends ProcessState {
  alive: boolean
  lastSeenAt: string
}

/** What this process heard of all processes of the cloud, itself included. */
export class Processes {
  private readonly seen = new Map<string, { state: ProcessState; at: number }>()

  hear(state: ProcessState): void {
    this.seen.set(state.id, { state, at: Date.now() })
    for (const [id, { at }] of this.seen) if (Date.now() - at > FORGOTTEN_MS) this.seen.delete(id)
  }

  /** One that is gone is left out when another of its role runs on its host: it was restarted. */
  list(): SeenProcess[] {
    const all = [...this.seen.values()].map(({ state, at }) => ({
      ...state,
      alive: Date.now() - at < GONE_MS,
      lastSeenAt: new Date(at).toISOString(),
    }))
    const replaced = (one: SeenProcess) =>
      !one.alive &&
      all.some((other) => other.id !== one.id && other.host === one.host && other.role === one.role && other.lastSeenAt > one.lastSeenAt)
    return all.filter((one) => !replaced(one)).sort((a, b) => `${a.role} ${a.host}`.localeCompare(`${b.role} ${b.host}`))
  }
}
