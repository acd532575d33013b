import { exec } from '../../kernel/exec/exec.ts'
import { GiB } from '../../kernel/units/units.ts'

/** That writing one image may take: an hour. */
const LONG_MS = 3_600_000
/** Of one qemu-img process, which reads what a user made: OpenStack's own limits. */
const BOUNDED = { limits: { bytes: GiB, cpuSeconds: 3_600 }, timeoutMs: LONG_MS }

/** Writes an image onto a device or file that is there already. A `zeroed` one need not have its holes written. */
export async function writeRaw(image: { path: string; format: string }, target: string, zeroed: boolean): Promise<void> {
  const known = zeroed ? ['--target-is-zero'] : []
  await exec('qemu-img', ['convert', '-n', ...known, '-f', image.format, '-O', 'raw', image.path, target], BOUNDED)
}

export async function readRaw(source: string, image: { path: string; format: string }): Promise<void> {
  await exec('qemu-img', ['convert', '-f', 'raw', '-O', image.format, source, image.path], BOUNDED)
}

/** One block device onto another, all of it. */
export async function copyDevice(from: string, to: string): Promise<void> {
  await exec('dd', [`if=${from}`, `of=${to}`, 'bs=4M', 'conv=fsync', 'status=none'], { timeoutMs: LONG_MS })
}
