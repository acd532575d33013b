import { accessSync, constants, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessMark {
  pid: number
  /** Clock ticks after boot, from /proc/PID/stat. */
  startedAt: string
}

/** What /proc says of a process; undefined when there is none. A zombie without other threads counts as none: it has ended, only its parent has not looked. */
export function markOf(pid: number): ProcessMark | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ended = fields[0] === 'X' || (fields[0] === 'Z' && readdirSync(`/proc/${pid}/task`).length === 1)
    return ended ? undefined : { pid, startedAt: fields[19]! }
  } catch {
    return undefined
  }
}

export const alive = (mark: ProcessMark): boolean => markOf(mark.pid)?.startedAt === mark.startedAt

/** The children of a process, numbered as this process sees them. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

/** Which pid namespace this process is in; pids mean something only there. */
export const pidNamespace = (): string => readlinkSync('/proc/self/ns/pid')

/** The process a pid file names, if it runs and its program is `program`. */
export function fromPidFile(file: string, program: string): ProcessMark | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8').trim())
    const running = readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
    return running === program.slice(0, 15) ? markOf(pid) : undefined
  } catch {
    return undefined
  }
}

/** Where a program is, looking in PATH. */
export function findProgram(program: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((directory) => join(directory, program))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}
