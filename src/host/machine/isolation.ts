import { spawn } from 'node:child_process'
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { badRequest, conflict, unavailable } from '../../kernel/errors/errors.ts'
import { type ExecOptions, type ExecResult, exec } from '../../kernel/exec/exec.ts'
import { createGroups, type Group, removeGroups } from './cgroups.ts'
import { alive, childrenOf, findProgram, markOf, type ProcessMark, pidNamespace } from './processes.ts'
import { waitUntil } from './wait.ts'

const JOIN = join(import.meta.dirname, 'join-cgroups.sh')
/** Directories that each isolation has to itself, kept on disk so that they outlive a power-off. */
const OWN_DIRECTORIES = [
  '/etc/libvirt',
  '/var/lib/libvirt',
  '/var/cache/libvirt',
  '/var/log/libvirt',
  '/etc/openvswitch',
  '/var/lib/openvswitch',
  '/var/log/openvswitch',
  '/etc/tgt',
  '/etc/iscsi',
]

export interface IsolationOptions {
  /** Lower-case letters, digits and dashes, 40 at most. */
  name: string
  /** Belongs to the isolation: made if it is not there, removed by {@link Isolation.destroy}. What is in it from an earlier time (after a power-off) is used again. */
  dir: string
  /** The host name inside; the machine's own by default. */
  hostname?: string
  /** Further names that /etc/hosts knows inside, with their addresses. */
  names?: Record<string, string>
  /** Directories below /run that outlive a power-off, as {@link OWN_DIRECTORIES} do. */
  kept?: string[]
  /** Ends with the process that made it, even when that is killed. Default false: it stays until destroyed. */
  bound?: boolean
}

/**
 * A machine of its own inside this one: own network, processes, mounts (/run, /sys, /proc and the directories of libvirt, Open vSwitch, tgt and iSCSI), host name
 * and control groups. Files elsewhere and /dev are shared.
 */
export interface Isolation {
  readonly name: string
  readonly dir: string
  /** The process that holds it, as seen from here; inside it is process 1 and reaps orphans. */
  readonly pid: number
  /** Put before a program and its arguments to run it inside, in `/`. The program is killed when the process started this way is. */
  readonly enter: string[]
  /** What this machine did not allow and the isolation therefore goes without; plain sentences. */
  readonly notes: string[]
  /** As {@link enter}, with the working directory `cwd`. */
  enterAt(cwd: string): string[]
  /** The path by which a file inside is reached from outside while the isolation runs. */
  path(inside: string): string
  run(program: string, args: string[], options?: ExecOptions): Promise<ExecResult>
  /** Ends every process inside at once, as pulling the plug does; the files in `dir` stay. */
  powerOff(): Promise<void>
  /** Leaves no process, namespace, mount, control group, link or file. Harmless when repeated. */
  destroy(): Promise<void>
}

interface State {
  name: string
  anchor: ProcessMark
  pidNamespace: string
  bound: boolean
  groups: { directory: string; leaf: string }[]
  notes: string[]
}

/**
 * @throws Fault 409 when `dir` is in use, 400 for a bad name, 503 when the kernel or our rights do not allow namespaces
 */
export async function createIsolation(options: IsolationOptions): Promise<Isolation> {
  const { name, dir } = options
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(name))
    throw badRequest(`'${name}' cannot name an isolation: use lower-case letters, digits and dashes, 40 at most`)
  claim(dir)
  const notes: string[] = []
  const groups = createGroups(`yun-${name}`, notes)
  let isolation: Isolation | undefined
  try {
    const anchor = await startAnchor(options, groups)
    const state: State = {
      name,
      anchor,
      pidNamespace: pidNamespace(),
      bound: options.bound ?? false,
      groups: groups.map(({ directory, leaf }) => ({ directory, leaf })),
      notes,
    }
    writeFileSync(stateFile(dir), JSON.stringify(state, null, 2))
    isolation = handle(dir, state)
    await furnish(isolation, groups, options)
    return isolation
  } catch (error) {
    if (isolation) await isolation.destroy()
    else {
      await removeGroups(groups.map(({ directory }) => directory))
      rmSync(dir, { recursive: true, force: true })
    }
    throw error
  }
}

/** The isolation that runs in `dir` under this name; undefined when there is none. */
export function adopt(name: string, dir: string): Isolation | undefined {
  const state = readState(dir)
  return state?.name === name && isRunning(state) ? handle(dir, state) : undefined
}

/** Destroys what is left of isolations in the directories below `parent` whose process is gone (it was bound to one that was killed). */
export async function sweep(parent: string): Promise<void> {
  for (const entry of existsSync(parent) ? readdirSync(parent) : []) {
    const dir = join(parent, entry)
    const state = readState(dir)
    if (state?.bound && state.pidNamespace === pidNamespace() && !isRunning(state)) await handle(dir, state).destroy()
  }
}

const stateFile = (dir: string): string => join(dir, 'isolation.json')
const isRunning = (state: State): boolean => state.pidNamespace === pidNamespace() && alive(state.anchor)

