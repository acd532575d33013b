import { spawn } from 'node:child_process'
import { badRequest, Fault } from '../errors/errors.ts'
import { noteCommand } from '../trace/trace.ts'
import { MiB, showBytes } from '../units/units.ts'
import { type Limits, limited, outOfBounds } from './limits.ts'

export interface ExecOptions {
  /** Written to the program's standard input, which is then closed. */
  input?: string | Uint8Array
  /** The program is killed after this many ms (default 60 000). */
  timeoutMs?: number
  env?: Record<string, string>
  cwd?: string
  /** Runs inside this network namespace (`ip netns exec`). */
  netns?: string
  /** Exit codes that are no error (default [0]). */
  ok?: number[]
  /** What it may take: for programs that read what users made. */
  limits?: Limits
  /** Bytes of its output; a program that says more is killed (default 256 MiB). */
  mostOutputBytes?: number
  /** Arguments at these positions are shown as *** in logs and evidence. */
  secretArgs?: number[]
}

export interface ExecResult {
  stdout: string
  stderr: string
  code: number
}

/** A program failed: the message holds what was run, how it ended and what it said. */
export class ExecError extends Fault {
  readonly exitCode: number | null
  readonly stderr: string
  constructor(shown: string, exitCode: number | null, stderr: string, why: string, cause?: unknown) {
    super(500, 'CommandFailed', `${shown}: ${why}`, { details: { exitCode }, cause })
    this.exitCode = exitCode
    this.stderr = stderr
  }
}

const PACKAGE_OF: Record<string, string> = {
  'qemu-img': 'qemu-utils',
  'ovs-vsctl': 'openvswitch-switch',
  'ovs-ofctl': 'openvswitch-switch',
  'ovs-appctl': 'openvswitch-switch',
  dnsmasq: 'dnsmasq-base',
  haproxy: 'haproxy',
  tgtadm: 'tgt',
  tgtd: 'tgt',
  lvcreate: 'lvm2',
  lvs: 'lvm2',
  vgs: 'lvm2',
  'iptables-restore': 'iptables',
  'iptables-save': 'iptables',
  genisoimage: 'genisoimage',
  ip: 'iproute2',
  ethtool: 'ethtool',
  conntrack: 'conntrack',
  libvirtd: 'libvirt-daemon-system',
  virtlogd: 'libvirt-daemon-system',
  tc: 'iproute2',
  prlimit: 'util-linux',
  sfdisk: 'fdisk',
  debugfs: 'e2fsprogs',
  isoinfo: 'genisoimage',
  'qemu-storage-daemon': 'qemu-system-x86',
}
const MOST_OUTPUT_BYTES = 256 * MiB

/**
 * Runs a program with its arguments as an array, never through a shell.
 * @throws Fault 400 BadArgument for what is no argument; ExecError when it cannot be started, exits with a code not in `ok`, takes longer than `timeoutMs` or more than its `limits`, or says more than `mostOutputBytes`
 */
export function exec(program: string, args: string[], options: ExecOptions = {}): Promise<ExecResult> {
  if (options.netns !== undefined && !NAMESPACE.test(options.netns))
    return refused(`${JSON.stringify(options.netns)} cannot be the name of a network namespace.`)
  if (args.some((arg) => arg.includes('\0'))) return refused(`An argument of ${program} would end before its end: it holds a NUL.`)
  const { limits, timeoutMs = 60_000, mostOutputBytes = MOST_OUTPUT_BYTES } = options
  const secret = new Set(options.secretArgs ?? [])
  const shown = [
    ...(options.netns ? ['ip', 'netns', 'exec', options.netns] : []),
    program,
    ...args.map((arg, i) => (secret.has(i) ? '***' : quote(arg))),
  ].join(' ')
  const bounded = limits ? limited(limits, program, args) : { argv: [program, ...args], env: {} }
  const argv = options.netns ? ['ip', 'netns', 'exec', options.netns, ...bounded.argv] : bounded.argv
  const missing = (name: string) => `not found; install the package ${PACKAGE_OF[name] ?? `that has ${name}`}`
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: 'C', ...bounded.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    let said = 0
    let killed: string | null = null
    const kill = (why: string) => {
      killed ??= why
      child.kill('SIGKILL')
      // a process that it left behind may hold these open for ever
      child.stdout.destroy()
      child.stderr.destroy()
    }
    const timer = setTimeout(() => kill(`no end after ${timeoutMs} ms; killed`), timeoutMs)
    const hear = (into: Buffer[]) => (chunk: Buffer) => {
      said += chunk.length
      if (said > mostOutputBytes) kill(`more than ${showBytes(mostOutputBytes)} of output; killed`)
      else into.push(chunk)
    }
    child.stdout.on('data', hear(out))
    child.stderr.on('data', hear(err))
    child.stdin.on('error', () => {}) // a program may exit without reading its input; its exit code tells
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      reject(new ExecError(shown, null, '', error.code === 'ENOENT' ? missing(argv[0]!) : error.message, error))
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const stdout = Buffer.concat(out).toString('utf8')
      const stderr = Buffer.concat(err).toString('utf8')
      noteCommand({ what: shown, ms: performance.now() - started, output: (stdout + stderr).trim() })
      if (killed) return reject(new ExecError(shown, null, stderr, killed))
      if (limits && code === NOT_FOUND && stderr.startsWith('prlimit:')) return reject(new ExecError(shown, null, '', missing(program)))
      if (code !== null && (options.ok ?? [0]).includes(code)) return resolve({ stdout, stderr, code })
      const why = limits && outOfBounds(limits, signal, stderr)
      const end = signal ? `ended by ${signal}` : `exit ${code}`
      const words = `${end}: ${(stderr || stdout).trim().slice(-800)}`
      reject(new ExecError(shown, code, stderr, why ? `${why} (${words})` : words))
    })
    child.stdin.end(options.input)
  })
}

const NAMESPACE = /^\w[\w.-]{0,63}$/
const refused = (why: string) => Promise.reject(badRequest(why, 'BadArgument'))

/** Of a program that does not find the one which it was to start. */
const NOT_FOUND = 127

function quote(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`
}
