import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { type Properties, setProperties } from '../db/properties.ts'
import { dressSnapshots, findSnapshot, moveSnapshot, type Snapshot } from '../db/snapshots.ts'
import type { SnapshotRow } from '../db/tables.ts'
import { volumeRow } from '../db/volumes.ts'
import { type Viewer, type VolumeContext, volumeSubject } from './context.ts'
import { reserving } from './quota.ts'
import { copyOf, invalidVolume, presentVolume, type Volume } from './volume.ts'

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
  if (!snapshot || !(viewer.isAdmin || snapshot.project_id === viewer.projectId)) throw noSnapshot(id)
  return snapshot
}

const noSnapshot = (id: string) => notFound(`Snapshot ${id} could not be found.`, 'SnapshotNotFound')

/** @throws Fault 400 when the volume is busy, or in use and nobody insists; 413 over quota */
export async function createSnapshot(context: VolumeContext, viewer: Viewer, volume: Volume, asked: NewSnapshot): Promise<Snapshot> {
  const from = asked.force ? ['available', 'in-use'] : ['available']
  const snapshot = await reserving(context, volume.project_id, async (trx, reserve): Promise<Snapshot> => {
    // held, not only read: whoever deletes the volume at the same time comes before or after
    const { id, status, size, host, project_id, typeName } = await presentVolume(trx, volume)
    const there = asked.id && (await findSnapshot(trx, asked.id))
    if (there && there.volume_id === id) return there
    if (there) throw conflict(`Snapshot ${asked.id} already exists.`, 'SnapshotExists')
    await reserve({ snapshots: 1, gigabytes: size, typeName })
    if (!from.includes(status)) throw invalidVolume(`Volume ${id} status must be ${from.join(' or ')}, but current status is: ${status}.`)
    const at = timestamp()
    const row: SnapshotRow = {
      id: asked.id ?? randomUUID(),
      volume_id: id,
      project_id,
      user_id: viewer.userId ?? volume.user_id,
      name: asked.name,
      description: asked.description,
      size,
      status: 'creating',
      progress: null,
      created_at: at,
      updated_at: at,
    }
    await trx.insertInto('snapshots').values(row).execute()
    await setProperties(trx, 'snapshot', row.id, asked.metadata)
    await context.engine.submit(trx, {
      kind: 'create-snapshot',
      subject: volumeSubject(id),
      input: { snapshotId: row.id, volumeId: id, host, sizeGiB: size },
      requestId: viewer.requestId,
    })
    return { ...row, metadata: asked.metadata }
  })
  context.engine.wake(volumeSubject(volume.id))
  return snapshot
}

/** @throws Fault 400 while it is busy */
export async function deleteSnapshot(context: VolumeContext, viewer: Viewer, snapshot: Snapshot, { force = false } = {}): Promise<void> {
  const volume = await volumeRow(context.database.db, snapshot.volume_id)
  await context.database.transaction(async (trx) => {
    if (!(await moveSnapshot(trx, snapshot.id, force ? null : ['available', 'error', 'error_deleting'], { status: 'deleting' })))
      throw badRequest(`Invalid snapshot: Volume Snapshot status must be available or error, it is ${snapshot.status}.`, 'InvalidSnapshot')
    if ((await findSnapshot(trx, snapshot.id))?.project_id !== snapshot.project_id) throw noSnapshot(snapshot.id)
    const copying = await copyOf(context, trx, { snapshotIds: [snapshot.id] })
    if (copying) throw badRequest(`Invalid snapshot: volume ${copying} is being made from it.`, 'InvalidSnapshot')
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
  if (
    !(await moveSnapshot(context.database.db, snapshot.id, [snapshot.status], { status, ...(progress === undefined ? {} : { progress }) }))
  )
    throw badRequest(`Snapshot ${snapshot.id} is no longer ${snapshot.status}.`)
}

export const dressed = (context: VolumeContext, rows: SnapshotRow[]): Promise<Snapshot[]> => dressSnapshots(context.database.db, rows)
