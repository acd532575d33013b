import { statfs } from 'node:fs/promises'
import { Fault } from '../../kernel/errors/errors.ts'
import { showBytes } from '../../kernel/units/units.ts'

export const noSpace = (host: string, directory: string, what: string, cause?: unknown) =>
  new Fault(
    507,
    'NoSpace',
    `Host ${host} has no room for ${what} in ${directory}: delete servers or snapshots there, or give its file system more space.`,
    { cause },
  )

/** Before much is written: what will not fit is refused at once. */
export async function assertSpace(host: string, directory: string, bytes: number, what: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory)
  const free = bavail * bsize
  if (bytes > free) throw noSpace(host, directory, `${what} (${showBytes(bytes)} wanted, ${showBytes(free)} free)`)
}

/** An error of a file operation: a full disk in words, others as they are. */
export function spaceFault(error: unknown, host: string, directory: string, what: string): unknown {
  const full = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '') || (error as Fault).code === 'DiskFull'
  return full ? noSpace(host, directory, what, error) : error
}
