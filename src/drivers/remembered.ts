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
  return {
    state,
    save() {
      if (!file) return
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(`${file}.new`, JSON.stringify(state))
      renameSync(`${file}.new`, file)
    },
  }
}
