import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { conflict, notFound } from '../../kernel/errors/errors.ts'
import { now, record } from '../../kernel/trace/trace.ts'
import { attachmentsOf, changeAttachment, findAttachment } from '../db/attachments.ts'
import type { AttachmentRow } from '../db/tables.ts'
import { holdVolume, moveVolume, volumeRow } from '../db/volumes.ts'
import { settleStatus } from './attachment-status.ts'
import { connectAttachment, unexportUnlessUsed } from './connection.ts'
import { type Viewer, type VolumeContext, volumeSubject } from './context.ts'
import { invalidVolume, presentVolume, type Volume } from './volume.ts'

export type { AttachmentRow }

export interface NewAttachment {
  id?: string
  instanceId: string | null
  mode: 'rw' | 'ro'
  connector: Record<string, any> | null
}

/** @throws Fault 404, also when the viewer may not know of it */
export async function seeAttachment(context: VolumeContext, viewer: Viewer, id: string): Promise<AttachmentRow> {
  const row = await findAttachment(context.database.db, id)
  if (!row || !(viewer.isAdmin || row.project_id === viewer.projectId))
    throw notFound(`Could not find attachment with ID ${id}.`, 'VolumeAttachmentNotFound')
  return row
}

/** Reserves the volume; with a connector exports it, too. @throws Fault 400 when it is not available, 409 when the id is another's */
export async function createAttachment(context: VolumeContext, volume: Volume, asked: NewAttachment): Promise<AttachmentRow> {
  const there = asked.id && (await findAttachment(context.database.db, asked.id))
  const row = there
    ? ofThis(volume, there)
    : await insertAttachment(context, volume, { id: asked.id, instance_id: asked.instanceId, mode: asked.mode })
  return asked.connector ? await connectAttachment(context, row.id, asked.connector) : row
}

function ofThis(volume: Volume, row: AttachmentRow): AttachmentRow {
  if (row.volume_id !== volume.id) throw conflict(`Attachment ${row.id} is of another volume.`, 'AttachmentExists')
  return row
}

/** What is done to a volume that a server has, or came of it: the server keeps it. */
const WHILE_HELD = ['downloading', 'extending', 'uploading', 'error', 'error_extending']

/** Takes the volume if it is free, shared (multiattach), or the same server's already. */
export async function insertAttachment(context: VolumeContext, volume: Volume, given: Partial<AttachmentRow>): Promise<AttachmentRow> {
  const at = timestamp()
  const row: AttachmentRow = {
    id: given.id ?? randomUUID(),
    volume_id: volume.id,
    project_id: volume.project_id,
    instance_id: given.instance_id ?? null,
    status: given.status ?? 'reserved',
    mode: given.mode ?? 'rw',
    mountpoint: null,
    host: null,
    connector_json: null,
    connection_json: null,
    secret: null,
    legacy: given.legacy ?? 0,
    attached_at: null,
    created_at: at,
    updated_at: at,
  }
  return await context.database.transaction(async (trx) => {
    const present = await presentVolume(trx, volume)
    const there = given.id && (await findAttachment(trx, given.id))
    if (there) return ofThis(volume, there)
    const others = present.attachments.filter((one) => one.status !== 'detaching')
    const own = row.instance_id !== null && others.some((one) => one.instance_id === row.instance_id)
    const shared = present.multiattach === 1 || own
    const from = [...(shared ? ['available', 'reserved', 'attaching', 'in-use'] : ['available']), ...(own ? WHILE_HELD : [])]
    if (!from.includes(present.status))
      throw invalidVolume(`Volume ${volume.id} status must be ${from.join(' or ')}, but current status is: ${present.status}.`)
    // an administrator's word makes it available also while its deletion goes on
    if ((await context.engine.underWay(trx, [volumeSubject(volume.id)], 'delete-volume')).length > 0)
      throw invalidVolume(`Volume ${volume.id} is being deleted.`)
    // and it leaves the attachments
    if (!shared && others.length > 0)
      throw invalidVolume(`Volume ${volume.id} is still attached by attachment ${others[0]!.id}: end that first.`)
    if (!shared) await moveVolume(trx, volume.id, null, { status: 'reserved' })
    await trx.insertInto('attachments').values(row).execute()
    await settleStatus(trx, volume.id)
    return row
  })
}

/** The guest has it, or is to find it when it comes back to a host. @throws Fault 400 when it is detached, or was never exported and is no server's */
export async function completeAttachment(context: VolumeContext, row: AttachmentRow, more: Partial<AttachmentRow> = {}): Promise<void> {
  await context.database.transaction(async (trx) => {
    await holdVolume(trx, row.volume_id)
    const present = await findAttachment(trx, row.id)
    if (present?.status === 'attached') {
      const to = present.instance_id ?? present.host
      if (more.instance_id !== undefined && (more.instance_id ?? more.host) !== to)
        throw invalidVolume(`Volume ${row.volume_id} is attached to ${to} already.`)
      return
    }
    if (!present || present.status === 'detaching' || (present.secret === null && present.legacy === 0 && present.instance_id === null))
      throw invalidVolume(`attachment ${row.id} is ${present?.status ?? 'gone'}, not attaching: it has no connector yet.`)
    await changeAttachment(trx, row.id, { ...more, status: 'attached', attached_at: timestamp() })
    await settleStatus(trx, row.volume_id)
  })
}

export const deleteAttachment = (context: VolumeContext, row: AttachmentRow): Promise<AttachmentRow[]> =>
  deleteAttachments(context, row.volume_id, [row])

/** Takes the target away if these were the last that used it; then the volume is available again. Answers what attachments of the volume remain. */
export async function deleteAttachments(context: VolumeContext, volumeId: string, rows: AttachmentRow[]): Promise<AttachmentRow[]> {
  if (rows.length === 0) return await attachmentsOf(context.database.db, volumeId)
  const ids = rows.map((row) => row.id)
  return await context.locked(volumeId, async () => {
    const startedAt = now()
    const { db } = context.database
    await context.database.transaction(async (trx) => {
      await holdVolume(trx, volumeId)
      await changeAttachment(trx, ids, { status: 'detaching' })
      await settleStatus(trx, volumeId)
    })
    await unexportUnlessUsed(context, volumeId)
    const status = await context.database.transaction(async (trx) => {
      await holdVolume(trx, volumeId)
      await trx.deleteFrom('attachments').where('id', 'in', ids).execute()
      return await settleStatus(trx, volumeId)
    })
    const volume = await volumeRow(db, volumeId)
    if (status === 'available' && rows.some((row) => row.attached_at !== null) && volume)
      record({
        subject: volumeSubject(volumeId),
        step: 50,
        name: 'data-outlives',
        service: 'volume/control',
        startedAt,
        ms: now() - startedAt,
        outcome: 'done',
        evidence: { text: `volume data is available again, ${volume.size} GiB kept`, host: volume.host },
      })
    return await attachmentsOf(db, volumeId)
  })
}
