import type { ImageClient } from '../image/client.ts'
import type { Bus } from '../kernel/bus/bus.ts'
import { openDatabase } from '../kernel/db/database.ts'
import type { Api } from '../kernel/http/api.ts'
import type { Limiter } from '../kernel/http/rate-limit.ts'
import { SharedRateLimiter } from '../kernel/http/shared-rate-limit.ts'
import type { Log } from '../kernel/log/log.ts'
import { Policy } from '../kernel/policy/policy.ts'
import { type Interceptor, SagaEngine } from '../kernel/saga/engine.ts'
import { newsOf } from '../kernel/saga/news.ts'
import { onStep } from '../kernel/trace/trace.ts'
import type { NetworkClient } from '../network/client.ts'
import type { PlacementClient } from '../placement/client.ts'
import type { VolumeClient } from '../volume/client.ts'
import { aggregateRoutes } from './api/aggregates.ts'
import { attachmentRoutes } from './api/attachments.ts'
import { eventRoutes } from './api/events.ts'
import { computeFault } from './api/faults.ts'
import { flavorRoutes } from './api/flavors.ts'
import { hostRoutes } from './api/hosts.ts'
import { instanceActionRoutes } from './api/instance-actions.ts'
import { keypairRoutes } from './api/keypairs.ts'
import { migrationRoutes } from './api/migrations.ts'
import { goneRoutes } from './api/older/gone.ts'
import { olderHostRoutes } from './api/older/hosts.ts'
import { olderImageRoutes } from './api/older/images.ts'
import { olderNetworkRoutes } from './api/older/networks.ts'
import { olderSecurityGroupRoutes } from './api/older/security-groups.ts'
import { olderVolumeRoutes } from './api/older/volumes.ts'
import { policies } from './api/policies.ts'
import { quotaRoutes } from './api/quotas.ts'
import { serverActionRoutes } from './api/server-actions.ts'
import { serverGroupRoutes } from './api/server-groups.ts'
import { serverPartRoutes } from './api/server-parts.ts'
import { serverRoutes } from './api/servers.ts'
import { inFirstVersion, MICROVERSIONS, rootRoutes, V2, versionRoutes } from './api/versions.ts'
import { consoleTarget } from './app/console.ts'
import type { ComputeContext, ComputeSettings } from './app/context.ts'
import { departedFrom } from './app/departed.ts'
import { ExternalEvents } from './app/external-events.ts'
import { hostReported } from './app/host.ts'
import { migrationProgressed } from './app/live-migrate.ts'
import { answerGuest, type MetadataAnswer, type MetadataRequest } from './app/metadata-api.ts'
import { serveScheduler } from './app/scheduler/scheduler.ts'
import { SCHEDULER_DEFAULTS } from './app/scheduler/settings.ts'
import { follow } from './app/server-state.ts'
import { TraceKeeper } from './app/trace.ts'
import { migrations } from './db/migrations.ts'
import type { ComputeTables } from './db/tables.ts'
import { powerStateReconciler } from './reconcilers/power-states.ts'
import { COMPUTE_CONTROL, computeTopic, control, host, portPlugged, stepsRecorded, volumeReimaged } from './rpc.ts'
import { sagas } from './sagas/all.ts'
import { CONDUCTOR, conductor } from './sagas/schedule.ts'

/** For `yun db`. */
export { migrations }

export interface ComputeOptions {
  databaseUrl: string
  log: Log
  bus: Bus
  images: ImageClient
  networks: NetworkClient
  volumes: VolumeClient
  placement: PlacementClient
  settings: Partial<ComputeSettings>
  /** Nobody else works on this database. */
  exclusive: boolean
  /** Signs instance ids between the metadata proxy and this service. */
  metadataSecret: string
  /** What a user may ask, and who counts it in this process; on MariaDB the database does, for all processes. */
  limiter?: Limiter
  policyOverrides?: Record<string, string>
  /** Stands between sagas and their steps; for tests. */
  interceptor?: Interceptor
}

export interface ComputeService {
  api: Api[]
  context: ComputeContext
  /** What a guest asks through the metadata proxy. */
  metadata(request: MetadataRequest): Promise<MetadataAnswer>
  /** Where a console token leads. @throws Fault 404 */
  console(token: string): Promise<{ instanceId: string; host: string; port: number }>
  /** Serves the hosts. */
  start(): Promise<void>
  /** Goes on with what an earlier process left: to be called when the hosts of this process serve. */
  resume(): Promise<void>
  stop(): Promise<void>
}

