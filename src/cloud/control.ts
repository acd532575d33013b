import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import YAML from 'yaml'
import { createClusterService } from '../cluster/service.ts'
import { ComputeClient } from '../compute/client.ts'
import { createComputeService } from '../compute/service.ts'
import { ConsoleProxy } from '../console/console.ts'
import { serveConsolePage } from '../console/page.ts'
import { doctorApi } from '../doctor/api.ts'
import { ServiceSession } from '../identity/client.ts'
import { createIdentity } from '../identity/service.ts'
import { ImageClient } from '../image/client.ts'
import { createImageService } from '../image/service.ts'
import type { Bus } from '../kernel/bus/bus.ts'
import { BUS_PATH, BusDoor } from '../kernel/bus/socket.ts'
import { badRequest } from '../kernel/errors/errors.ts'
import { inMemory } from '../kernel/http/client.ts'
import { documented } from '../kernel/http/openapi.ts'
import { RateLimiter } from '../kernel/http/rate-limit.ts'
import { ApiServer } from '../kernel/http/server.ts'
import { takeUpgrades } from '../kernel/http/upgrades.ts'
import type { Log } from '../kernel/log/log.ts'
import type { Interceptor } from '../kernel/saga/engine.ts'
import { NetworkClient } from '../network/client.ts'
import { createNetworkService } from '../network/service.ts'
import { PlacementClient } from '../placement/client.ts'
import { createPlacement } from '../placement/service.ts'
import { VolumeClient } from '../volume/client.ts'
import { createVolumeService } from '../volume/service.ts'
import { databaseUrl } from './databases.ts'
import { leaveOf } from './leave.ts'
import { serveMetadata } from './metadata.ts'
import type { Secrets } from './secrets.ts'
import type { Settings } from './settings.ts'
import { version } from './version.ts'

/** A balancer that asks twice a second has seen by then that this process leaves. */
const LINGER_MS = 1_500

export interface ControlOptions {
  settings: Settings
  secrets: Secrets
  bus: Bus
  log: Log
  url: string
  /** Stands between compute's sagas and their steps; for tests. */
  interceptor?: Interceptor
}

