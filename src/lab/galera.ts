import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import { exec } from '../kernel/exec/exec.ts'

export interface Galera {
  /** For database URLs and YUN_TEST_MYSQL: all nodes, no database name. */
  url: string
  /** host:port of each node, as in `url`. */
  nodes: string[]
  /** Only node `n` (0, 1, ...), without a database name. */
  urlOf(n: number): string
  /** What `show status like 'wsrep_…'` says on node `n`. */
  status(n: number, variable: string): Promise<string | null>
  /** kill -9 */
  kill(n: number): Promise<void>
  /** SIGSTOP and SIGCONT: a machine that hangs. */
  freeze(n: number): void
  thaw(n: number): void
  /** A killed node comes back and has caught up when this resolves. */
  start(n: number): Promise<void>
  /** All nodes end; nothing is left. */
  stop(): Promise<void>
}

const PROVIDER = '/usr/lib/galera/libgalera_smm.so'
/** A member that says nothing for 2 s is voted out; Galera's own default is 5 s. */
const EVS = 'evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.3S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT8S'

/**
 * A Galera cluster for labs and tests: `size` MariaDB servers that clients reach at `address`, ports by chance, all of it in a temporary directory. Its root has no password
 * on loopback, and one by chance elsewhere.
 */
export async function startGalera({ size = 3, address = '127.0.0.1' }: { size?: number; address?: string } = {}): Promise<Galera> {
  const dir = mkdtempSync(join(tmpdir(), 'yun-galera-'))
  const root = process.getuid?.() === 0
  // a joiner's rsync gives up root's rights by itself, and then cannot read root's files
  const user = root ? 'mysql' : userInfo().username
  mkdirSync(join(dir, '0'))
  if (root) await exec('chown', ['mysql', dir, join(dir, '0')])
  await exec(
    'mariadb-install-db',
    ['--no-defaults', `--datadir=${dir}/0/data`, `--user=${user}`, '--auth-root-authentication-method=normal', '--skip-test-db'],
    { timeoutMs: 120_000 },
  )
  for (let n = 1; n < size; n++) cpSync(join(dir, '0'), join(dir, String(n)), { recursive: true })
  if (root) await exec('chown', ['-R', 'mysql', dir])

  const base = await freePorts(size * 4, address)
  const port = (n: number, which: 'sql' | 'group' | 'ist' | 'sst') => base + n * 4 + ['sql', 'group', 'ist', 'sst'].indexOf(which)
  const numbers = Array.from({ length: size }, (_, n) => n)
  const password = address === '127.0.0.1' ? '' : randomBytes(12).toString('hex')
  const login = password ? `root:${password}` : 'root'
  const nodes = numbers.map((n) => `${address}:${port(n, 'sql')}`)
  const group = numbers.map((n) => `127.0.0.1:${port(n, 'group')}`).join(',')
  const processes: (ChildProcess | null)[] = numbers.map(() => null)
  const ended: Promise<void>[] = []

  const spawnNode = (n: number, first: boolean) => {
    const home = join(dir, String(n))
    const child = spawn(
      'mariadbd',
      [
        '--no-defaults',
        `--user=${user}`,
        `--datadir=${home}/data`,
        `--socket=${home}/socket`,
        `--pid-file=${home}/pid`,
        `--log-error=${home}/error.log`,
        `--port=${port(n, 'sql')}`,
        `--bind-address=${address}`,
        '--binlog-format=ROW',
        '--default-storage-engine=InnoDB',
        '--innodb-autoinc-lock-mode=2',
        '--innodb-flush-log-at-trx-commit=0',
        '--innodb-buffer-pool-size=64M',
        '--innodb-log-file-size=32M',
        '--performance-schema=OFF',
        '--skip-name-resolve',
        '--max-connections=500',
        '--wsrep-on=ON',
        `--wsrep-provider=${PROVIDER}`,
        '--wsrep-cluster-name=yun-test',
        `--wsrep-node-name=n${n}`,
        '--wsrep-node-address=127.0.0.1',
        `--wsrep-node-incoming-address=${nodes[n]}`,
        '--wsrep-sst-method=rsync',
        `--wsrep-sst-receive-address=127.0.0.1:${port(n, 'sst')}`,
        `--wsrep-provider-options=base_port=${port(n, 'group')};gmcast.listen_addr=tcp://127.0.0.1:${port(n, 'group')};ist.recv_addr=127.0.0.1:${port(n, 'ist')};gcache.size=16M;${EVS}`,
        `--wsrep-cluster-address=gcomm://${first ? '' : group}`,
        ...(first ? ['--wsrep-new-cluster'] : []),
      ],
      { stdio: 'ignore' },
    )
    processes[n] = child
    ended[n] = new Promise((resolve) => child.once('exit', () => resolve()))
  }

  const connect = (n: number) => createConnection({ socketPath: join(dir, String(n), 'socket'), user: 'root', connectTimeout: 3000 })
  const status = async (n: number, variable: string): Promise<string | null> => {
    try {
      const connection = await connect(n)
      try {
        const [rows] = await connection.query<any[]>('show status like ?', [variable])
        return rows[0]?.Value ?? null
      } finally {
        connection.destroy()
      }
    } catch {
      return null
    }
  }

  const synced = async (n: number) => {
    const until = performance.now() + 120_000
    while ((await status(n, 'wsrep_local_state_comment')) !== 'Synced') {
      if (processes[n]!.exitCode !== null || performance.now() > until)
        throw new Error(`Galera node ${n} does not come up:\n${readFileSync(join(dir, String(n), 'error.log'), 'utf8').slice(-3000)}`)
      await pause(50)
    }
  }
  const end = async (n: number, signal: NodeJS.Signals) => {
    processes[n]?.kill(signal)
    await ended[n]
    processes[n] = null
  }

  for (const n of numbers) {
    spawnNode(n, n === 0)
    await synced(n)
    if (n === 0 && password) {
      const connection = await connect(n)
      await connection.query(`grant all on *.* to root@'%' identified by '${password}' with grant option`)
      await connection.end()
    }
  }
  return {
    url: `mysql://${login}@${nodes.join(',')}`,
    nodes,
    urlOf: (n) => `mysql://${login}@${nodes[n]}`,
    status,
    kill: (n) => end(n, 'SIGKILL'),
    freeze: (n) => void processes[n]?.kill('SIGSTOP'),
    thaw: (n) => void processes[n]?.kill('SIGCONT'),
    async start(n) {
      spawnNode(n, false)
      await synced(n)
    },
    async stop() {
      for (const n of numbers) if (processes[n]) await end(n, 'SIGKILL')
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** The first of `count` ports in a row that nobody listens on. */
async function freePorts(count: number, address: string): Promise<number> {
  const free = (port: number) =>
    new Promise<boolean>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(false))
      server.listen(port, address, () => server.close(() => resolve(true)))
    })
  for (;;) {
    const base = randomInt(20_000, 32_000)
    const all = await Promise.all(Array.from({ length: count }, (_, i) => free(base + i)))
    if (all.every(Boolean)) return base
  }
}
