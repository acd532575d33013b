import { flushCompileCache } from 'node:module'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { HOST_ROLES } from '../cluster/client.ts'
import { ServiceSession } from '../identity/client.ts'
import { ImageClient } from '../image/client.ts'
import type { Bus } from '../kernel/bus/bus.ts'
import { MemoryBus } from '../kernel/bus/memory.ts'
import { connectRabbit } from '../kernel/bus/rabbitmq.ts'
import { connectHub } from '../kernel/bus/socket.ts'
import { overNetwork } from '../kernel/http/client.ts'
import { createLog, type Log } from '../kernel/log/log.ts'
import type { Interceptor } from '../kernel/saga/engine.ts'
import { writeClientFiles } from './client-files.ts'
import { createControl } from './control.ts'
import { beat } from './heartbeat.ts'
import { prepareGround, startHosts } from './hosts.ts'
import { holdStateDir } from './lock.ts'
import type { HostMembership } from './membership.ts'
import { metadataOver } from './metadata.ts'
import { loadSecrets } from './secrets.ts'
import type { Settings } from './settings.ts'
import { forwardSteps } from './steps.ts'

/** A process of the cloud: all of it, its control, or a host. */
export interface Cloud {
  url: string
  /** What a user should know of this machine, in words. */
  notices: string[]
  stop(): Promise<void>
}

export interface StartOptions {
  /** A listening socket that another process has opened. */
  fd?: number
  interceptor?: Interceptor
}

/** ms that a message waits for a host or a control process that is being started again. */
const PATIENCE_MS = 10_000

/**
 * A whole cloud in this process; hosts in other processes may join it. Returns when all APIs answer and the hosts have reported.
 * @throws Fault 409 when another process runs it, 503 when a program or daemon is missing; the error of the listener (EADDRINUSE)
 */
export const startCloud = (settings: Settings, options: StartOptions = {}): Promise<Cloud> =>
  inStateDir(settings, urlOf(settings), async ({ log, onBusError, undo }) => {
    const ground = prepareGround(settings, log)
    ground.catch(() => {}) // told of below
    const { control, bus, secrets } = await controlIn(settings, log, await controlBus(settings, onBusError), undo, options)
    const hosts = await startHosts({ settings, ground: await ground, secrets, bus, log, control })
    undo.push(() => hosts.stop())
    undo.push(beat(bus, ['control', ...HOST_ROLES].join(','), settings.hostname))
    await control.resume()
    undo.push(() => control.pause())
    return hosts.notices
  })

/**
 * APIs, schedulers and the sagas, without a host: any number of such processes on one database and one set of brokers.
 * @throws as {@link startCloud}
 */
export const startControl = (settings: Settings, options: StartOptions = {}): Promise<Cloud> =>
  inStateDir(settings, urlOf(settings), async ({ log, onBusError, undo }) => {
    const { control, bus } = await controlIn(settings, log, await controlBus(settings, onBusError), undo, options)
    undo.push(beat(bus, 'control', settings.hostname))
    await control.resume()
    undo.push(() => control.pause())
    return []
  })

/**
 * The agents of this machine, for a cloud whose control is elsewhere: they know no database.
 * @throws Fault 401 or 503 when control does not let it in, 409 when another process runs here
 */
export const startHost = (settings: Settings, membership: HostMembership): Promise<Cloud> =>
  inStateDir(settings, membership.url, async ({ log, onBusError, undo }) => {
    const ground = prepareGround({ ...settings, hostname: membership.host }, log)
    ground.catch(() => {}) // told of below
    const { url, host, secret, brokers, servicePassword, roles } = membership
    const headers = { authorization: `Bearer ${host}:${secret}` }
    const bus =
      brokers.length > 0 ? await connectRabbit(brokers, onBusError, PATIENCE_MS) : await connectHub({ url, headers }, log, onBusError)
    undo.push(() => bus.close(), forwardSteps(bus))
    const transport = overNetwork(url)
    const session = new ServiceSession(transport, { username: 'nova', password: servicePassword, projectName: 'service' })
    const hosts = await startHosts({
      settings: { ...settings, hostname: host },
      ground: await ground,
      secrets: membership,
      bus,
      log,
      control: { images: new ImageClient(transport, session), metadata: metadataOver(transport) },
      roles,
    })
    undo.push(() => hosts.stop())
    undo.push(beat(bus, roles.join(','), host))
    return hosts.notices
  })

interface Scene {
  log: Log
  onBusError: (error: unknown, where: string) => void
  /** What is to be undone when the process stops, or does not come up: from the last to the first. */
  undo: (() => unknown)[]
}

async function inStateDir(settings: Settings, url: string, start: (scene: Scene) => Promise<string[]>): Promise<Cloud> {
  const lock = await holdStateDir(settings.stateDir, url)
  const undo: (() => unknown)[] = [() => lock.release()]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const log = createLog({ name: 'yun', level: settings.logLevel, file: join(settings.stateDir, 'yun.log') })
    const notices = await start({ log, undo, onBusError: (error, where) => log.error({ err: error, where }, 'message failed') })
    lock.ready(url, notices)
    flushCompileCache() // a process that is killed keeps nothing for the next start
    log.info({ url, notices }, 'ready')
    return { url, notices, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const urlOf = ({ publicUrl, tls, host, port, address, hostname }: Settings) =>
  publicUrl.replace(/\/$/, '') || `${tls ? 'https' : 'http'}://${['0.0.0.0', '::'].includes(host) ? address || hostname : host}:${port}`

const controlBus = async ({ brokers }: Settings, onBusError: Scene['onBusError']): Promise<Bus> =>
  brokers.length > 0 ? await connectRabbit(brokers, onBusError, PATIENCE_MS) : new MemoryBus(onBusError, { patienceMs: PATIENCE_MS })

async function controlIn(settings: Settings, log: Log, bus: Bus, undo: Scene['undo'], { fd, interceptor }: StartOptions) {
  const url = urlOf(settings)
  undo.push(() => bus.close())
  const secrets = loadSecrets(settings.sharedDir)
  const control = await createControl({ settings, secrets, bus, log, url, interceptor })
  undo.push(() => control.stop())
  await control.start()
  await open(control.server.fastify.server, fd === undefined ? { port: settings.port, host: settings.host } : { fd })
  writeClientFiles(settings.stateDir, url, settings.region, secrets, settings.tls?.cert ?? null)
  return { control, bus, secrets }
}

function open(server: Server, where: { port: number; host: string } | { fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}
