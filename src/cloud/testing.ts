import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryBus } from '../kernel/bus/memory.ts'
import { createLog, type Log, silent } from '../kernel/log/log.ts'
import { type Control, createControl } from './control.ts'
import { prepareGround, startHosts } from './hosts.ts'
import { loadSecrets, type Secrets } from './secrets.ts'
import { readSettings, type Settings } from './settings.ts'

export interface TestCloud {
  control: Control
  bus: MemoryBus
  /** As admin of project demo; @throws Error with the fault when the status is 400 or above. */
  api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<any>
  token: string
  secrets: Secrets
  /** Where its files lie. */
  stateDir: string
  stop(): Promise<void>
}

export interface TestCloudOptions {
  hosts?: number
  flags?: string[]
  /** What the configuration file says. */
  config?: Partial<Settings>
  development?: boolean
  /** Default: what YUN_TEST_LOG asks for, or nothing. */
  log?: Log
  /** `mysql://…/prefix` of databases that are there (default: SQLite in its directory). */
  database?: string
  /** Starts the hosts somewhere else, on this bus (default: in this process). */
  startHosts?: (settings: Settings, bus: MemoryBus, control: Control) => Promise<{ stop(): Promise<void> }>
}

/** A whole simulated cloud, without a listener, in a directory that goes away with it. */
export async function testCloud(options: TestCloudOptions = {}): Promise<TestCloud> {
  const stateDir = mkdtempSync(join(tmpdir(), 'yun-house-'))
  const config = join(stateDir, 'yun.yaml')
  writeFileSync(config, JSON.stringify(options.config ?? {}))
  const flags = ['--config', config, '--state', stateDir, '--hypervisor', 'simulated', ...(options.flags ?? [])]
  if (options.development ?? true) flags.push('--development') // answers are held against their schemas
  const { settings } = readSettings([...flags, '--simulated-hosts', String(options.hosts ?? 1)], 'node')
  if (options.database) settings.database = options.database
  const secrets = loadSecrets(stateDir)
  const bus = new MemoryBus()
  const log = options.log ?? (process.env.YUN_TEST_LOG ? createLog({ name: 'test', level: 'warn' }) : silent())
  const control = await createControl({ settings, secrets, bus, log, url: 'http://127.0.0.1:5000' })
  await control.start()
  const here = async () => startHosts({ settings, ground: await prepareGround(settings, log), secrets, bus, log, control })
  const hosts = await (options.startHosts?.(settings, bus, control) ?? here())
  await control.resume()
  const send = async (method: string, path: string, body: unknown, headers: Record<string, string>) => {
    const answer = await control.server.fastify.inject({
      method: method as 'GET',
      url: path,
      headers: { ...(body === undefined || headers['content-type'] ? {} : { 'content-type': 'application/json' }), ...headers },
      payload: body instanceof Uint8Array ? Buffer.from(body) : body === undefined ? undefined : JSON.stringify(body),
    })
    if (answer.statusCode >= 400) throw new Error(`${method} ${path}: ${answer.statusCode} ${answer.payload}`)
    return answer
  }
  const domain = { id: 'default' }
  const login = await send(
    'POST',
    '/identity/v3/auth/tokens',
    {
      auth: {
        identity: { methods: ['password'], password: { user: { name: 'admin', domain, password: secrets.adminPassword } } },
        scope: { project: { name: 'demo', domain } },
      },
    },
    {},
  )
  const token = login.headers['x-subject-token'] as string
  return {
    control,
    bus,
    token,
    secrets,
    stateDir,
    async api(method, path, body, headers = {}) {
      const answer = await send(method, path, body, { 'x-auth-token': token, ...headers })
      return answer.payload ? JSON.parse(answer.payload) : undefined
    },
    async stop() {
      await control.pause()
      await hosts.stop()
      await control.stop()
      await bus.close()
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
}
