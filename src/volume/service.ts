import type { ImageClient } from '../image/client.ts'
import type { Bus } from '../kernel/bus/bus.ts'
import { openDatabase } from '../kernel/db/database.ts'
import type { Api } from '../kernel/http/api.ts'
import { locks } from '../kernel/locks/locks.ts'
import type { Log } from '../kernel/log/log.ts'
import { Policy } from '../kernel/policy/policy.ts'
import type { Reconciler } from '../kernel/reconcile/reconciler.ts'
import { type Interceptor, SagaEngine } from '../kernel/saga/engine.ts'
import { newsOf } from '../kernel/saga/news.ts'
import { attachmentRoutes } from './api/attachments.ts'
import { volumeFault } from './api/faults.ts'
import { hostRoutes } from './api/hosts.ts'
import { infoRoutes } from './api/info.ts'
import { metadataRoutes } from './api/metadata.ts'
import { policies } from './api/policies.ts'
import { qosRoutes } from './api/qos.ts'
import { quotaRoutes } from './api/quotas.ts'
import { serviceRoutes } from './api/services.ts'
import { snapshotRoutes } from './api/snapshots.ts'
import { transferRoutes } from './api/transfers.ts'
import { typeRoutes } from './api/types.ts'
import { MICROVERSIONS, versionRoutes } from './api/versions.ts'
import { volumeActionRoutes } from './api/volume-actions.ts'
import { volumeRoutes } from './api/volumes.ts'
import type { Notice, VolumeContext, VolumeSettings } from './app/context.ts'
import { serveStorageHosts } from './app/control.ts'
import { migrations } from './db/migrations.ts'
import type { VolumeTables } from './db/tables.ts'
import { attachmentReconciler } from './reconcilers/attachments.ts'
import { sagas } from './sagas/all.ts'

/** For `yun db`. */
export { migrations }

export interface VolumeOptions {
  databaseUrl: string
  log: Log
  bus: Bus
  images: ImageClient
  notifyCompute: (notices: Notice[]) => Promise<void>
  /** Lines of the operator's policy file. */
  policyOverrides?: Record<string, string>
  /** Nobody else works on this database: sagas that an earlier process left are taken over at once. */
  exclusive: boolean
  settings?: Partial<VolumeSettings>
  /** ms between looks for detachings that were cut off (default 30 000), and how old they must be (default 60 000). */
  reconcileEveryMs?: number
  staleMs?: number
  /** ms between tries of an undo that failed. */
  undoRetryMs?: number
  /** Tests stand between the sagas and their steps. */
  interceptor?: Interceptor
}

export interface VolumeService {
  api: Api[]
  reconcilers: Reconciler[]
  context: VolumeContext
  /** Serves the storage hosts. */
  start(): Promise<void>
  /** Goes on with what an earlier process left: to be called when the hosts of this process serve. */
  resume(): Promise<void>
  stop(): Promise<void>
}

export async function createVolumeService(options: VolumeOptions): Promise<VolumeService> {
  const database = await openDatabase<VolumeTables>(options.databaseUrl, migrations)
  await database.ready()
  const context = {
    database,
    bus: options.bus,
    log: options.log,
    images: options.images,
    notifyCompute: options.notifyCompute,
    settings: { serviceDownMs: 60_000, hostPatienceMs: 30_000, defaultZone: 'nova', ...options.settings },
    locked: locks(),
  } as unknown as VolumeContext
  const engine = new SagaEngine<VolumeContext>({
    service: 'volume',
    database,
    world: context,
    sagas,
    log: options.log,
    exclusive: options.exclusive,
    news: options.exclusive ? undefined : newsOf(options.bus, 'volume'),
    undoRetryMs: options.undoRetryMs,
    interceptor: options.interceptor,
  })
  context.engine = engine
  const timing = { everyMs: options.reconcileEveryMs ?? 30_000, staleMs: options.staleMs ?? 60_000 }
  const reconciler = attachmentReconciler(context, timing)
  const shared = { name: 'volume', policy: new Policy(policies, options.policyOverrides), fault: volumeFault, strictSlashes: true }
  let deaf = () => {}
  return {
    api: [
      { ...shared, prefix: '/volume', routes: versionRoutes('/volume', 300) },
      { ...shared, prefix: '/volume/v3', projectInPath: true, microversions: MICROVERSIONS, routes: routes(context) },
    ],
    reconcilers: [reconciler],
    context,
    async start() {
      deaf = serveStorageHosts(context)
    },
    async resume() {
      await engine.start()
      reconciler.start()
    },
    async stop() {
      await reconciler.stop()
      await engine.stop()
      deaf()
      await database.close()
    },
  }
}

const routes = (context: VolumeContext) => [
  ...versionRoutes('/volume', 200),
  ...volumeRoutes(context),
  ...volumeActionRoutes(context),
  ...metadataRoutes(context),
  ...snapshotRoutes(context),
  ...attachmentRoutes(context),
  ...transferRoutes(context),
  ...typeRoutes(context),
  ...qosRoutes(context),
  ...quotaRoutes(context),
  ...serviceRoutes(context),
  ...hostRoutes(context),
  ...infoRoutes(context),
]
