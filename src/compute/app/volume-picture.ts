import { randomUUID } from 'node:crypto'
import { Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { blockDevicesOf } from '../db/instances.ts'
import type { BlockDeviceRow, InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { deviceProperties } from './image-devices.ts'
import { snapshotProperties } from './server.ts'
import { mustBeIn } from './server-state.ts'
import { type NewPicture, PICTURED, recorded } from './snapshot.ts'
import { as } from './wanted-networks.ts'

/**
 * An image of a server that boots from a volume: snapshots of all its volumes, and a record without data that names them. Their ids are drawn here, so that the record
 * is whole before the first of them is made. Returns the image's id.
 * @throws Fault 409 for a state in the way, 403 over the quota of snapshots
 */
export async function pictureOfVolumes(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  { name, metadata }: NewPicture,
): Promise<string> {
  mustBeIn(PICTURED, row, 'createImage')
  const devices = await blockDevicesOf(context.database.db, [row.id])
  const taken = devices.flatMap((device) => (device.volume_id ? [{ snapshotId: randomUUID(), device }] : []))
  await checkQuota(context, request, taken.length)
  const base = await metadataOfRoot(context, request, devices)
  const document = {
    name,
    visibility: 'private' as const,
    disk_format: 'qcow2',
    container_format: 'bare',
    min_ram: Number(base.min_ram ?? 0),
    min_disk: Number(base.min_disk ?? 0),
    ...Object.fromEntries(Object.entries(base).filter(([key]) => !OF_THE_IMAGE.has(key))),
    ...snapshotProperties(row),
    ...metadata,
    ...deviceProperties(taken),
  }
  return await recorded(context, request, document, async (imageId) => {
    await operate(context, request, row, {
      action: 'createImage',
      saga: 'snapshot-volumes',
      vmStates: PICTURED,
      taskState: 'image_snapshot',
      input: {
        imageId,
        name: `snapshot for ${name}`,
        snapshots: taken.map((one) => ({ id: one.snapshotId, volumeId: one.device.volume_id })),
      },
      lockedToo: true,
    })
  })
}

/** What the volume service keeps of an image itself, beside its properties. */
const OF_THE_IMAGE = new Set('image_id image_name checksum size disk_format container_format min_ram min_disk'.split(' '))

async function metadataOfRoot(
  context: ComputeContext,
  request: RequestContext,
  devices: BlockDeviceRow[],
): Promise<Record<string, string>> {
  const root = devices.find((one) => one.boot_index !== null && Number(one.boot_index) === 0)
  return root?.volume_id ? ((await context.volumes.volume(root.volume_id, as(request))).volume_image_metadata ?? {}) : {}
}

/** So that not half of them are made; whoever takes snapshots at the same time may still come first. */
async function checkQuota(context: ComputeContext, request: RequestContext, count: number): Promise<void> {
  const { limits } = await context.volumes.forward({ method: 'GET', path: '/limits' }, as(request))
  const { totalSnapshotsUsed: used, maxTotalSnapshots: most } = limits.absolute
  if (most >= 0 && used + count > most) throw new Fault(403, 'OverQuota', 'Quota exceeded for resources: snapshots')
}
