import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * What a simulated driver holds: in memory, and in a file where one is given, so that a simulated machine outlives the process as a real one does. Each line of the file
 * is all of it as JSON, and the last whole line counts: a line more costs much less than a file more, and a thousand simulated hosts change all the time.
 */
export interface Remembered<T> {
  state: T
  /** To be called after every change. */
  save(): void
}

export function remembered<T>(file: string | undefined, initial: T): Remembered<T> {
  const state: T = file && existsSync(file) ? JSON.parse(lastLine(readFileSync(file, 'utf8'))) : initial
  let due: NodeJS.Timeout | undefined
  let bytes = 0
  let rest = SOON_MS
  /** For further lines. The first write of a process begins anew: what it found may end in half a line. */
  let room = 0
  const write = () => {
    clearTimeout(due)
    due = undefined
    const started = performance.now()
    const text = `${JSON.stringify(state)}\n`
    bytes = text.length
    if (bytes > room || !appended(file!, text)) {
      mkdirSync(dirname(file!), { recursive: true })
      writeFileSync(`${file}.new`, text)
      renameSync(`${file}.new`, file!)
      room = Math.max(LARGE, bytes * LINES)
    }
    room -= bytes
    rest = Math.max(SOON_MS, (performance.now() - started) * REST)
  }
  unwritten.add(() => due && write())
  return {
    state,
    save() {
      if (!file) return
      if (bytes < LARGE) return write()
      due ??= setTimeout(write, rest)
    },
  }
}

function lastLine(text: string): string {
  const end = text.lastIndexOf('\n')
  return end < 0 ? text : text.slice(text.lastIndexOf('\n', end - 1) + 1, end)
}

/** Not where somebody has removed its directory meanwhile. */
function appended(file: string, text: string): boolean {
  try {
    appendFileSync(file, text)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return false
  }
}

/** Whole states in a file before it is begun anew: that waits for the disk on some file systems. */
const LINES = 16
/** A simulated machine that has grown beyond this is written once in a while: a kill may then cost it its last moments, as a power cut costs a disk's cache. */
const LARGE = 64 * 1024
const SOON_MS = 100
/** A twentieth of the time is spent on writing at most. */
const REST = 20

const unwritten = new Set<() => unknown>()
process.once('exit', () => {
  for (const write of unwritten) write()
})
