import { assertSafe } from '../drivers/qemu-img/inspect.ts'
import { openDatabase } from '../kernel/db/database.ts'
import type { Api } from '../kernel/http/api.ts'
import type { Pace } from '../kernel/http/pace.ts'
import type { Log } from '../kernel/log/log.ts'
import { Policy } from '../kernel/policy/policy.ts'
import type { Reconciler } from '../kernel/reconcile/reconciler.ts'
import { GiB } from '../kernel/units/units.ts'
import { dataRoutes } from './api/data.ts'
import { imageFault } from './api/faults.ts'
import { imageRoutes } from './api/images.ts'
import { infoRoutes } from './api/info.ts'
import { memberRoutes } from './api/members.ts'
import { metadefRoutes } from './api/metadefs.ts'
import { policies } from './api/policies.ts'
import { versionRoutes } from './api/versions.ts'
import type { ImageContext, Inspector } from './app/context.ts'
import { Store } from './app/store.ts'
import { WEB_SOURCES, type WebSources } from './app/web-source.ts'
import { migrations } from './db/migrations.ts'
import type { ImageTables } from './db/tables.ts'
import { dataReconciler } from './reconcilers/data.ts'

/** For `yun db`. */
export { migrations }

export interface ImageOptions {
  databaseUrl: string
  log: Log
  /** Where image data lies: `<state>/images`. */
  directory: string
  /** Looks at data before it may be used (default: the inspector of drivers/qemu-img). */
  inspect?: Inspector
  /** Whether data without the marks of any format may be uploaded as raw only (default). */
  strictFormats?: boolean
  /** Lines of the operator's policy file. */
  policyOverrides?: Record<string, string>
  /** From where images may be fetched (default: http and https on their usual ports, outside). */
  webSources?: Partial<WebSources>
  /** Bytes of the largest image (default 1 TiB). */
  maxImageBytes?: number
  /** How slowly image data may come (default 300 KiB in five minutes). */
  pace?: Pace
  /** Nobody else works on this database and directory: uploads that an earlier process left are given back at once. */
  exclusive: boolean
  /** ms that an upload may be silent before it counts as abandoned (default 60 000). */
  leaseMs?: number
  /** ms between looks for abandoned uploads and orphaned data (default 60 000). */
  reconcileEveryMs?: number
}

export interface ImageService {
  api: Api[]
  reconcilers: Reconciler[]
  context: ImageContext
  start(): Promise<void>
  stop(): Promise<void>
}

export async function createImageService(options: ImageOptions): Promise<ImageService> {
  const database = await openDatabase<ImageTables>(options.databaseUrl, migrations)
  await database.ready()
  const context: ImageContext = {
    database,
    store: new Store(options.directory, options.pace),
    log: options.log,
    inspect: options.inspect ?? ((path, format, name) => assertSafe(path, format, name, options.strictFormats ?? true)),
    maxImageBytes: options.maxImageBytes ?? 1024 * GiB,
    leaseMs: options.leaseMs ?? 60_000,
    webSources: { ...WEB_SOURCES, ...options.webSources },
    imports: new Set(),
  }
  const policy = new Policy(policies, options.policyOverrides)
  const reconciler = dataReconciler(context, options.reconcileEveryMs ?? 60_000)
  const shared = { name: 'image', policy, fault: imageFault, strictSlashes: true }
  const routes = [
    ...imageRoutes(context),
    ...dataRoutes(context),
    ...memberRoutes(context),
    ...metadefRoutes(context),
    ...infoRoutes(),
    ...versionRoutes('/image'),
  ]
  return {
    api: [
      { ...shared, prefix: '/image', routes: versionRoutes('/image') },
      { ...shared, prefix: '/image/v2', routes },
    ],
    reconcilers: [reconciler],
    context,
    async start() {
      if (options.exclusive)
        await database.db.updateTable('images').set({ lease_until: null }).where('status', 'in', ['saving', 'importing']).execute()
      reconciler.start()
    },
    async stop() {
      await reconciler.stop()
      await Promise.allSettled(context.imports)
      await database.close()
    },
  }
}
