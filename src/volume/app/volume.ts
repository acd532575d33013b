import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { now, record } from '../../kernel/trace/trace.ts'
import { setProperties } from '../db/properties.ts'
import { moveSnapshotsOf, snapshotsOf } from '../db/snapshots.ts'
import type { VolumeRow } from '../db/tables.ts'
import { sharedBy } from '../db/types.ts'
import { dressVolumes, findVolume, holdVolume, moveVolume, type Volume } from '../db/volumes.ts'
import { type Viewer, type VolumeContext, volumeSubject } from './context.ts'
import { type NewVolume, sourceOf } from './new-volume.ts'
import { reserving } from './quota.ts'

export type { Volume }

export const invalidVolume = (message: string) => badRequest(`Invalid volume: ${message}`, 'InvalidVolume')

/** @throws Fault 404, also when the viewer may not know of it */
export async function seeVolume(context: VolumeContext, viewer: Viewer, id: string): Promise<Volume> {
  const volume = await findVolume(context.database.db, id)
  if (!volume || !(viewer.isAdmin || volume.project_id === viewer.projectId))
    throw notFound(`Volume ${id} could not be found.`, 'VolumeNotFound')
  return volume
}

/** What the saga create-volume goes by. */
export interface CreateInput {
  volumeId: string
  sizeGiB: number
  zone: string | null
  typeId: string
  onlyOn: string | null
  imageId: string | null
  snapshotId: string | null
  snapshotVolumeId: string | null
  sourceVolumeId: string | null
  bootable: boolean
}

/** Step 44: row, quota and saga come into being together. @throws Fault 400, 404, 413 */
export async function createVolume(context: VolumeContext, viewer: Viewer, asked: NewVolume): Promise<Volume> {
  const startedAt = now()
  const id = asked.id ?? randomUUID()
  const there = asked.id && (await findVolume(context.database.db, id))
  if (there && there.project_id === asked.projectId) return there
  if (there) throw conflict(`Volume ${id} already exists.`, 'VolumeExists')
  const source = await sourceOf(context, viewer, asked)
  const at = timestamp()
  const row: VolumeRow = {
    id,
    project_id: asked.projectId,
    user_id: asked.userId,
    name: asked.name,
    description: asked.description,
    size: source.sizeGiB,
    reserved_size: source.sizeGiB,
    status: 'creating',
    type_id: source.type.id,
    availability_zone: asked.zone ?? context.settings.defaultZone,
    host: null,
    placement_json: null,
    snapshot_id: asked.snapshotId,
    source_volid: asked.sourceVolumeId,
    bootable: 0,
    readonly: 0,
    multiattach: asked.multiattach || sharedBy(source.type) ? 1 : 0,
    previous_status: null,
    created_at: at,
    updated_at: at,
  }
  const input: CreateInput = {
    volumeId: id,
    sizeGiB: source.sizeGiB,
    zone: asked.zone,
    typeId: source.type.id,
    onlyOn: source.onlyOn,
    imageId: asked.imageId,
    snapshotId: asked.snapshotId,
    snapshotVolumeId: source.snapshotVolumeId,
    sourceVolumeId: asked.sourceVolumeId,
    bootable: source.bootable,
  }
  const wanted = { volumes: 1, gigabytes: source.sizeGiB, volumeGiB: source.sizeGiB, typeName: source.type.name }
  const text = await reserving(context, asked.projectId, wanted, async (trx, counted) => {
    await trx.insertInto('volumes').values(row).execute()
    await setProperties(trx, 'volume', id, asked.metadata)
    await setProperties(trx, 'image', id, source.imageMetadata)
    await context.engine.submit(trx, { kind: 'create-volume', subject: volumeSubject(id), input, requestId: viewer.requestId })
    return counted
  })
  record({
    subject: volumeSubject(id),
    step: 44,
    name: 'create-volume',
    service: 'volume/api',
    requestId: viewer.requestId,
    saga: 'create-volume',
    startedAt,
    ms: now() - startedAt,
    outcome: 'done',
    evidence: { text: `${source.sizeGiB} GiB asked, ${text}` },
  })
  const volume = (await findVolume(context.database.db, id))!
  context.engine.wake(volumeSubject(id))
  return volume
}

export const DELETABLE = ['available', 'error', 'error_deleting', 'error_extending', 'error_managing', 'maintenance']
const DELETABLE_SNAPSHOTS = ['available', 'error', 'error_deleting']

/** @throws Fault 400 while it is in use, busy, or has snapshots that do not go with it */
export async function deleteVolume(
  context: VolumeContext,
  viewer: Viewer,
  volume: Volume,
  { cascade = false, force = false } = {},
): Promise<void> {
  const { id } = volume
  if (volume.attachments.length > 0)
    throw invalidVolume(`Volume ${id} is still attached, detach volume first. Its status is ${volume.status}.`)
  const copying = await context.database.db
    .selectFrom('volumes')
    .select('id')
    .where('source_volid', '=', id)
    .where('status', '=', 'creating')
    .executeTakeFirst()
  if (copying) throw invalidVolume(`Volume ${id} is being copied to volume ${copying.id}: wait until that is available.`)
  await context.database.transaction(async (trx) => {
    await holdVolume(trx, id)
    const snapshots = await snapshotsOf(trx, id)
    if (snapshots.length > 0 && !cascade)
      throw invalidVolume(`Volume ${id} has ${snapshots.length} dependent snapshots; delete them first, or all at once with cascade.`)
    if (snapshots.length > 0 && (await moveSnapshotsOf(trx, id, DELETABLE_SNAPSHOTS, { status: 'deleting' })) < snapshots.length) {
      const busy = snapshots.find((one) => !DELETABLE_SNAPSHOTS.includes(one.status)) ?? snapshots[0]!
      throw invalidVolume(`Snapshot ${busy.id} of volume ${id} is ${busy.status}: the volume cannot go now.`)
    }
    if (!(await moveVolume(trx, id, force ? null : DELETABLE, { status: 'deleting', previous_status: null })))
      throw invalidVolume(
        `Volume status must be available or error or error_deleting or error_extending and must not be migrating, attached, or have snapshots; volume ${id} is ${volume.status}.`,
      )
    const attached = await trx.selectFrom('attachments').select('id').where('volume_id', '=', id).executeTakeFirst()
    if (attached) throw invalidVolume(`Volume ${id} is still attached, detach volume first.`)
    await context.engine.submit(trx, {
      kind: 'delete-volume',
      subject: volumeSubject(id),
      input: { volumeId: id, host: volume.host, snapshotIds: snapshots.map((one) => one.id) },
      requestId: viewer.requestId,
      ...(force ? { interruptOthers: 'the volume is being deleted' } : {}),
    })
  })
  context.engine.wake(volumeSubject(id))
}

export async function updateVolume(
  context: VolumeContext,
  volume: Volume,
  change: { name?: string; description?: string | null },
): Promise<Volume> {
  await moveVolume(context.database.db, volume.id, null, change)
  return { ...volume, ...change, updated_at: timestamp() }
}

export const dressed = (context: VolumeContext, rows: VolumeRow[]): Promise<Volume[]> => dressVolumes(context.database.db, rows)
