import { chmod, mkdir } from 'node:fs/promises'

/** A directory that QEMU, which runs as a user of its own, may pass and that nobody else may list, whatever this process's umask is. */
export async function makePassable(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true })
  if (made !== undefined) await chmod(path, 0o711)
}
