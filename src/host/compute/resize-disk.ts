import { inspectImage } from '../../drivers/qemu-img/inspect.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { GiB, showBytes } from '../../kernel/units/units.ts'
import type { World } from './world.ts'

/** Step 28. A flavor without a root size leaves the disk as large as the image; data are never cut off. */
export async function resizeDisk({ machine: { qemuImg }, places }: World, { uuid, rootGiB }: { uuid: string; rootGiB: number }) {
  const path = places.disk(uuid)
  const { virtualSizeBytes } = await inspectImage(path)
  const wanted = rootGiB * GiB
  if (wanted === 0 || wanted === virtualSizeBytes) return { virtualSizeBytes, grown: false }
  if (wanted < virtualSizeBytes)
    throw badRequest(
      `Flavor's disk is too small: it gives ${rootGiB} GiB, and the server's disk has ${showBytes(virtualSizeBytes)} already. Disks are not made smaller.`,
      'FlavorDiskSmallerThanImage',
    )
  await qemuImg.resize({ path, format: 'qcow2' }, wanted)
  return { virtualSizeBytes: wanted, grown: true }
}
