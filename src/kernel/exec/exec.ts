import { spawn } from 'node:child_process'
import { Fault } from '../errors/errors.ts'
import { noteCommand } from '../trace/trace.ts'

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
}

/**
 * Runs a program with its arguments as an array, never through a shell.
 * @throws ExecError when it cannot be started, exits with a code not in `ok`, or takes longer than `timeoutMs`
 */
export function exec(program: string, args: string[], options: ExecOptions = {}): Promise<ExecResult> {
  const secret = new Set(options.secretArgs ?? [])
  const shown = [
    ...(options.netns ? ['ip', 'netns', 'exec', options.netns] : []),
    program,
    ...args.map((arg, i) => (secret.has(i) ? '***' : quote(arg))),
  ].join(' ')
  const argv = options.netns ? ['ip', 'netns', 'exec', options.netns, program, ...args] : [program, ...args]
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: 'C', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
      // a process that it left behind may hold these open for ever
      child.stdout.destroy()
      child.stderr.destroy()
    }, options.timeoutMs ?? 60_000)
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => err.push(chunk))
    child.stdin.on('error', () => {}) // a program may exit without reading its input; its exit code tells
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      const hint =
        error.code === 'ENOENT' ? `not found; install the package ${PACKAGE_OF[program] ?? `that has ${program}`}` : error.message
      reject(new ExecError(shown, null, '', hint, error))
    })
    child.on('close', (code) => {
      clearTimeout(timer)
      const stdout = Buffer.concat(out).toString('utf8')
      const stderr = Buffer.concat(err).toString('utf8')
      noteCommand({ what: shown, ms: performance.now() - started, output: (stdout + stderr).trim() })
      if (timedOut) return reject(new ExecError(shown, null, stderr, `no end after ${options.timeoutMs ?? 60_000} ms; killed`))
      if (!(options.ok ?? [0]).includes(code ?? -1))
        return reject(new ExecError(shown, code, stderr, `exit ${code}: ${(stderr || stdout).trim().slice(-800)}`))
      resolve({ stdout, stderr, code: code ?? -1 })
    })
    child.stdin.end(options.input)
  })
}

function quote(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`
}
