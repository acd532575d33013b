import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { requestOf } from './instance-spec.ts'
import { snapshotProperties } from './server.ts'

/** Makes the image's record as the user and starts the saga that fills it. Returns the image's id. */
export async function createImage(context: ComputeContext, request: RequestContext, row: InstanceRow, wanted: NewPicture): Promise<string> {
  if (!requestOf(row).image)
    throw badRequest(`Server ${row.id} boots from a volume: take a snapshot of its volume instead.`, 'VolumeBackedSnapshot')
  return await withPicture(context, request, row, wanted, async (imageId) => {
    await operate(context, request, row, {
      action: 'createImage',
      saga: 'snapshot-server',
      vmStates: ['active', 'stopped', 'paused', 'suspended'],
      taskState: 'image_snapshot',
      input: { imageId },
    })
  })
}

interface NewPicture {
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
  const as = { token: request.token, requestId: request.requestId }
  const image = await context.images.create(
    {
      name: wanted.name,
      disk_format: 'qcow2',
      container_format: 'bare',
      visibility: 'private',
      min_ram: base.minRamMiB,
      min_disk: Math.max(base.minDiskGiB, JSON.parse(row.flavor_json).rootGiB),
      ...base.properties,
      ...snapshotProperties(row),
      ...wanted.metadata,
    },
    as,
  )
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
