import type { ImageDocument } from '../../image/client.ts'
import { badRequest, conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import { GiB } from '../../kernel/units/units.ts'
import { moveVolume } from '../db/volumes.ts'
import { type Viewer, type VolumeContext, volumeSubject } from './context.ts'
import { metadataOf } from './new-volume.ts'
import { invalidVolume, presentVolume, type Volume } from './volume.ts'

/**
 * Begins to write another image over all that a volume holds. `reservedToo`: also of a volume that a server has, and that is exported nowhere.
 * @throws Fault 400 for a status in the way or an image that does not fit, 404 without image, 409 when several servers have the volume
 */
export async function reimageVolume(
  context: VolumeContext,
  viewer: Viewer,
  volume: Volume,
  { imageId, reservedToo }: { imageId: string; reservedToo: boolean },
): Promise<void> {
  const from = reservedToo ? ['available', 'error', 'reserved'] : ['available', 'error']
  requireWritable(volume, from)
  const image = await imageFor(context, viewer, imageId)
  checkFits(image, volume.size)
  await context.database.transaction(async (trx) => {
    const present = await presentVolume(trx, volume)
    requireWritable(present, [volume.status]) // what the policy was asked about
    const { id, host, size, status } = present
    await moveVolume(trx, id, null, { status: 'downloading', previous_status: status })
    await context.engine.submit(trx, {
      kind: 'reimage-volume',
      subject: volumeSubject(id),
      input: { volumeId: id, host, sizeGiB: size, imageId, imageMetadata: metadataOf(image) },
      requestId: viewer.requestId,
    })
  })
  context.engine.wake(volumeSubject(volume.id))
}

function requireWritable({ id, attachments, status, host }: Volume, from: string[]): void {
  if (attachments.length > 1) throw conflict('Cannot re-image a volume which is attached to more than one server.', 'VolumeAttachedTwice')
  if (!from.includes(status)) throw invalidVolume(`Volume ${id} status must be ${from.join(' or ')}, but current status is ${status}.`)
  if (host === null) throw invalidVolume(`Volume ${id} lies on no back end: there is nothing to write an image onto.`)
}

async function imageFor(context: VolumeContext, viewer: Viewer, id: string): Promise<ImageDocument> {
  try {
    return await context.images.image(id, { token: viewer.token, requestId: viewer.requestId })
  } catch (error) {
    if (error instanceof Fault && (error.status === 404 || error.status === 403))
      throw notFound(`Image ${id} could not be found.`, 'ImageNotFound')
    throw error
  }
}

function checkFits(image: ImageDocument, sizeGiB: number): void {
  const no = (why: string) => badRequest(`Invalid input received: ${why}`, 'InvalidInput')
  if (image.status !== 'active') throw no(`Image ${image.id} is not active.`)
  const bytes = image.size ?? 0
  if (bytes === 0) throw no(`Image ${image.id} has no data of its own: make a volume of the snapshot that it names.`)
  if (bytes > sizeGiB * GiB) throw no(`Size of specified image ${Math.ceil(bytes / GiB)}GB is larger than volume size ${sizeGiB}GB.`)
  if (image.min_disk > sizeGiB) throw no(`Volume size ${sizeGiB}GB cannot be smaller than the image minDisk size ${image.min_disk}GB.`)
  const virtual = Math.ceil((image.virtual_size ?? 0) / GiB)
  if (virtual > sizeGiB)
    throw badRequest(
      `Image ${image.id} is unacceptable: Image virtual size is ${virtual}GB and doesn't fit in a volume of size ${sizeGiB}GB.`,
      'ImageUnacceptable',
    )
}
