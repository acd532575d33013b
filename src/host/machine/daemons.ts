import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { Fault, unavailable } from '../../kernel/errors/errors.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { loadModule } from './modules.ts'
import { alive, findProgram, fromPidFile, markOf, type ProcessMark, pidNamespace } from './processes.ts'
import { waitUntil } from './wait.ts'

export type DaemonPart = 'openvswitch' | 'libvirt' | 'tgt'

export interface DaemonOptions {
  /** Where pid files, logs and Open vSwitch's database of the daemons that Yun starts are kept. */
  stateDir: string
  /** Which are wanted; all by default. */
  parts?: DaemonPart[]
  /** The control port (tgtadm -C) keeps several tgtd apart; the portal is `address:port`. Default 7 and 127.0.0.1:3260. */
  tgt?: { controlPort: number; portal: string }
}

export interface DaemonReport {
  part: DaemonPart
  program: string
  /** Who runs it: the machine (its service manager, or somebody by hand) or Yun, now or at an earlier start. */
  by: 'machine' | 'yun'
  startedNow: boolean
  pid?: number
  /** One line for a user. */
  text: string
}

interface Daemon {
  part: DaemonPart
  program: string
  package: string
  /** Whether one answers, whoever started it. */
  answers(): Promise<boolean>
  /** Starts it in the background and returns when it has let go of us. */
  start(): Promise<void>
  pidFile: string
  /** Throws when it answers but does not do what was asked of it. */
  verify?(): Promise<void>
  /** Asks it to end; without it, SIGTERM does. */
  end?(): Promise<unknown>
}

const OVS = '/run/openvswitch'
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'

/**
 * Sees to it that Open vSwitch, libvirt and tgt run. Those that the machine runs are used as they are; the others are started here, detached, and outlive this process.
 * @throws Fault 503 naming the package when a program is missing, or what the daemon said when it does not come up
 */
export async function ensureDaemons(options: DaemonOptions): Promise<DaemonReport[]> {
  mkdirSync(directory(options.stateDir), { recursive: true, mode: 0o755 })
  const parts = options.parts ?? ['openvswitch', 'libvirt', 'tgt']
  const reports = await Promise.all(
    parts.map(async (part) => {
      const done: DaemonReport[] = []
      // Within a part the order counts: a switch needs its database, libvirt its log daemon.
      for (const daemon of table(options).filter((daemon) => daemon.part === part)) done.push(await ensure(daemon, options.stateDir))
      return done
    }),
  )
  return reports.flat()
}

/** The parts in which a daemon has ended that {@link ensureDaemons} started for this state directory. */
export function diedOf(options: DaemonOptions): DaemonPart[] {
  const dead = table(options).filter((daemon) => existsSync(markFile(daemon, options.stateDir)) && !ours(daemon, options.stateDir))
  return [...new Set(dead.map((daemon) => daemon.part))]
}

/** Ends the daemons that {@link ensureDaemons} started for this state directory, and no others. Returns their programs' names. */
export async function stopDaemons(options: DaemonOptions): Promise<string[]> {
  const stopped: string[] = []
  for (const daemon of table(options).reverse()) {
    const mark = ours(daemon, options.stateDir)
    if (mark) {
      await daemon.end?.().catch(() => {}) // it may be past answering; the signal below is not asked
      signal(mark, 'SIGTERM')
      await gone(daemon, mark, 5_000).catch(() => {
        signal(mark, 'SIGKILL')
        return gone(daemon, mark, 5_000)
      })
      stopped.push(daemon.program)
    }
    rmSync(markFile(daemon, options.stateDir), { force: true })
  }
  return stopped
}

