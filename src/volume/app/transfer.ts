import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import { snapshotsOf } from '../db/snapshots.ts'
import type { TransferRow } from '../db/tables.ts'
import { deleteTransfer, deleteTransfersOf, findTransfer, giveVolume } from '../db/transfers.ts'
import { findType, mayUseType } from '../db/types.ts'
import { findVolume, moveVolume } from '../db/volumes.ts'
import type { Viewer, VolumeContext } from './context.ts'
import { reserving } from './quota.ts'
import { invalidVolume, presentVolume, type Volume } from './volume.ts'

export type { TransferRow }

const digest = (id: string, key: string) => createHash('sha256').update(`${id}:${key}`).digest()
const noTransfer = (id: string) => notFound(`Transfer ${id} could not be found.`, 'TransferNotFound')

/** @throws Fault 404, also when the viewer may not know of it */
export async function seeTransfer(context: VolumeContext, viewer: Viewer, id: string): Promise<TransferRow> {
  const row = await findTransfer(context.database.db, id)
  if (!row || !(viewer.isAdmin || row.project_id === viewer.projectId)) throw noTransfer(id)
  return row
}

/** Offers a volume to whoever has the key, which is shown here and never again. @throws Fault 400 unless it and its snapshots are available */
export async function offerVolume(
  context: VolumeContext,
  volume: Volume,
  asked: { name: string | null; noSnapshots: boolean },
): Promise<{ transfer: TransferRow; key: string }> {
  const [id, key] = [randomUUID(), randomBytes(8).toString('hex')]
  const transfer: TransferRow = {
    id,
    project_id: volume.project_id,
    volume_id: volume.id,
    name: asked.name,
    digest: digest(id, key).toString('hex'),
    no_snapshots: asked.noSnapshots ? 1 : 0,
    created_at: timestamp(),
  }
  await context.database.transaction(async (trx) => {
    await presentVolume(trx, volume)
    if (!(await moveVolume(trx, volume.id, ['available'], { status: 'awaiting-transfer' }))) throw invalidVolume('status must be available')
    const busy = asked.noSnapshots ? undefined : (await snapshotsOf(trx, volume.id)).find((one) => one.status !== 'available')
    if (busy) throw badRequest(`Invalid snapshot: snapshot ${busy.id} status must be available, it is ${busy.status}.`, 'InvalidSnapshot')
    await deleteTransfersOf(trx, volume.id) // an offer that an administrator's word has ended
    await trx.insertInto('transfers').values(transfer).execute()
  })
  return { transfer, key }
}

/** The volume is its owner's again, as it was. */
export async function withdrawOffer(context: VolumeContext, transfer: TransferRow): Promise<void> {
  await context.database.transaction(async (trx) => {
    await moveVolume(trx, transfer.volume_id, ['awaiting-transfer'], { status: 'available' })
    await deleteTransfer(trx, transfer.id)
  })
}

/** @throws Fault 404, 400 for a wrong key or a volume that is not offered any more, 413 over the taker's quota */
export async function acceptVolume(context: VolumeContext, viewer: Viewer, id: string, key: string): Promise<TransferRow> {
  const { db } = context.database
  const transfer = await findTransfer(db, id)
  if (!transfer) throw noTransfer(id)
  if (!timingSafeEqual(digest(id, key), Buffer.from(transfer.digest, 'hex')))
    throw badRequest(`Invalid auth key: Attempt to transfer ${id} with invalid auth key.`, 'InvalidAuthKey')
  const to = { project_id: viewer.projectId ?? '', user_id: viewer.userId ?? '' }
  const volume = await findVolume(db, transfer.volume_id)
  if (volume?.status !== 'awaiting-transfer') throw notOffered(transfer)
  const type = await findType(db, volume.type_id)
  if (type && !(await mayUseType(db, type, to.project_id)))
    throw badRequest(
      `Invalid volume type: project ${to.project_id} may not use type ${type.name}, which the volume has.`,
      'InvalidVolumeType',
    )
  const snapshots = transfer.no_snapshots === 1 ? [] : await snapshotsOf(db, volume.id)
  const gigabytes = snapshots.reduce((sum, one) => sum + one.size, volume.reserved_size)
  const wanted = { volumes: 1, snapshots: snapshots.length, gigabytes, typeName: volume.typeName }
  await reserving(context, to.project_id, async (trx, reserve) => {
    await reserve(wanted)
    if (!(await deleteTransfer(trx, id))) throw noTransfer(id)
    if (!(await moveVolume(trx, volume.id, ['awaiting-transfer'], { status: 'available' }))) throw notOffered(transfer)
    await giveVolume(trx, volume.id, to, transfer.no_snapshots === 0)
  })
  return transfer
}

const notOffered = ({ id, volume_id }: TransferRow) =>
  badRequest(`Invalid volume: Transfer ${id}: Volume id ${volume_id} expected in state awaiting-transfer.`, 'InvalidVolume')
