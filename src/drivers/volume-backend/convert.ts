import { exec } from '../../kernel/exec/exec.ts'
import { GiB } from '../../kernel/units/units.ts'

/** That writing one image may take: an hour. */
const LONG_MS = 3_600_000
/** Of one qemu-img process, which reads what a user made: OpenStack's own limits. */
const LIMITS = [`--as=${GiB}`, '--cpu=3600', '--core=0', '--', 'qemu-img']

/** Writes an image onto a device or file that is there already. A `zeroed` one need not have its holes written. */
export async function writeRaw(image: { path: string; format: string }, target: string, zeroed: boolean): Promise<void> {
  const known = zeroed ? ['--target-is-zero'] : []
  await exec('prlimit', [...LIMITS, 'convert', '-n', ...known, '-f', image.format, '-O', 'raw', image.path, target], {
    timeoutMs: LONG_MS,
  })
}

export async function readRaw(source: string, image: { path: string; format: string }): Promise<void> {
  await exec('prlimit', [...LIMITS, 'convert', '-f', 'raw', '-O', image.format, source, image.path], { timeoutMs: LONG_MS })
}

/** One block device onto another, all of it. */
export async function copyDevice(from: string, to: string): Promise<void> {
  await exec('dd', [`if=${from}`, `of=${to}`, 'bs=4M', 'conv=fsync', 'status=none'], { timeoutMs: LONG_MS })
}