const DEFAULTS: ComputeSettings = {
  ratios: { cpu: 16, ram: 1.5, disk: 1 },
  vifPluggingTimeoutMs: 300_000,
  serviceDownMs: 60_000,
  consoleUrl: 'http://127.0.0.1:5000/console',
  defaultZone: 'nova',
  scheduler: SCHEDULER_DEFAULTS,
  injectPassword: false,
}

export async function createComputeService(options: ComputeOptions): Promise<ComputeService> {
  const { bus, log } = options
  const database = await openDatabase<ComputeTables>(options.databaseUrl, migrations)
  await database.ready()
  const context = {
    database,
    bus,
    log,
    settings: { ...DEFAULTS, ...options.settings },
    images: options.images,
    networks: options.networks,
    volumes: options.volumes,
    placement: options.placement,
    trace: new TraceKeeper(database, log),
    externalEvents: new ExternalEvents(),
  } as ComputeContext
  context.engine = new SagaEngine({
    service: 'compute',
    database,
    world: context,
    sagas,
    log,
    exclusive: options.exclusive,
    news: options.exclusive ? undefined : newsOf(bus, 'compute'),
    interceptor: options.interceptor,
  })

  const startedAt = new Date().toISOString()
  // several processes may work on this database, and a user's requests go to any of them
  const limiter =
    options.limiter && database.dialect === 'mysql' ? new SharedRateLimiter(options.limiter.limits, database, log) : options.limiter
  const shared = {
    name: 'compute',
    policy: new Policy(policies, options.policyOverrides),
    fault: computeFault,
    limiter,
    strictSlashes: true,
  }
  const routes = [
    ...serverRoutes(context),
    ...serverActionRoutes(context),
    ...serverPartRoutes(context),
    ...attachmentRoutes(context),
    ...instanceActionRoutes(context),
    ...migrationRoutes(context),
    ...flavorRoutes(context),
    ...keypairRoutes(context),
    ...aggregateRoutes(context),
    ...hostRoutes(context, startedAt),
    ...quotaRoutes(context),
    ...serverGroupRoutes(context),
    ...eventRoutes(context),
    ...olderHostRoutes(context),
    ...olderImageRoutes(context),
    ...olderSecurityGroupRoutes(context),
    ...olderNetworkRoutes(context),
    ...olderVolumeRoutes(context),
    ...goneRoutes,
  ]
  const powerStates = powerStateReconciler(context)
  const stops: (() => void)[] = []
  return {
    api: [
      { ...shared, prefix: '/compute', routes: rootRoutes },
      {
        ...shared,
        prefix: '/compute/v2.1',
        projectInPath: true,
        microversions: MICROVERSIONS,
        routes: [...versionRoutes(false), ...routes],
      },
      {
        ...shared,
        prefix: '/compute/v2',
        alias: '/compute/v2.1',
        projectInPath: true,
        microversions: V2,
        routes: [...versionRoutes(true), ...routes.filter(inFirstVersion)],
      },
    ],
    context,
    metadata: (request) => answerGuest(context, options.metadataSecret, request),
    console: (token) => consoleTarget(context, token),
    async start() {
      stops.push(
        onStep((record) => context.trace.keep([record])),
        bus.serve(COMPUTE_CONTROL, stepsRecorded, (records) => context.trace.keep(records)),
        bus.subscribe(portPlugged, ({ portId }) => context.externalEvents.seen(portId)),
        bus.subscribe(volumeReimaged, ({ volumeId }) => context.externalEvents.seen(volumeId)),
        bus.serve(CONDUCTOR, conductor.build, () => ({ topic: CONDUCTOR, process: process.pid })),
        bus.serve(COMPUTE_CONTROL, control.hostReport, async (report) => {
          if (await hostReported(context, report)) powerStates.wake()
          for (const one of await departedFrom(context, report.host, Object.keys(report.instances)))
            bus
              .cast(computeTopic(report.host), host.dismiss, one)
              .catch((error) =>
                log.warn({ err: error, host: report.host, server: one.uuid }, 'a host does not hear what is no longer its own'),
              )
        }),
        bus.serve(COMPUTE_CONTROL, control.departed, ({ host, uuids }) => departedFrom(context, host, uuids)),
        bus.serve(COMPUTE_CONTROL, control.powerChanged, async ({ host, uuid, powerState }) => {
          await follow(database.db, uuid, powerState, { host })
        }),
        bus.serve(COMPUTE_CONTROL, control.migrationProgress, ({ migrationId, progress }) =>
          migrationProgressed(context, migrationId, progress),
        ),
        serveScheduler(context, bus),
      )
    },
    async resume() {
      await context.engine.start()
      powerStates.start()
      await powerStates.settle()
    },
    async stop() {
      await powerStates.stop()
      await context.engine.stop()
      for (const stop of stops) stop()
      await context.trace.flush()
      await database.close()
    },
  }
}
