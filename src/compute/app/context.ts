import type { ImageClient } from '../../image/client.ts'
import type { Bus } from '../../kernel/bus/bus.ts'
import type { Database } from '../../kernel/db/database.ts'
import type { Log } from '../../kernel/log/log.ts'
import type { SagaEngine } from '../../kernel/saga/engine.ts'
import type { NetworkClient } from '../../network/client.ts'
import type { PlacementClient } from '../../placement/client.ts'
import type { VolumeClient } from '../../volume/client.ts'
import type { ComputeTables } from '../db/tables.ts'
import type { ExternalEvents } from './external-events.ts'
import type { SchedulerSettings } from './scheduler/settings.ts'
import type { TraceKeeper } from './trace.ts'

export interface ComputeSettings {
  /** How many times over what a host has may be promised: Nova's defaults 16, 1.5 and 1. */
  ratios: { cpu: number; ram: number; disk: number }
  /** ms to wait for the network to say that a port is plugged. */
  vifPluggingTimeoutMs: number
  /** ms that a host may be silent before its service counts as down. */
  serviceDownMs: number
  /** Where browsers reach the console page: `http://127.0.0.1:5000/console`. */
  consoleUrl: string
  /** The zone of hosts that are in no aggregate with one. */
  defaultZone: string
  scheduler: SchedulerSettings
  /** Hosts put the password of root into the disks of new guests. */
  injectPassword: boolean
}

/** What the compute service works with; made once in service.ts, also the world of its sagas. */
export interface ComputeContext {
  database: Database<ComputeTables>
  bus: Bus
  log: Log
  settings: ComputeSettings
  images: ImageClient
  networks: NetworkClient
  volumes: VolumeClient
  placement: PlacementClient
  engine: SagaEngine<ComputeContext>
  trace: TraceKeeper
  externalEvents: ExternalEvents
}
