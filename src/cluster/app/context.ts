import type { Bus } from '../../kernel/bus/bus.ts'
import type { Database } from '../../kernel/db/database.ts'
import type { ClusterTables } from '../db/tables.ts'
import type { Processes } from './processes.ts'

/** What a host is given when it joins: no database, and of secrets only what its agents need. */
export interface HostShare {
  region: string
  /** Signs instance ids between its metadata proxy and compute. */
  metadataSecret: string
  /** Of the service user with which it fetches and stores images. */
  servicePassword: string
  /** Message brokers; none: it reaches the bus through the control process. */
  brokers: string[]
}

export interface ClusterContext {
  database: Database<ClusterTables>
  bus: Bus
  processes: Processes
  share: HostShare
}
