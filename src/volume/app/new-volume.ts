import type { ImageDocument } from '../../image/client.ts'
import { badRequest, Fault, notFound } from '../../kernel/errors/errors.ts'
import { GiB } from '../../kernel/units/units.ts'
import type { Handle } from '../db/handle.ts'
import type { Properties } from '../db/properties.ts'
import { findSnapshot, moveSnapshot } from '../db/snapshots.ts'
import { DEFAULT_TYPE, findType, holdType, mayUseType, type VolumeType } from '../db/types.ts'
import { findVolume, heldVolume } from '../db/volumes.ts'
import { zones } from './backend.ts'
import type { Viewer, VolumeContext } from './context.ts'

export interface NewVolume {
  id?: string
  projectId: string
  userId: string
  sizeGiB: number | null
  name: string
  description: string | null
  type: string | null
  zone: string | null
  imageId: string | null
  snapshotId: string | null
  sourceVolumeId: string | null
  metadata: Properties
  /** For several servers, also without a type that says so: as older clients ask. */
  multiattach: boolean
}

/** What a volume is made from, looked at: it exists, may be used, and fits. */
export interface Source {
  sizeGiB: number
  type: VolumeType
  imageMetadata: Properties
  bootable: boolean
  /** The back end that it has to lie on. */
  onlyOn: string | null
  /** For a snapshot: the volume that it is of. */
  snapshotVolumeId: string | null
}

/** @throws Fault 400 or 404 naming what does not do */
export async function sourceOf(context: VolumeContext, viewer: Viewer, asked: NewVolume): Promise<Source> {
  const given = [asked.imageId, asked.snapshotId, asked.sourceVolumeId].filter((one) => one !== null)
  if (given.length > 1)
    throw badRequest('Invalid input received: a volume is made from an image, a snapshot or a volume, not from several.')
  if (asked.zone !== null && !(await zones(context)).some((zone) => zone.name === asked.zone))
    throw badRequest(`Availability zone '${asked.zone}' is invalid.`, 'InvalidAvailabilityZone')
  const plain = { imageMetadata: {}, bootable: false, onlyOn: null, snapshotVolumeId: null }
  if (asked.snapshotId) return await fromSnapshot(context, viewer, asked, asked.snapshotId)
  if (asked.sourceVolumeId) return await fromVolume(context, viewer, asked, asked.sourceVolumeId)
  const type = await typeOf(context, asked, DEFAULT_TYPE)
  if (asked.imageId) return { ...plain, type, ...(await fromImage(context, viewer, asked, asked.imageId)) }
  return { ...plain, type, sizeGiB: sizeOf(asked, null, '') }
}

/** That what it is made from is (still) as it was looked at, and stays until the transaction ends: who would delete it then sees that it is being copied. @throws Fault 400, 404 */
export async function holdSource(trx: Handle, asked: NewVolume, { sizeGiB, type }: Source): Promise<void> {
  if (asked.snapshotId && !(await moveSnapshot(trx, asked.snapshotId, ['available'], {})))
    throw badRequest(`Invalid snapshot: Originating snapshot ${asked.snapshotId} is no longer 'available'.`, 'InvalidSnapshot')
  if (asked.sourceVolumeId) {
    const volume = await heldVolume(trx, asked.sourceVolumeId)
    if (!volume || !COPIED.includes(volume.status)) throw notCopied(asked.sourceVolumeId, volume?.status ?? 'gone')
    sizeOf({ ...asked, sizeGiB }, volume.size, 'source volume')
  }
  if (!(await holdType(trx, type))) throw noType(type.name)
}

const COPIED = ['available', 'in-use']

const notCopied = (id: string, status: string) =>
  badRequest(`Invalid volume: The source volume ${id} is ${status}, neither available nor in-use.`, 'InvalidVolume')

const noType = (name: string) => notFound(`Volume type with name ${name} could not be found.`, 'VolumeTypeNotFound')

/** @throws Fault 404 for a type that the project may not know */
async function typeOf(context: VolumeContext, asked: NewVolume, otherwise: string): Promise<VolumeType> {
  const db = context.database.db
  const name = asked.type ?? otherwise
  const type = await findType(db, name)
  if (!type || (asked.type && !(await mayUseType(db, type, asked.projectId)))) throw noType(name)
  return type
}

