import { randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { now, record } from '../../kernel/trace/trace.ts'
import type { Handle } from '../db/handle.ts'
import { setProperties } from '../db/properties.ts'
import { moveSnapshotsOf, snapshotsOf } from '../db/snapshots.ts'
import type { VolumeRow, VolumeTables } from '../db/tables.ts'
import { sharedBy } from '../db/types.ts'
import { type CopySource, copiesOf, dressVolumes, findVolume, heldVolume, moveVolume, type Volume } from '../db/volumes.ts'
import { type Viewer, type VolumeContext, volumeSubject } from './context.ts'
import { holdSource, type NewVolume, sourceOf } from './new-volume.ts'
import { reserving } from './quota.ts'

export type { Volume }

export const invalidVolume = (message: string) => badRequest(`Invalid volume: ${message}`, 'InvalidVolume')

const noVolume = (id: string) => notFound(`Volume ${id} could not be found.`, 'VolumeNotFound')

/** @throws Fault 404, also when the viewer may not know of it */
export async function seeVolume(context: VolumeContext, viewer: Viewer, id: string): Promise<Volume> {
  const volume = await findVolume(context.database.db, id)
  if (!volume || !(viewer.isAdmin || volume.project_id === viewer.projectId)) throw noVolume(id)
  return volume
}

/** The volume that was looked at, as it is now and stays until the transaction ends. @throws Fault 404 when it has gone since, or is another project's */
export async function presentVolume(trx: Handle, { id, project_id }: { id: string; project_id: string }): Promise<Volume> {
  const volume = await heldVolume(trx, id)
  if (volume?.project_id !== project_id) throw noVolume(id)
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
  const there = await named(context.database.db, asked)
  if (there) return there
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
  const text = await reserving(context, asked.projectId, async (trx, reserve) => {
    await holdSource(trx, asked, source)
    if (await named(trx, asked)) return null // another request of the same id was faster
    const counted = await reserve(wanted)
    await trx.insertInto('volumes').values(row).execute()
    await setProperties(trx, 'volume', id, asked.metadata)
    await setProperties(trx, 'image', id, source.imageMetadata)
    await context.engine.submit(trx, { kind: 'create-volume', subject: volumeSubject(id), input, requestId: viewer.requestId })
    return counted
  })
  const made = (await findVolume(context.database.db, id))!
  if (text === null) return made
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
  context.engine.wake(volumeSubject(id))
  return made
}

/** The volume of the id that was asked for, as a request that is repeated finds it. @throws Fault 409 when that is another's */
async function named(db: Handle, { id, projectId }: NewVolume): Promise<Volume | undefined> {
  const there = id ? await findVolume(db, id) : undefined
  if (there && there.project_id !== projectId) throw conflict(`Volume ${id} already exists.`, 'VolumeExists')
  return there
}

/** A volume that is being made from this one, or from one of these snapshots; not one that an administrator has said to be. */
export async function copyOf(context: VolumeContext, trx: Transaction<VolumeTables>, source: CopySource): Promise<string | undefined> {
  const copies = await copiesOf(trx, source)
  const [subject] = await context.engine.underWay(trx, copies.map(volumeSubject), 'create-volume')
  return copies.find((id) => volumeSubject(id) === subject)
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
  await context.database.transaction(async (trx) => {
    const { attachments, status, host } = await presentVolume(trx, volume)
    if (attachments.length > 0) throw invalidVolume(`Volume ${id} is still attached, detach volume first. Its status is ${status}.`)
    const snapshots = await snapshotsOf(trx, id)
    const copy = await copyOf(context, trx, { volumeId: id, snapshotIds: snapshots.map((one) => one.id) })
    if (copy) throw invalidVolume(`Volume ${id} is being copied to volume ${copy}: wait until that is available.`)
    if (snapshots.length > 0 && !cascade)
      throw invalidVolume(`Volume ${id} has ${snapshots.length} dependent snapshots; delete them first, or all at once with cascade.`)
    if (snapshots.length > 0 && (await moveSnapshotsOf(trx, id, DELETABLE_SNAPSHOTS, { status: 'deleting' })) < snapshots.length) {
      const busy = snapshots.find((one) => !DELETABLE_SNAPSHOTS.includes(one.status)) ?? snapshots[0]!
      throw invalidVolume(`Snapshot ${busy.id} of volume ${id} is ${busy.status}: the volume cannot go now.`)
    }
    if (!(await moveVolume(trx, id, force ? null : DELETABLE, { status: 'deleting', previous_status: null })))
      throw invalidVolume(
        `Volume status must be available or error or error_deleting or error_extending and must not be migrating, attached, or have snapshots; volume ${id} is ${status}.`,
      )
    await context.engine.submit(trx, {
      kind: 'delete-volume',
      subject: volumeSubject(id),
      input: { volumeId: id, host, snapshotIds: snapshots.map((one) => one.id) },
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
