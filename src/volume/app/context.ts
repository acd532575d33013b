import type { ImageClient } from '../../image/client.ts'
import type { Bus } from '../../kernel/bus/bus.ts'
import type { Database } from '../../kernel/db/database.ts'
import type { Log } from '../../kernel/log/log.ts'
import type { SagaEngine } from '../../kernel/saga/engine.ts'
import type { VolumeTables } from '../db/tables.ts'

export interface VolumeSettings {
  /** ms that a storage host may be silent before its service counts as down and nothing is scheduled to it. */
  serviceDownMs: number
  /** ms that a saga waits for a storage host that is being started. */
  hostPatienceMs: number
  /** Until a back end has reported one. */
  defaultZone: string
}

/** What the volume service works with; made once in service.ts, also the world of its sagas. */
export interface VolumeContext {
  database: Database<VolumeTables>
  bus: Bus
  log: Log
  images: ImageClient
  settings: VolumeSettings
  engine: SagaEngine<VolumeContext>
  /** @throws Fault when compute does not answer */
  notifyCompute: (notices: Notice[]) => Promise<void>
  /** Exports of one volume change one at a time. */
  locked: <T>(volumeId: string, work: () => Promise<T>) => Promise<T>
}

/** Word for compute: something of a server's volume is done. */
export interface Notice {
  name: 'volume-reimaged' | 'volume-extended'
  server_uuid: string
  /** The volume's id. */
  tag: string
  status: 'completed' | 'failed'
}

/** Who asks. */
export interface Viewer {
  projectId: string | null
  userId: string | null
  /** May see and touch everybody's. */
  isAdmin: boolean
  /** May name ids and projects: another service, or an administrator. */
  mayName: boolean
  token: string | null
  requestId: string
}

export const volumeSubject = (id: string) => `volume:${id}`
