import { exec } from '../../kernel/exec/exec.ts'

/** ms that writing one image may take: an hour. */
const LONG = 3_600_000

/** Writes an image onto a device or file that is there already. A `zeroed` one need not have its holes written. */
export async function writeRaw(image: { path: string; format: string }, target: string, zeroed: boolean): Promise<void> {
  const known = zeroed ? ['--target-is-zero'] : []
  await exec('qemu-img', ['convert', '-n', ...known, '-f', image.format, '-O', 'raw', image.path, target], {
    timeoutMs: LONG,
  })
}

export async function readRaw(source: string, image: { path: string; format: string }): Promise<void> {
  await exec('qemu-img', ['convert', '-f', 'raw', '-O', image.format, source, image.path], { timeoutMs: LONG })
}

/** One block device onto another, all of it. */
export async function copyDevice(from: string, to: string, sparse: boolean): Promise<void> {
  await exec('dd', [`if=${from}`, `of=${to}`, 'bs=4M', `conv=${sparse ? 'sparse,fsync' : 'fsync'}`, 'status=none'], { timeoutMs: LONG })
}