/** To a process that may just have ended by itself. */
function signal(mark: ProcessMark, name: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (alive(mark)) process.kill(mark.pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

const gone = (daemon: Daemon, mark: ProcessMark, timeoutMs: number) =>
  waitUntil(`${daemon.program} (process ${mark.pid}) ends`, () => !alive(mark), { timeoutMs })

async function ensure(daemon: Daemon, stateDir: string): Promise<DaemonReport> {
  const { part, program } = daemon
  if (await daemon.answers()) {
    await daemon.verify?.()
    const mark = ours(daemon, stateDir)
    if (!mark) rmSync(markFile(daemon, stateDir), { force: true })
    const by = mark ? 'yun' : 'machine'
    const text = mark ? `${program} runs since an earlier start (process ${mark.pid})` : `${program}: the machine's own is used`
    return { part, program, by, startedNow: false, pid: mark?.pid, text }
  }
  if (!findProgram(program))
    throw unavailable(`${program} is not found; install the package ${daemon.package}, or add /usr/sbin to PATH`, 'PackageMissing')
  if (process.geteuid?.() !== 0)
    throw unavailable(`${program} does not run, and only root can start it; run as root, or use the simulated hypervisor`)
  try {
    await daemon.start()
    await waitUntil(`${program} answers`, () => daemon.answers())
    await daemon.verify?.()
  } catch (error) {
    const failed = fromPidFile(daemon.pidFile, program)
    if (failed) process.kill(failed.pid, 'SIGKILL')
    throw new Fault(503, 'DaemonFailed', `${program} does not come up: ${(error as Error).message}${lastWords(daemon, stateDir)}`, {
      cause: error,
    })
  }
  const mark = await waitUntil(`${program} writes ${daemon.pidFile}`, () => fromPidFile(daemon.pidFile, program))
  writeFileSync(markFile(daemon, stateDir), JSON.stringify({ ...mark, pidNamespace: pidNamespace() }))
  return { part, program, by: 'yun', startedNow: true, pid: mark.pid, text: `${program}: started (process ${mark.pid})` }
}

const directory = (stateDir: string): string => join(stateDir, 'daemons')
const markFile = ({ program }: Daemon, stateDir: string): string => join(directory(stateDir), `${program}.json`)
const logFile = (program: string, stateDir: string): string => join(directory(stateDir), `${program}.log`)

function ours(daemon: Daemon, stateDir: string): ProcessMark | undefined {
  try {
    const mark = JSON.parse(readFileSync(markFile(daemon, stateDir), 'utf8'))
    return mark.pidNamespace === pidNamespace() && alive(mark) ? markOf(mark.pid) : undefined
  } catch {
    return undefined
  }
}

function lastWords({ program }: Daemon, stateDir: string): string {
  try {
    const file = logFile(program, stateDir)
    return `; the end of ${file}: ${readFileSync(file, 'utf8').trim().split('\n').slice(-3).join(' | ')}`
  } catch {
    return ''
  }
}

/** Whether somebody listens on a unix socket. */
export function listening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

function table({ stateDir, tgt = { controlPort: 7, portal: '127.0.0.1:3260' } }: DaemonOptions): Daemon[] {
  const pidFile = (program: string) => join(directory(stateDir), `${program}.pid`)
  const tgtadm = (mode: string, op: string) =>
    exec('tgtadm', ['-C', String(tgt.controlPort), '--lld', 'iscsi', '--mode', mode, '--op', op], { timeoutMs: 5_000 })
  const ovsRunning = (program: string) => fromPidFile(join(OVS, `${program}.pid`), program) !== undefined
  return [
    {
      part: 'openvswitch',
      program: 'ovsdb-server',
      package: 'openvswitch-switch',
      pidFile: join(OVS, 'ovsdb-server.pid'),
      answers: () => listening(join(OVS, 'db.sock')),
      async start() {
        const database = await switchDatabase(stateDir)
        await exec('ovsdb-server', [
          database,
          `--remote=punix:${OVS}/db.sock`,
          '--remote=db:Open_vSwitch,Open_vSwitch,manager_options',
          `--pidfile=${OVS}/ovsdb-server.pid`,
          `--log-file=${logFile('ovsdb-server', stateDir)}`,
          '-vconsole:off',
          '--no-chdir',
          '--detach',
        ])
        await introduceSwitch()
      },
    },
    {
      part: 'openvswitch',
      program: 'ovs-vswitchd',
      package: 'openvswitch-switch',
      pidFile: join(OVS, 'ovs-vswitchd.pid'),
      answers: async () => ovsRunning('ovs-vswitchd'),
      async start() {
        const kernel = await loadModule('openvswitch')
        await exec('ovs-vswitchd', [
          `unix:${OVS}/db.sock`,
          `--pidfile=${OVS}/ovs-vswitchd.pid`,
          `--log-file=${logFile('ovs-vswitchd', stateDir)}`,
          '-vconsole:off',
          '--no-chdir',
          '--detach',
          ...(kernel ? [] : ['--disable-system']),
        ])
      },
      // Takes the datapath and its devices away too; a signal would leave them in the kernel.
      end: () => exec('ovs-appctl', ['-t', 'ovs-vswitchd', 'exit', '--cleanup'], { timeoutMs: 5_000 }),
    },
    {
      part: 'libvirt',
      program: 'virtlogd',
      package: 'libvirt-daemon-system',
      pidFile: pidFile('virtlogd'),
      answers: () => listening('/run/libvirt/virtlogd-sock'),
      start: () => start('virtlogd', ['--daemon', '--pid-file', pidFile('virtlogd')]),
    },
    {
      part: 'libvirt',
      program: 'libvirtd',
      package: 'libvirt-daemon-system',
      pidFile: pidFile('libvirtd'),
      answers: () => listening('/run/libvirt/libvirt-sock'),
      start: () => start('libvirtd', ['--daemon', '--pid-file', pidFile('libvirtd')]),
    },
    {
      part: 'tgt',
      program: 'tgtd',
      package: 'tgt',
      pidFile: pidFile('tgtd'),
      answers: () =>
        tgtadm('sys', 'show').then(
          () => true,
          () => false,
        ),
      async verify() {
        // A tgtd that cannot have its portal listens on every address instead.
        const portals = [...(await tgtadm('portal', 'show')).stdout.matchAll(/^Portal: (\S+),\d+$/gm)].map((match) => match[1]!)
        if (portals.length === 1 && portals[0] === tgt.portal) return
        const has = portals.join(' and ') || 'nothing'
        throw unavailable(
          `tgtd with control port ${tgt.controlPort} listens on ${has} instead of ${tgt.portal}; choose an address of this machine, a free port, and a control port of its own`,
        )
      },
      start: () =>
        start('tgtd', ['--control-port', String(tgt.controlPort), '--pid-file', pidFile('tgtd'), '--iscsi', `portal=${tgt.portal}`]),
      end: () => tgtadm('sys', 'delete'),
    },
  ]
}

const start = (program: string, args: string[]): Promise<void> => exec(program, args).then(() => {})

/** The database of the switch that Yun starts, made or brought to the installed schema. */
async function switchDatabase(stateDir: string): Promise<string> {
  mkdirSync(OVS, { recursive: true })
  const directory = join(stateDir, 'openvswitch')
  mkdirSync(directory, { recursive: true })
  const database = join(directory, 'conf.db')
  if (!readdirSync(directory).includes('conf.db')) await exec('ovsdb-tool', ['create', database, SCHEMA])
  else if ((await exec('ovsdb-tool', ['needs-conversion', database, SCHEMA])).stdout.trim() === 'yes')
    await exec('ovsdb-tool', ['convert', database, SCHEMA])
  return database
}

async function introduceSwitch(): Promise<void> {
  const version = /\d+\.\d+\.\d+/.exec((await exec('ovs-vswitchd', ['--version'])).stdout)?.[0] ?? 'unknown'
  const vsctl = (...args: string[]) => exec('ovs-vsctl', ['--no-wait', '--timeout=10', ...args])
  await vsctl('init', '--', 'set', 'Open_vSwitch', '.', `ovs_version=${version}`, `external_ids:hostname=${hostname()}`)
  const known = (await vsctl('--if-exists', 'get', 'Open_vSwitch', '.', 'external_ids:system-id')).stdout.trim()
  if (!known) await vsctl('set', 'Open_vSwitch', '.', `external_ids:system-id=${randomUUID()}`)
}
