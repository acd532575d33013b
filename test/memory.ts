import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { GiB } from '../src/kernel/units/units.ts'

const MEMORY = '/dev/shm'
const NEEDED_BYTES = 2 * GiB

/** For temporary files that are written thousands of times, where each time waits for the disk: in memory it does not. The usual place where memory has no room: a container's 64 MiB would not do. */
export function roomyMemory(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY)
    return bavail * bsize >= NEEDED_BYTES ? MEMORY : tmpdir()
  } catch {
    return tmpdir()
  }
}