function readState(dir: string): State | undefined {
  try {
    return JSON.parse(readFileSync(stateFile(dir), 'utf8'))
  } catch {
    return undefined
  }
}

function claim(dir: string): void {
  try {
    mkdirSync(dir, { mode: 0o755 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const state = readState(dir)
    if (!state && readdirSync(dir).length > 0)
      throw conflict(`${dir} holds files of somebody else; give the isolation a directory of its own`)
    if (state && isRunning(state))
      throw conflict(`isolation ${state.name} runs in ${dir} (process ${state.anchor.pid}); adopt or destroy it`)
  }
}

async function startAnchor({ name, bound }: IsolationOptions, groups: Group[]): Promise<ProcessMark> {
  const command = [
    // The root of the new cgroup namespace is the group that the process is in when it is made.
    JOIN,
    ...groups.map(({ directory }) => directory),
    '--',
    ...(bound ? ['setpriv', '--pdeathsig', 'KILL'] : []),
    'unshare',
    '--mount',
    '--net',
    '--uts',
    '--pid',
    ...(groups.length > 0 ? ['--cgroup'] : []),
    '--kill-child',
    '--',
    // A parent that ignores SIGCHLD has its children reaped by the kernel, adopted orphans too.
    'env',
    '--ignore-signal=CHLD',
    `YUN_ISOLATION=${name}`,
    'sleep',
    'infinity',
  ]
  const holder = spawn(command[0]!, command.slice(1), { detached: true, stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' })
  let failure: string | undefined
  let said = ''
  holder.stderr.on('data', (chunk) => {
    said += chunk
  })
  holder.on('error', (error) => {
    failure = error.message
  })
  holder.on('exit', (code, signal) => {
    failure ??= said.trim() || `exit ${code ?? signal}`
  })
  const mark = await waitUntil(
    `isolation ${name} starts`,
    () => {
      if (failure)
        throw unavailable(`isolation ${name} cannot be made: ${failure}. It needs root with CAP_SYS_ADMIN and a kernel with namespaces.`)
      const child = childrenOf(holder.pid!)[0]
      return child !== undefined && readFileSync(`/proc/${child}/comm`, 'utf8').trim() === 'sleep' ? markOf(child) : undefined
    },
    { everyMs: 1 },
  )
  holder.stderr.destroy()
  holder.unref()
  for (const { directory, leaf } of groups)
    if (leaf !== directory) for (const pid of [holder.pid!, mark.pid]) writeFileSync(join(leaf, 'cgroup.procs'), String(pid))
  return mark
}

function handle(dir: string, state: State): Isolation {
  const { pid } = state.anchor
  const enterAt = (cwd: string) => [
    JOIN,
    ...state.groups.map(({ leaf }) => leaf),
    '--',
    'nsenter',
    '--target',
    String(pid),
    '--mount',
    '--net',
    '--uts',
    '--pid',
    ...(state.groups.length > 0 ? ['--cgroup'] : []),
    `--wdns=${cwd}`,
    '--',
    'setpriv',
    '--pdeathsig',
    'KILL',
    '--',
  ]
  const enter = enterAt('/')
  const powerOff = async () => {
    if (!isRunning(state)) return
    process.kill(pid, 'SIGKILL')
    await waitUntil(`isolation ${state.name} ends`, () => !isRunning(state))
  }
  return {
    name: state.name,
    dir,
    pid,
    enter,
    enterAt,
    notes: state.notes,
    powerOff,
    path: (inside) => join(`/proc/${pid}/root`, inside),
    run: (program, args, options) => exec(enter[0]!, [...enter.slice(1), program, ...args], options),
    async destroy() {
      await unplug(state)
      await powerOff()
      await removeGroups(state.groups.map(({ directory }) => directory))
      if (readState(dir)) rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Removes the links that have their other end outside: the kernel would do so some time after the last process, which is too late for a next link of that name. */
async function unplug(state: State): Promise<void> {
  if (!isRunning(state)) return
  const inside = (args: string[], ok = [0]) => exec('nsenter', ['--target', String(state.anchor.pid), '--net', '--', 'ip', ...args], { ok })
  const links: { ifname: string; link_netnsid?: number }[] = JSON.parse(
    (await inside(['-json', 'link', 'show', 'type', 'veth'])).stdout || '[]',
  )
  // the machine at the other end may go at the same time: before `ip` looks for the link (1), or between that and its deletion (2)
  for (const { ifname, link_netnsid } of links) if (link_netnsid !== undefined) await inside(['link', 'delete', ifname], [0, 1, 2])
}

async function furnish(isolation: Isolation, groups: Group[], options: IsolationOptions): Promise<void> {
  const { dir, name, hostname, names = {}, kept = [] } = options
  const source = `yun-${name}`
  const lines: string[] = []
  const mount = (what: string, where: string, type: string, options: string) =>
    lines.push([what, where, type, options, '0', '0'].map(fstabField).join(' '))
  for (const place of OWN_DIRECTORIES.filter((place) => existsSync(place))) {
    const own = join(dir, place.slice(1).replaceAll('/', '-'))
    if (!existsSync(own)) furnishDirectory(place, own)
    mount(own, place, 'none', 'bind')
  }
  if (hostname) {
    const hosts = join(dir, 'etc-hosts')
    const known = Object.entries({ [hostname]: '127.0.1.1', ...names }).map(([host, address]) => `${address} ${host}\n`)
    writeFileSync(hosts, `${readFileSync('/etc/hosts', 'utf8').trimEnd()}\n${known.join('')}`)
    mount(hosts, '/etc/hosts', 'none', 'bind')
  }
  mount(source, '/proc', 'proc', 'nosuid,nodev,noexec')
  mount(source, '/sys', 'sysfs', 'nosuid,nodev,noexec')
  const version1 = groups.filter(({ hierarchy }) => hierarchy.version === 1)
  if (version1.length > 0) mount(source, '/sys/fs/cgroup', 'tmpfs', 'nosuid,nodev,noexec,mode=755')
  for (const { hierarchy } of groups) {
    mount(
      source,
      hierarchy.mountpoint,
      hierarchy.version === 2 ? 'cgroup2' : 'cgroup',
      ['nosuid,nodev,noexec,x-mount.mkdir', hierarchy.options].filter(Boolean).join(','),
    )
  }
  const udev = existsSync('/run/udev')
  if (udev) {
    mkdirSync(join(dir, 'udev'), { recursive: true })
    mount('/run/udev', join(dir, 'udev'), 'none', 'bind')
  }
  mount(source, '/run', 'tmpfs', 'nosuid,nodev,mode=755')
  if (udev) mount(join(dir, 'udev'), '/run/udev', 'none', 'bind,x-mount.mkdir')
  for (const place of kept) {
    const own = join(dir, basename(place))
    mkdirSync(own, { recursive: true, mode: 0o755 })
    mount(own, place, 'none', 'bind,x-mount.mkdir')
  }
  const table = join(dir, 'fstab')
  writeFileSync(table, `${lines.join('\n')}\n`)
  const joined = version1.map(({ hierarchy }) => hierarchy.mountpoint)
  const run = inNamespaces(isolation, groups.length > 0)
  await Promise.all([
    run('umount', ['--lazy', '/sys']).then(() => run('mount', ['--all', '--no-mtab', '--fstab', table])),
    run('ip', ['link', 'set', 'lo', 'up']),
    ...(hostname ? [run('hostname', [hostname])] : []),
  ])
  furnishRun(isolation.path('/run'))
  linkControllers(joined, isolation.path('/sys/fs/cgroup'))
}

/**
 * The machine is not ready for {@link Isolation.enter} before its mounts are made: only the namespaces are entered. The cgroup namespace is one of them: a hierarchy's
 * mount begins at the root of the namespace that its mounter is in.
 */
function inNamespaces({ pid }: Isolation, cgroups: boolean) {
  const namespaces = ['--mount', '--net', '--uts', '--pid', ...(cgroups ? ['--cgroup'] : [])]
  return (program: string, args: string[]) =>
    exec('nsenter', ['--target', String(pid), ...namespaces, '--', findProgram(program) ?? program, ...args])
}

const fstabField = (field: string): string => field.replaceAll('\\', '\\134').replaceAll(' ', '\\040').replaceAll('\t', '\\011')

function furnishDirectory(place: string, own: string): void {
  const { mode, uid, gid } = statSync(place)
  mkdirSync(own, { mode: mode & 0o7777 })
  chownSync(own, uid, gid)
  if (!place.startsWith('/etc/') || place === '/etc/openvswitch') return
  // Guests, networks, pools and secrets defined on the machine are not the isolation's.
  const machines = new Set(['networks', 'autostart', 'storage', 'secrets', 'nodes', 'ifaces'])
  cpSync(place, own, {
    recursive: true,
    preserveTimestamps: true,
    filter: (file) => !machines.has(basename(file)) && !(file.includes('/qemu/') && file.endsWith('.xml')),
  })
}

/** Packages expect their directories below /run, with the owners they chose. */
function furnishRun(run: string): void {
  for (const entry of readdirSync('/run', { withFileTypes: true })) {
    const copy = join(run, entry.name)
    if (entry.isSymbolicLink()) symlinkSync(readlinkSync(join('/run', entry.name)), copy)
    // A systemd directory would make programs believe that systemd runs here.
    if (!entry.isDirectory() || ['systemd', 'netns', 'udev'].includes(entry.name)) continue
    const { mode, uid, gid } = statSync(join('/run', entry.name))
    mkdirSync(copy, { mode: mode & 0o7777 })
    chownSync(copy, uid, gid)
  }
  mkdirSync(join(run, 'netns'))
}

/** Where `cpu` and `cpuacct` are mounted together, programs look for either name. */
function linkControllers(mountpoints: string[], place: string): void {
  for (const mountpoint of mountpoints) {
    const names = basename(mountpoint).split(',')
    if (names.length > 1) for (const name of names) symlinkSync(basename(mountpoint), join(place, name))
  }
}

/** For tidy callers: removes `parent` when nothing is in it any more. */
export function removeIfEmpty(parent: string): void {
  try {
    rmdirSync(parent)
  } catch {
    // Another isolation lives in it.
  }
}
