import type { NewImageDocument } from '../../image/client.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow, VmState } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { requestOf } from './instance-spec.ts'
import { limitsOf } from './quota.ts'
import { snapshotProperties } from './server.ts'

/** Of a server with a disk of its own: makes the image's record as the user and starts the saga that fills it. Returns the image's id. */
export async function createImage(context: ComputeContext, request: RequestContext, row: InstanceRow, wanted: NewPicture): Promise<string> {
  return await withPicture(context, request, row, wanted, async (imageId) => {
    await operate(context, request, row, {
      action: 'createImage',
      saga: 'snapshot-server',
      vmStates: PICTURED,
      taskState: 'image_snapshot',
      input: { imageId },
      lockedToo: true, // a lock is there against changes
    })
  })
}

/** In which states a picture is taken of a server. */
export const PICTURED: VmState[] = ['active', 'stopped', 'paused', 'suspended']

/** @throws Fault 403 over quota */
export async function checkImageMetadata({ database }: ComputeContext, request: RequestContext, metadata: object): Promise<void> {
  const { metadata_items: limit } = await limitsOf(database.db, request.projectId ?? '')
  if (limit >= 0 && Object.keys(metadata).length > limit) throw new Fault(403, 'MetadataLimitExceeded', 'Image metadata limit exceeded')
}

export interface NewPicture {
  name: string
  metadata: Record<string, string>
}

/** The record of an image of a server with a disk of its own, for an operation that fills it; gone again when that cannot begin. */
export async function withPicture(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  wanted: NewPicture,
  begin: (imageId: string) => Promise<void>,
): Promise<string> {
  const base = requestOf(row).image!
  const document = {
    name: wanted.name,
    disk_format: 'qcow2',
    container_format: 'bare',
    visibility: 'private' as const,
    min_ram: base.minRamMiB,
    min_disk: Math.max(base.minDiskGiB, JSON.parse(row.flavor_json).rootGiB),
    ...base.properties,
    ...snapshotProperties(row),
    ...wanted.metadata,
  }
  return await recorded(context, request, document, begin)
}

/** An image's record as the user's own, for an operation that fills it; gone again when that cannot begin. Returns its id. */
export async function recorded(
  context: ComputeContext,
  request: RequestContext,
  document: NewImageDocument,
  begin: (imageId: string) => Promise<void>,
): Promise<string> {
  const as = { token: request.token, requestId: request.requestId }
  const image = await context.images.create(document, as)
  try {
    await begin(image.id)
  } catch (error) {
    await context.images.remove(image.id, as).catch((problem) => {
      if (!(problem instanceof Fault)) throw problem
    })
    throw error
  }
  return image.id
}
