import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import type { RootDisk } from '../../compute/rpc.ts'
import { decodeBacking } from '../../drivers/qemu-img/formats/qcow2-header.ts'
import { inspectImage } from '../../drivers/qemu-img/inspect.ts'
import { KiB } from '../../kernel/units/units.ts'
import { unless } from './power-states.ts'
import type { World } from './world.ts'

/** The name of a backing file stands in a qcow2's first cluster. */
const HEAD_BYTES = 64 * KiB

/** Whether a guest has it open or not. Null for a server that has none of its own: it boots from a volume. */
export async function rootDisk({ places }: World, uuid: string): Promise<RootDisk | null> {
  const path = places.disk(uuid)
  const found = await unless(['ImageNotFound'], inspectImage(path))
  if (!found) return null
  const backing = await backingOf(path)
  return { virtualSizeBytes: found.virtualSizeBytes, base: backing ? basename(backing) : null }
}

/** Read past the lock that a running guest has on it. */
export async function backingOf(path: string): Promise<string | undefined> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return undefined
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
    const head = buffer.subarray(0, bytesRead)
    return head.toString('latin1', 0, 4) === 'QFI\xfb' ? decodeBacking(head)?.path : undefined
  } finally {
    await file.close()
  }
}
