import { attachmentsOf, changeAttachment } from '../db/attachments.ts'
import type { AttachmentRow } from '../db/tables.ts'
import { holdVolume, moveVolume } from '../db/volumes.ts'
import { completeAttachment, deleteAttachments, insertAttachment } from './attachment.ts'
import { settleStatus } from './attachment-status.ts'
import { connectAttachment, unexportUnlessUsed } from './connection.ts'
import type { VolumeContext } from './context.ts'
import { invalidVolume, type Volume } from './volume.ts'

/** Attaching as before 3.27, by actions of the volume. Underneath it is an attachment, too. */

export async function reserve(context: VolumeContext, volume: Volume): Promise<void> {
  await insertAttachment(context, volume, { legacy: 1, status: 'attaching' })
}

export async function unreserve(context: VolumeContext, volume: Volume): Promise<void> {
  await deleteAttachments(context, volume.id, await waiting(context, volume))
}

export async function initializeConnection(context: VolumeContext, volume: Volume, connector: Record<string, any>): Promise<AttachmentRow> {
  const rows = (await attachmentsOf(context.database.db, volume.id)).filter((one) => one.legacy === 1)
  const row = rows[0] ?? (await insertAttachment(context, volume, { legacy: 1, status: 'attaching' }))
  return await connectAttachment(context, row.id, connector)
}

export async function terminateConnection(context: VolumeContext, volume: Volume): Promise<void> {
  await context.locked(volume.id, async () => {
    const rows = (await attachmentsOf(context.database.db, volume.id)).filter((one) => one.legacy === 1)
    const ids = rows.map((row) => row.id)
    if (ids.length > 0) await changeAttachment(context.database.db, ids, { secret: null, connection_json: null })
    await unexportUnlessUsed(context, volume.id)
  })
}

export async function attach(
  context: VolumeContext,
  volume: Volume,
  how: { instanceId: string | null; host: string | null; mountpoint: string | null; mode: string },
): Promise<void> {
  const [row] = await waiting(context, volume)
  const own = row ?? (await insertAttachment(context, volume, { legacy: 1, status: 'attaching' }))
  await completeAttachment(context, own, { instance_id: how.instanceId, host: how.host, mountpoint: how.mountpoint, mode: how.mode })
}

export async function detach(context: VolumeContext, volume: Volume, attachmentId: string | null): Promise<void> {
  const rows = (await attachmentsOf(context.database.db, volume.id)).filter((one) => attachmentId === null || one.id === attachmentId)
  if (attachmentId !== null && rows.length === 0) throw invalidVolume(`Volume ${volume.id} has no attachment ${attachmentId}.`)
  if (attachmentId === null && rows.length > 1)
    throw invalidVolume(`Volume ${volume.id} is attached ${rows.length} times: which attachment_id is meant?`)
  await deleteAttachments(context, volume.id, rows)
  await context.database.transaction(async (trx) => {
    await holdVolume(trx, volume.id)
    await settleStatus(trx, volume.id)
  })
}

/** Also of a volume that an operator has said is in error: it is free afterwards. */
export async function forceDetach(context: VolumeContext, volume: Volume, attachmentId: string | null): Promise<void> {
  await detach(context, volume, attachmentId)
  await context.database.transaction(async (trx) => {
    await holdVolume(trx, volume.id)
    if (await moveVolume(trx, volume.id, ['error'], { status: 'available' })) await settleStatus(trx, volume.id)
  })
}

export async function beginDetaching(context: VolumeContext, volume: Volume): Promise<void> {
  if (!(await moveVolume(context.database.db, volume.id, ['in-use'], { status: 'detaching' })))
    throw invalidVolume(`Volume ${volume.id} status must be in-use to detach, it is ${volume.status}.`)
}

export async function rollDetaching(context: VolumeContext, volume: Volume): Promise<void> {
  await moveVolume(context.database.db, volume.id, ['detaching'], { status: 'in-use' })
}

const waiting = async (context: VolumeContext, volume: Volume) =>
  (await attachmentsOf(context.database.db, volume.id)).filter((one) => one.legacy === 1 && one.status !== 'attached')
