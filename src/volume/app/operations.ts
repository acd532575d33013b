import { randomUUID } from 'node:crypto'
import { badRequest, conflict, Fault } from '../../kernel/errors/errors.ts'
import { moveSnapshot, snapshotsOf } from '../db/snapshots.ts'
import { moveVolume } from '../db/volumes.ts'
import { deleteAttachments } from './attachment.ts'
import { type Viewer, type VolumeContext, volumeSubject } from './context.ts'
import { reserving } from './quota.ts'
import { invalidVolume, presentVolume, type Volume } from './volume.ts'

/** `attached`: one that is in use. @throws Fault 400 when it is not larger or the volume is neither available nor that, 413 over quota */
export async function extendVolume(
  context: VolumeContext,
  viewer: Viewer,
  volume: Volume,
  { sizeGiB, attached }: { sizeGiB: number; attached: boolean },
): Promise<void> {
  const from = attached ? 'in-use' : 'available'
  await reserving(context, volume.project_id, async (trx, reserve) => {
    const { size, host, status, typeName } = await presentVolume(trx, volume)
    if (sizeGiB <= size)
      throw badRequest(
        `Invalid input received: New size for extend must be greater than current size. (current: ${size}, extended: ${sizeGiB}).`,
        'InvalidInput',
      )
    await reserve({ gigabytes: sizeGiB - size, volumeGiB: sizeGiB, typeName })
    const change = { status: 'extending', previous_status: from, reserved_size: sizeGiB }
    if (!(await moveVolume(trx, volume.id, [from], change)))
      throw invalidVolume(`Volume ${volume.id} status must be '${from}' to extend, currently ${status}.`)
    await context.engine.submit(trx, {
      kind: 'extend-volume',
      subject: volumeSubject(volume.id),
      input: { volumeId: volume.id, host, sizeGiB, before: size },
      requestId: viewer.requestId,
    })
  })
  context.engine.wake(volumeSubject(volume.id))
}

export interface Upload {
  imageName: string
  diskFormat: string
  containerFormat: string
  visibility: string
  protected: boolean
  force: boolean
}

interface RecordedImage {
  imageId: string
  projectId: string | null
  upload: Upload
  sizeGiB: number
  properties: Record<string, string>
}

/** The image's record, without data yet; one that is there already is fine. */
export async function recordImage(
  context: VolumeContext,
  { imageId, upload, projectId, sizeGiB, properties }: RecordedImage,
): Promise<void> {
  try {
    await context.images.create({
      ...properties,
      id: imageId,
      name: upload.imageName,
      owner: projectId ?? undefined,
      disk_format: upload.diskFormat,
      container_format: upload.containerFormat,
      visibility: upload.visibility as 'private',
      protected: upload.protected,
      min_disk: sizeGiB,
    })
  } catch (error) {
    if (!(error instanceof Fault) || error.status !== 409) throw error
  }
}

/** @throws Fault 400 when the volume is in use and nobody insists */
export async function uploadVolume(context: VolumeContext, viewer: Viewer, volume: Volume, upload: Upload): Promise<{ imageId: string }> {
  const imageId = randomUUID()
  const from = upload.force ? ['available', 'in-use'] : ['available']
  const input = await context.database.transaction(async (trx) => {
    const { id, status, host, size, imageMetadata } = await presentVolume(trx, volume)
    if (!from.includes(status))
      throw invalidVolume(`Volume ${id} status must be available${upload.force ? ' or in-use' : ''} to upload, it is ${status}.`)
    await moveVolume(trx, id, null, { status: 'uploading', previous_status: status })
    const properties = imageProperties(imageMetadata ?? {})
    const input = { volumeId: id, host, projectId: viewer.projectId, imageId, upload, sizeGiB: size, properties }
    await context.engine.submit(trx, { kind: 'upload-image', subject: volumeSubject(id), input, requestId: viewer.requestId })
    return input
  })
  // whoever hears the image's id finds it; what is wrong with it the saga tells
  await recordImage(context, input).catch((error) => {
    if (!(error instanceof Fault)) throw error
  })
  context.engine.wake(volumeSubject(volume.id))
  return { imageId }
}

/** Of the image that the volume came from: what says how a guest of it runs. */
function imageProperties(metadata: Record<string, string>): Record<string, string> {
  const own = new Set('image_id image_name checksum size disk_format container_format min_ram min_disk'.split(' '))
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !own.has(name)))
}

/** To the newest snapshot only, as what came after it would be lost. */
export async function revertVolume(context: VolumeContext, viewer: Viewer, volume: Volume, snapshotId: string): Promise<void> {
  await context.database.transaction(async (trx) => {
    const { size, host, status } = await presentVolume(trx, volume)
    const newest = (await snapshotsOf(trx, volume.id))[0]
    if (newest?.id !== snapshotId)
      throw badRequest(`Snapshot ${snapshotId} is not the latest snapshot of volume ${volume.id}.`, 'InvalidSnapshot')
    if (newest.size !== size)
      throw badRequest(`Volume ${volume.id} has grown since snapshot ${snapshotId}: it cannot be reverted to it.`, 'InvalidSnapshot')
    if (!(await moveVolume(trx, volume.id, ['available'], { status: 'reverting', previous_status: 'available' })))
      throw conflict(`Volume ${volume.id} status must be available to revert, it is ${status}.`, 'InvalidVolume')
    if (!(await moveSnapshot(trx, snapshotId, ['available'], { status: 'restoring' })))
      throw conflict(`Snapshot ${snapshotId} is ${newest.status}, not available.`, 'InvalidSnapshot')
    await context.engine.submit(trx, {
      kind: 'revert-volume',
      subject: volumeSubject(volume.id),
      input: { volumeId: volume.id, host, snapshotId, sizeGiB: size },
      requestId: viewer.requestId,
    })
  })
  context.engine.wake(volumeSubject(volume.id))
}

export const VOLUME_STATUSES = 'creating available deleting error error_deleting attaching detaching in-use maintenance reserved'.split(' ')

/** For administrators: says what is so, does nothing. */
export async function resetStatus(
  context: VolumeContext,
  volume: Volume,
  status: string | undefined,
  attach: string | undefined,
): Promise<void> {
  if (status === undefined && attach === undefined)
    throw badRequest("Must specify 'status', 'attach_status' or 'migration_status' for update.")
  if (attach === 'detached') await deleteAttachments(context, volume.id, volume.attachments)
  if (status) await moveVolume(context.database.db, volume.id, null, { status, previous_status: null })
}

export const setBootable = (context: VolumeContext, volume: Volume, bootable: boolean) =>
  moveVolume(context.database.db, volume.id, null, { bootable: bootable ? 1 : 0 })

/** @throws Fault 400 while it is in use: its target would have to change under the guest */
export async function setReadOnly(context: VolumeContext, volume: Volume, readOnly: boolean): Promise<void> {
  if (!(await moveVolume(context.database.db, volume.id, ['available'], { readonly: readOnly ? 1 : 2 })))
    throw invalidVolume(`Volume ${volume.id} status must be available to update readonly flag, it is ${volume.status}.`)
}