/** The six services behind one listener, each with its own database, and what stands beside them: console and doctor. */
export async function createControl({ settings, secrets, bus, log, url, interceptor }: ControlOptions) {
  if (settings.database === null) mkdirSync(join(settings.stateDir, 'db'), { recursive: true, mode: 0o700 })
  const policyOverrides = policies(settings)
  const shared = (name: string) => ({
    databaseUrl: databaseUrl(name, { stateDir: settings.stateDir, url: settings.database }),
    log: log.child({ service: name }),
    policyOverrides: policyOverrides[name],
    exclusive: settings.database === null,
  })

  const identity = await createIdentity({
    ...shared('identity'),
    bus,
    region: settings.region,
    keyDirectory: join(settings.sharedDir, 'fernet-keys'),
    credentialKeyDirectory: join(settings.sharedDir, 'credential-keys'),
    compliance: settings.securityCompliance,
  })
  const tls = settings.tls ? { key: readFileSync(settings.tls.key), cert: readFileSync(settings.tls.cert) } : undefined
  const server = new ApiServer({
    log,
    authenticator: identity.authenticator,
    checkResponses: settings.development,
    publicUrl: url,
    fixedUrl: settings.publicUrl !== '',
    tls,
  })
  const transport = inMemory(server.edge)
  const session = (username: string) =>
    new ServiceSession(transport, { username, password: secrets.servicePassword, projectName: 'service' })
  const [nova, neutron, cinder] = [session('nova'), session('neutron'), session('cinder')]

  const [placement, image] = await Promise.all([
    createPlacement(shared('placement')),
    createImageService({
      ...shared('image'),
      directory: join(settings.sharedDir, 'images'),
      webSources: settings.imageSources,
      strictFormats: settings.strictImageFormats,
    }),
  ])
  const toldBy = (session: ServiceSession) => new ComputeClient(transport, session)
  const network = await createNetworkService({
    ...shared('network'),
    bus,
    tenantNetworkType: settings.tenantNetworkType,
    physicalNetworks: { public: 'br-ex' },
    external: { cidr: settings.external.cidr, gateway: settings.external.gateway },
    notifyCompute: (events) => toldBy(neutron).notify(events),
  })
  const volume = await createVolumeService({
    ...shared('volume'),
    bus,
    images: new ImageClient(transport, cinder),
    notifyCompute: (notices) => toldBy(cinder).notify(notices),
  })
  const computing = await createComputeService({
    ...shared('compute'),
    bus,
    images: new ImageClient(transport, nova),
    networks: new NetworkClient(transport, nova),
    volumes: new VolumeClient(transport, nova),
    placement: new PlacementClient(transport, nova),
    settings: {
      scheduler: settings.scheduler,
      vifPluggingTimeoutMs: settings.vifPluggingTimeout * 1000,
      consoleUrl: `${url}/console`,
      injectPassword: settings.injection.password,
    },
    metadataSecret: secrets.metadataSecret,
    limiter: limiterOf(settings),
    interceptor,
  })
  const cluster = await createClusterService({
    ...shared('cluster'),
    bus,
    leaveOf,
    share: {
      region: settings.region,
      metadataSecret: secrets.metadataSecret,
      servicePassword: secrets.servicePassword,
      brokers: settings.brokers,
    },
  })
  const services = [placement, image, network, volume, computing, cluster]
  const doctor = doctorApi({ bus, transport, token: () => nova.token() })
  for (const api of documented([...[identity, ...services].flatMap((service) => service.api), doctor], version)) server.mount(api)
  /** Each service at the prefix that has most of its routes: the version that clients use. */
  const apis = () => {
    const fullest = new Map<string, (typeof server.apis)[number]>()
    for (const api of server.apis) if (api.routes.length > (fullest.get(api.name)?.routes.length ?? 0)) fullest.set(api.name, api)
    return Object.fromEntries([...fullest.values()].map((api) => [api.name, `${url}${api.prefix}`]))
  }
  server.fastify.get('/', () => ({ name: 'yun', region: settings.region, apis: apis() }))
  serveConsolePage(server.fastify)
  const console = new ConsoleProxy({ log, resolve: (token) => computing.console(token) })
  serveMetadata(server.fastify, computing.metadata)
  const door = new BusDoor(bus, (request) => cluster.admit(request))

  return {
    server,
    compute: computing,
    placement,
    /** Whom the bus lets in. */
    admit: cluster.admit,
    /** For the metadata servers of the hosts. */
    metadata: computing.metadata,
    /** For agents on the hosts, which store and fetch images. */
    images: new ImageClient(transport, nova),
    async start() {
      await identity.bootstrap({ ...secrets, publicUrl: url, region: settings.region })
      await server.fastify.ready()
      takeUpgrades(server.fastify.server, {
        '/console/websockify': (...at) => console.upgrade(...at),
        ...(settings.brokers.length === 0 ? { [BUS_PATH]: (...at) => door.upgrade(...at) } : {}),
      })
      for (const service of services) await service.start()
    },
    /** Goes on with what an earlier process left, now that the hosts serve. */
    async resume() {
      await Promise.all([volume.resume(), computing.resume()])
    },
    /** Steps under way end, no further ones begin: the next process goes on. To be called while the hosts still serve. */
    async pause() {
      await Promise.all([volume.context.engine.stop(), computing.context.engine.stop()])
    },
    /** From the door inwards: no new requests, then the services, then those whom they ask. */
    async stop() {
      console.close()
      door.close()
      await server.close(settings.brokers.length > 0 ? { lingerMs: LINGER_MS } : {})
      for (const service of services.reverse()) await service.stop()
      await identity.stop()
    },
  }
}

export type Control = Awaited<ReturnType<typeof createControl>>

function policies(settings: Settings): Record<string, Record<string, string>> {
  return Object.fromEntries(
    Object.entries(settings.policyFiles).map(([service, file]) => {
      try {
        return [service, (YAML.parse(readFileSync(file, 'utf8')) ?? {}) as Record<string, string>]
      } catch (error) {
        throw badRequest(`policy file ${file} of ${service} cannot be read: ${(error as Error).message}`, 'Usage')
      }
    }),
  )
}

function limiterOf(settings: Settings): RateLimiter | undefined {
  if (settings.rateLimits.length === 0) return undefined
  return new RateLimiter(settings.rateLimits.map((one) => ({ ...one, regex: new RegExp(one.regex) })))
}
