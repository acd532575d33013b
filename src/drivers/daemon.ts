import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { unavailable } from '../kernel/errors/errors.ts'

/** Programs that outlive this process and are found again by their pid file. */

/** The arguments a process was started with; undefined when it has ended (a zombie has). */
export function commandLine(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    return text ? text.replace(/\0$/, '').split('\0') : undefined
  } catch {
    return undefined
  }
}

/** The pid that a file holds, if that process runs `program` with `argument` among its arguments: a number may have been given to another since. */
export function adopted(pidFile: string, program: string, argument: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8').trim())
    return isIt(pid, program, argument) ? pid : undefined
  } catch {
    return undefined
  }
}

/** Every process of this machine that runs `program` with an argument that starts with `prefix`, with that argument. */
export function processesWith(program: string, prefix: string): { pid: number; argument: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const [path, ...args] = commandLine(Number(name)) ?? []
      const argument = path?.split('/').at(-1) === program ? args.find((each) => each.startsWith(prefix)) : undefined
      return argument ? [{ pid: Number(name), argument }] : []
    })
}

/** Asks a daemon to end, insists after `patienceMs`, and returns when it has ended. */
export async function endProcess(pid: number, what: string, patienceMs = 2_000): Promise<void> {
  if (!signal(pid, 'SIGTERM')) return
  const ended = () => commandLine(pid) === undefined
  await until(`${what} (process ${pid}) ends`, ended, patienceMs).catch(() => {
    signal(pid, 'SIGKILL')
    return until(`${what} (process ${pid}) ends`, ended, patienceMs)
  })
}

export async function until(what: string, look: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await look())) {
    if (performance.now() > end) throw unavailable(`${what}: not so after ${timeoutMs} ms`, 'Timeout')
    await pause(3)
  }
}

/** A namespace may have been removed and made again under the same name while its server ran on in the old one. */
export function isInside(pid: number, namespace: string): boolean {
  try {
    return statSync(`/run/netns/${namespace}`).ino === statSync(`/proc/${pid}/ns/net`).ino
  } catch {
    return false
  }
}

/** Whether a user without rights may pass through every directory above `path`. */
export function anyoneReaches(path: string): boolean {
  for (let above = dirname(path); ; above = dirname(above)) {
    if (existsSync(above) && !(statSync(above).mode & 0o001)) return false
    if (above === dirname(above)) return true
  }
}

function isIt(pid: number, program: string, argument: string): boolean {
  const [path, ...args] = commandLine(pid) ?? []
  return path?.split('/').at(-1) === program && args.includes(argument)
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
