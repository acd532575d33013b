import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { type Properties, setProperties } from '../db/properties.ts'
import { dressSnapshots, findSnapshot, moveSnapshot, type Snapshot } from '../db/snapshots.ts'
import type { SnapshotRow } from '../db/tables.ts'
import { moveVolume, volumeRow } from '../db/volumes.ts'
import { type Viewer, type VolumeContext, volumeSubject } from './context.ts'
import { reserving } from './quota.ts'
import { invalidVolume, type Volume } from './volume.ts'

export type { Snapshot }

export interface NewSnapshot {
  /** Drawn by another service; the same again answers the snapshot that is there. */
  id?: string
  name: string
  description: string | null
  metadata: Properties
  force: boolean
}

/** @throws Fault 404, also when the viewer may not know of it */
export async function seeSnapshot(context: VolumeContext, viewer: Viewer, id: string): Promise<Snapshot> {
  const snapshot = await findSnapshot(context.database.db, id)
  if (!snapshot || !(viewer.isAdmin || snapshot.project_id === viewer.projectId))
    throw notFound(`Snapshot ${id} could not be found.`, 'SnapshotNotFound')
  return snapshot
}

/** @throws Fault 400 when the volume is busy, or in use and nobody insists; 413 over quota */
export async function createSnapshot(context: VolumeContext, viewer: Viewer, volume: Volume, asked: NewSnapshot): Promise<Snapshot> {
  const there = asked.id && (await findSnapshot(context.database.db, asked.id))
  if (there && there.volume_id === volume.id) return there
  if (there) throw conflict(`Snapshot ${asked.id} already exists.`, 'SnapshotExists')
  const from = asked.force ? ['available', 'in-use'] : ['available']
  const at = timestamp()
  const snapshot: Snapshot = {
    id: asked.id ?? randomUUID(),
    volume_id: volume.id,
    project_id: volume.project_id,
    user_id: viewer.userId ?? volume.user_id,
    name: asked.name,
    description: asked.description,
    size: volume.size,
    status: 'creating',
    progress: null,
    created_at: at,
    updated_at: at,
    metadata: asked.metadata,
  }
  const wanted = { snapshots: 1, gigabytes: volume.size, typeName: volume.typeName }
  await reserving(context, volume.project_id, wanted, async (trx) => {
    const { metadata, ...row } = snapshot
    // writing it, not reading it: whoever deletes the volume at the same time comes before or after
    if (!(await moveVolume(trx, volume.id, from, {}))) {
      const status = (await volumeRow(trx, volume.id))?.status ?? 'deleted'
      throw invalidVolume(`Volume ${volume.id} status must be ${from.join(' or ')}, but current status is: ${status}.`)
    }
    await trx.insertInto('snapshots').values(row).execute()
    await setProperties(trx, 'snapshot', row.id, metadata)
    await context.engine.submit(trx, {
      kind: 'create-snapshot',
      subject: volumeSubject(volume.id),
      input: { snapshotId: row.id, volumeId: volume.id, host: volume.host, sizeGiB: volume.size },
      requestId: viewer.requestId,
    })
  })
  context.engine.wake(volumeSubject(volume.id))
  return snapshot
}

/** @throws Fault 400 while it is busy */
export async function deleteSnapshot(context: VolumeContext, viewer: Viewer, snapshot: Snapshot, { force = false } = {}): Promise<void> {
  const db = context.database.db
  const copying = await db
    .selectFrom('volumes')
    .select('id')
    .where('snapshot_id', '=', snapshot.id)
    .where('status', '=', 'creating')
    .executeTakeFirst()
  if (copying) throw badRequest(`Invalid snapshot: volume ${copying.id} is being made from it.`, 'InvalidSnapshot')
  const volume = await volumeRow(db, snapshot.volume_id)
  await context.database.transaction(async (trx) => {
    if (!(await moveSnapshot(trx, snapshot.id, force ? null : ['available', 'error', 'error_deleting'], { status: 'deleting' })))
      throw badRequest(`Invalid snapshot: Volume Snapshot status must be available or error, it is ${snapshot.status}.`, 'InvalidSnapshot')
    await context.engine.submit(trx, {
      kind: 'delete-snapshot',
      subject: volumeSubject(snapshot.volume_id),
      input: { snapshotId: snapshot.id, volumeId: snapshot.volume_id, host: volume?.host ?? null },
      requestId: viewer.requestId,
    })
  })
  context.engine.wake(volumeSubject(snapshot.volume_id))
}

export async function updateSnapshot(
  context: VolumeContext,
  snapshot: Snapshot,
  change: { name?: string; description?: string | null; status?: string; progress?: string | null },
): Promise<Snapshot> {
  await moveSnapshot(context.database.db, snapshot.id, null, change)
  return { ...snapshot, ...change, updated_at: timestamp() }
}

const FOLLOWS: Record<string, string[]> = { creating: ['creating', 'available', 'error'], deleting: ['deleting', 'error_deleting'] }

/** For who makes snapshots outside of us. @throws Fault 400 for a status that does not follow from the present one */
export async function tellSnapshotStatus(context: VolumeContext, snapshot: Snapshot, status: string, progress?: string): Promise<void> {
  const from = FOLLOWS[snapshot.status]
  if (!from) throw badRequest(`Snapshot status ${snapshot.status} not allowed for update_snapshot_status`)
  if (!from.includes(status))
    throw badRequest(`Provided snapshot status ${status} not allowed for snapshot with status ${snapshot.status}.`)
  await moveSnapshot(context.database.db, snapshot.id, [snapshot.status], { status, ...(progress === undefined ? {} : { progress }) })
}

export const dressed = (context: VolumeContext, rows: SnapshotRow[]): Promise<Snapshot[]> => dressSnapshots(context.database.db, rows)
