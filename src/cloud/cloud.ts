import { flushCompileCache } from 'node:module'
import { join } from 'node:path'
import { MemoryBus } from '../kernel/bus/memory.ts'
import { createLog } from '../kernel/log/log.ts'
import type { Interceptor } from '../kernel/saga/engine.ts'
import { writeClientFiles } from './client-files.ts'
import { createControl } from './control.ts'
import { prepareGround, startHosts } from './hosts.ts'
import { holdStateDir } from './lock.ts'
import { loadSecrets } from './secrets.ts'
import type { Settings } from './settings.ts'

export interface Cloud {
  url: string
  /** What a user should know of this machine, in words. */
  notices: string[]
  stop(): Promise<void>
}

/**
 * A whole cloud in this process. Returns when all APIs answer and the hosts have reported.
 * @throws Fault 409 when another process runs it, 503 when a program or daemon is missing; the error of the listener (EADDRINUSE)
 */
export async function startCloud(settings: Settings, options: { fd?: number; interceptor?: Interceptor } = {}): Promise<Cloud> {
  const url = `${settings.tls ? 'https' : 'http'}://${settings.host}:${settings.port}`
  const lock = await holdStateDir(settings.stateDir, url)
  const undo: (() => unknown)[] = [() => lock.release()]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const log = createLog({ name: 'yun', level: settings.logLevel, file: join(settings.stateDir, 'yun.log') })
    const secrets = loadSecrets(settings.stateDir)
    const bus = new MemoryBus((error, where) => log.error({ err: error, where }, 'message failed'))
    undo.push(() => bus.close())
    const ground = prepareGround(settings, log)
    ground.catch(() => {}) // told of below
    const control = await createControl({ settings, secrets, bus, log, url, interceptor: options.interceptor })
    undo.push(() => control.stop())
    await control.start()
    await open(control.server.fastify.server, options.fd === undefined ? { port: settings.port, host: settings.host } : { fd: options.fd })
    const hosts = await startHosts({ settings, ground: await ground, secrets, bus, log, control })
    undo.push(() => hosts.stop())
    await control.resume()
    undo.push(() => control.pause())
    writeClientFiles(settings.stateDir, url, settings.region, secrets, settings.tls?.cert ?? null)
    lock.ready(url, hosts.notices)
    flushCompileCache() // a process that is killed keeps nothing for the next start
    log.info({ url, notices: hosts.notices }, 'all APIs answer')
    return { url, notices: hosts.notices, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function open(server: import('node:net').Server, where: { port: number; host: string } | { fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}
