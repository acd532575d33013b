import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { waitUntil } from '../host/machine/wait.ts'
import { unavailable } from '../kernel/errors/errors.ts'

/** RabbitMQ nodes in one cluster, for labs and tests, with the options that deploy/ ships. */
export interface Brokers {
  /** amqp://…, one for each node. */
  urls: string[]
  /** Ends node `n` (from 1) at once, as a power cut does. */
  kill(n: number): void
  /** Starts it again with the files that it had. */
  start(n: number): Promise<void>
  stop(): Promise<void>
}

export interface BrokerOptions {
  /** Theirs alone. */
  dir: string
  count: number
  /** What they listen on, and the first of their ports. */
  address: string
  port?: number
  /** Put before each program: the way into another machine. */
  enter?: string[]
}

const ADVANCED = join(import.meta.dirname, '../../deploy/rabbitmq-advanced.config')
const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server'
const UP_MS = 90_000

/** @throws Fault 503 when RabbitMQ is not installed or a node does not come up */
export async function startBrokers({ dir, count, address, port = 15_670, enter = [] }: BrokerOptions): Promise<Brokers> {
  if (!existsSync(SERVER))
    throw unavailable(`RabbitMQ is not installed: ${SERVER} is missing (Debian package rabbitmq-server)`, 'ProgramMissing')
  const home = join(dir, 'home')
  mkdirSync(home, { recursive: true, mode: 0o700 })
  writeFileSync(join(home, '.erlang.cookie'), randomBytes(16).toString('hex'), { mode: 0o400 })
  writeFileSync(join(dir, 'plugins'), '[].')
  const password = randomBytes(12).toString('hex')
  const numbers = Array.from({ length: count }, (_, i) => i + 1)
  const groups = new Map<number, number>()
  const place = (n: number) => join(dir, String(n))
  const out = (n: number) => join(place(n), 'out')
  const files = (n: number): Record<string, string> => ({
    RABBITMQ_NODENAME: `yun${n}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: address,
    RABBITMQ_NODE_PORT: String(port + n),
    RABBITMQ_DIST_PORT: String(port + 100 + n),
    RABBITMQ_MNESIA_BASE: join(place(n), 'db'),
    RABBITMQ_LOG_BASE: join(place(n), 'log'),
    RABBITMQ_PID_FILE: join(place(n), 'pid'),
    RABBITMQ_CONFIG_FILE: join(place(n), 'rabbitmq'),
    RABBITMQ_ADVANCED_CONFIG_FILE: ADVANCED,
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'plugins'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    HOME: home,
    ERL_EPMD_PORT: String(port + 99),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}',
  })
  const start = async (n: number) => {
    writeFileSync(out(n), '')
    const log = openSync(out(n), 'a')
    const command = [...enter, SERVER]
    const child = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...files(n) },
      detached: true,
    })
    child.once('error', () => {})
    child.unref()
    groups.set(n, child.pid!)
    await waitUntil(
      `RabbitMQ node ${n} starts`,
      () => {
        const said = readFileSync(out(n), 'utf8')
        if (child.exitCode !== null)
          throw unavailable(`RabbitMQ node ${n} did not start:\n${said.trim().split('\n').slice(-8).join('\n')}`, 'StartFailed')
        return said.includes('completed with')
      },
      { timeoutMs: UP_MS, everyMs: 50 },
    )
  }
  const kill = (n: number) => {
    const group = groups.get(n)
    groups.delete(n)
    if (group === undefined) return
    try {
      process.kill(-group, 'SIGKILL')
    } catch {
      // it has ended by itself
    }
  }
  const stop = async () => {
    for (const n of numbers) kill(n)
    rmSync(dir, { recursive: true, force: true })
  }
  for (const n of numbers) {
    mkdirSync(join(place(n), 'log'), { recursive: true })
    const peers = numbers.map((k) => `cluster_formation.classic_config.nodes.${k} = yun${k}@localhost`)
    const lines = [
      'cluster_formation.peer_discovery_backend = classic_config',
      ...peers,
      'default_user = yun',
      `default_pass = ${password}`,
      'loopback_users = none',
      'vm_memory_high_watermark.absolute = 256MB',
      'disk_free_limit.absolute = 50MB',
      'cluster_partition_handling = pause_minority',
    ]
    writeFileSync(join(place(n), 'rabbitmq.conf'), `${lines.join('\n')}\n`, { mode: 0o600 })
  }
  try {
    await start(1)
    await Promise.all(numbers.slice(1).map(start))
  } catch (error) {
    await stop()
    throw error
  }
  return { urls: numbers.map((n) => `amqp://yun:${password}@${address}:${port + n}/`), kill, start, stop }
}
