import type { Log } from '../../kernel/log/log.ts'
import type { Facts } from './facts.ts'
import type { ComputeHostOptions, ComputeMachine } from './options.ts'
import type { OwnDomains } from './own-domains.ts'
import type { Places } from './places.ts'

/** What every operation stands on. */
export interface World {
  options: ComputeHostOptions
  machine: ComputeMachine
  places: Places
  facts: Facts
  domains: OwnDomains
  log: Log
  /** Work that keeps the disk busy, counted while it is under way. */
  busy<T>(work: () => Promise<T>): Promise<T>
}
