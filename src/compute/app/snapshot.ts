import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { requestOf } from './instance-spec.ts'
import { snapshotProperties } from './server.ts'

/** Makes the image's record as the user and starts the saga that fills it. Returns the image's id. */
export async function createImage(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  wanted: { name: string; metadata: Record<string, string> },
): Promise<string> {
  const { image: base } = requestOf(row)
  if (!base) throw badRequest(`Server ${row.id} boots from a volume: take a snapshot of its volume instead.`, 'VolumeBackedSnapshot')
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
    await operate(context, request, row, {
      action: 'createImage',
      saga: 'snapshot-server',
      vmStates: ['active', 'stopped', 'paused', 'suspended'],
      taskState: 'image_snapshot',
      input: { imageId: image.id },
    })
  } catch (error) {
    await context.images.remove(image.id, as).catch((problem) => {
      if (!(problem instanceof Fault)) throw problem
    })
    throw error
  }
  return image.id
}