function sizeOf(asked: NewVolume, atLeast: number | null, of: string): number {
  const size = asked.sizeGiB ?? atLeast
  if (size === null) throw badRequest("Invalid input received: volume 'size' is needed when there is no source.", 'InvalidInput')
  if (size < 1) throw badRequest(`Invalid input received: Invalid volume size provided for create request: ${size}.`, 'InvalidInput')
  if (atLeast !== null && size < atLeast)
    throw badRequest(
      `Invalid input received: Volume size '${size}'GB cannot be smaller than the ${of} size ${atLeast}GB. They must be >= ${of} size.`,
      'InvalidInput',
    )
  return size
}

async function fromSnapshot(context: VolumeContext, viewer: Viewer, asked: NewVolume, id: string): Promise<Source> {
  const snapshot = await findSnapshot(context.database.db, id)
  if (!snapshot || !(viewer.isAdmin || snapshot.project_id === viewer.projectId))
    throw notFound(`Snapshot ${id} could not be found.`, 'SnapshotNotFound')
  if (snapshot.status !== 'available')
    throw badRequest(`Invalid snapshot: Originating snapshot status must be one of 'available' values, not '${snapshot.status}'.`)
  const volume = await findVolume(context.database.db, snapshot.volume_id)
  if (!volume) throw notFound(`Volume ${snapshot.volume_id} of snapshot ${id} could not be found.`, 'VolumeNotFound')
  return {
    sizeGiB: sizeOf(asked, snapshot.size, 'snapshot'),
    type: await typeOf(context, asked, volume.type_id),
    imageMetadata: volume.imageMetadata ?? {},
    bootable: volume.bootable === 1,
    onlyOn: volume.host,
    snapshotVolumeId: volume.id,
  }
}

async function fromVolume(context: VolumeContext, viewer: Viewer, asked: NewVolume, id: string): Promise<Source> {
  const volume = await findVolume(context.database.db, id)
  if (!volume || !(viewer.isAdmin || volume.project_id === viewer.projectId))
    throw notFound(`Volume ${id} could not be found.`, 'VolumeNotFound')
  if (!COPIED.includes(volume.status)) throw notCopied(id, volume.status)
  return {
    sizeGiB: sizeOf(asked, volume.size, 'source volume'),
    type: await typeOf(context, asked, volume.type_id),
    imageMetadata: volume.imageMetadata ?? {},
    bootable: volume.bootable === 1,
    onlyOn: volume.host,
    snapshotVolumeId: null,
  }
}

async function fromImage(context: VolumeContext, viewer: Viewer, asked: NewVolume, id: string) {
  const image = await imageOf(context, viewer, id)
  if (image.status !== 'active') throw badRequest(`Invalid image identifier or unable to access requested image: it is ${image.status}.`)
  const least = Math.max(Math.ceil(Math.max(image.size ?? 0, image.virtual_size ?? 0) / GiB), image.min_disk, 1)
  const sizeGiB = sizeOf(asked, null, '')
  if (sizeGiB < least)
    throw badRequest(
      `Invalid input received: Image ${id} needs ${least}GB (its virtual size, its min_disk), the volume has ${sizeGiB}GB.`,
      'InvalidInput',
    )
  return { sizeGiB, imageMetadata: metadataOf(image), bootable: true }
}

async function imageOf(context: VolumeContext, viewer: Viewer, id: string): Promise<ImageDocument> {
  try {
    return await context.images.image(id, { token: viewer.token, requestId: viewer.requestId })
  } catch (error) {
    if (error instanceof Fault && (error.status === 404 || error.status === 403))
      throw badRequest(`Invalid input received: Invalid image identifier or unable to access requested image ${id}.`, 'InvalidInput')
    throw error
  }
}

/** Attributes of an image that say nothing about its data. */
const NOT_KEPT = new Set(
  'id name owner status visibility protected os_hidden tags created_at updated_at self file schema stores virtual_size'.split(' '),
)

/** What a volume remembers of its image, and a server that boots from it goes by. */
export function metadataOf(image: ImageDocument): Properties {
  const kept: Properties = { image_id: image.id, image_name: image.name ?? '' }
  for (const [name, value] of Object.entries(image))
    if (!NOT_KEPT.has(name) && !name.startsWith('os_hash_') && value !== null && typeof value !== 'object') kept[name] = String(value)
  return kept
}
