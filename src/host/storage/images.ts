import { createReadStream, createWriteStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { assertSafe, qemuFormat } from '../../drivers/qemu-img/inspect.ts'
import type { VolumeBackend } from '../../drivers/volume-backend/driver.ts'
import type { ImageClient } from '../../image/client.ts'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import { GiB } from '../../kernel/units/units.ts'

type Images = Pick<ImageClient, 'image' | 'download' | 'upload'>

/**
 * Puts an image into a work file, looked at and known to fit on `sizeGiB`; the caller removes the file.
 * @throws Fault 400 when it is not safe, not of a known format or too large; 409 when it is not active; 507 when the disk is full
 */
export async function downloadImage(
  images: Images,
  imageId: string,
  to: { path: string; sizeGiB: number },
): Promise<{ path: string; format: string; bytes: number }> {
  const image = await images.image(imageId)
  if (image.status !== 'active') throw new Fault(409, 'ImageNotActive', `Image ${imageId} is ${image.status}, not active.`)
  try {
    await pipeline(await images.download(imageId), createWriteStream(to.path, { mode: 0o600 }))
    const { size } = await stat(to.path)
    if (image.size !== null && size !== image.size)
      throw new Fault(502, 'ImageTruncated', `Of image ${imageId} ${size} bytes came, not ${image.size}.`)
    const { virtualSizeBytes } = await assertSafe(to.path, image.disk_format ?? '', imageId)
    if (virtualSizeBytes > to.sizeGiB * GiB)
      throw badRequest(
        `Image ${imageId} virtual size is ${Math.ceil(virtualSizeBytes / GiB)} GB and doesn't fit in a volume of size ${to.sizeGiB} GB.`,
        'ImageTooLarge',
      )
    return { path: to.path, format: qemuFormat(image.disk_format!), bytes: size }
  } catch (error) {
    await rm(to.path, { force: true })
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC')
      throw new Fault(507, 'NoSpace', `There is no room on the storage host for image ${imageId} on its way to the volume.`, {
        cause: error,
      })
    throw error
  }
}

/** Sends a volume to a queued image: raw ones as they are, others by a work file that is gone afterwards. */
export async function uploadVolume(
  images: Images,
  imageId: string,
  from: { backend: VolumeBackend; volumeId: string; diskFormat: string; path: string },
): Promise<{ bytes: number }> {
  const { backend, volumeId, diskFormat, path } = from
  const already = await images.image(imageId)
  if (already.status === 'active') return { bytes: already.size ?? 0 }
  if (diskFormat === 'raw') await images.upload(imageId, backend.stream(volumeId))
  else
    try {
      await backend.drain(volumeId, { path, format: qemuFormat(diskFormat) })
      await images.upload(imageId, createReadStream(path))
    } finally {
      await rm(path, { force: true })
    }
  return { bytes: (await images.image(imageId)).size ?? 0 }
}
