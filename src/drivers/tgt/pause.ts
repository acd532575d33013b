import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { Fault, unavailable } from '../../kernel/errors/errors.ts'
import { commandLine, processesWith, until } from '../daemon.ts'

/** ms that a daemon may take to finish the writes it has begun. */
const PATIENCE = 10_000

/** Stops what it is given and sets it going again when its standard input ends: so also when the process that asked for it is killed. */
const HOLD = 'kill -STOP "$@"; read -r _; kill -CONT "$@"'

/**
 * Runs `work` while the tgtd of a control port stands still: whatever an initiator was told is written is in the file or device, nothing else gets there, and nobody is told of an error. Initiators wait.
 * @throws Fault 503 when its process cannot be found or does not stop
 */
export async function whileStopped<T>(controlPort: number, work: () => Promise<T>): Promise<T> {
  const pids = processesOf(controlPort)
  if (pids.length === 0)
    throw unavailable(`No process of this machine is tgtd with control port ${controlPort}: is it running?`, 'TargetDaemon')
  const holder = spawn('sh', ['-c', HOLD, 'sh', ...pids.map(String)], { stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = new Promise<void>((resolve, reject) => {
    holder.on('error', (error) => reject(new Fault(500, 'CommandFailed', `sh cannot be started: ${error.message}`, { cause: error })))
    holder.on('close', () => resolve())
  })
  holder.stdin.on('error', () => {}) // it ended first: the processes are gone, `ended` tells
  try {
    await Promise.race([until(`tgtd (${pids.join(', ')}) stands still`, () => pids.every(stopped), PATIENCE), ended])
    return await work()
  } finally {
    holder.stdin.end()
    await ended
  }
}

/** One may have been left stopped by a machine on which everything of ours was killed at once. */
export function goOn(controlPort: number): void {
  for (const pid of processesOf(controlPort)) process.kill(pid, 'SIGCONT')
}

/** Those whose socket is reached from here: another machine's inside this one has a mount namespace of its own. */
function processesOf(controlPort: number): number[] {
  const own = readlinkSync('/proc/self/ns/mnt')
  return processesWith('tgtd', '--control-port').flatMap(({ pid }) => {
    try {
      const args = commandLine(pid) ?? []
      return args[args.indexOf('--control-port') + 1] === String(controlPort) && readlinkSync(`/proc/${pid}/ns/mnt`) === own ? [pid] : []
    } catch {
      return [] // it has ended meanwhile
    }
  })
}

/** A thread stops on its way out of the kernel: when all have, no write is half done. */
const stopped = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).every((task) => /^State:\s+T/m.test(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')))
