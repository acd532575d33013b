import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** What a simulated driver holds: in memory, and in a JSON file where one is given, so that a simulated machine outlives the process as a real one does. */
export interface Remembered<T> {
  state: T
  /** To be called after every change. */
  save(): void
}

export function remembered<T>(file: string | undefined, initial: T): Remembered<T> {
  const state: T = file && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : initial
  let due: NodeJS.Timeout | undefined
  let bytes = 0
  let rest = SOON_MS
  const write = () => {
    clearTimeout(due)
    due = undefined
    mkdirSync(dirname(file!), { recursive: true })
    const started = performance.now()
    const text = JSON.stringify(state)
    bytes = text.length
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file!)
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

/** A simulated machine that has grown beyond this is written once in a while: a kill may then cost it its last moments, as a power cut costs a disk's cache. */
const LARGE = 64 * 1024
const SOON_MS = 100
/** A twentieth of the time is spent on writing at most. */
const REST = 20

const unwritten = new Set<() => unknown>()
process.once('exit', () => {
  for (const write of unwritten) write()
})
