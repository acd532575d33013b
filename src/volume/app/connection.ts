import { randomBytes } from 'node:crypto'
import { fromJson, timestamp, toJson } from '../../kernel/db/columns.ts'
import { conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import { traced } from '../../kernel/trace/trace.ts'
import { attachmentsOf, changeAttachment, exportsOf, findAttachment } from '../db/attachments.ts'
import type { Properties } from '../db/properties.ts'
import { frontEndSpecs } from '../db/qos.ts'
import type { AttachmentRow } from '../db/tables.ts'
import { heldVolume, volumeRow } from '../db/volumes.ts'
import { type Export, storage, volumeTopic } from '../rpc.ts'
import { settleStatus } from './attachment-status.ts'
import { type VolumeContext, volumeSubject } from './context.ts'
import { ofThisSize } from './qos.ts'
import { invalidVolume } from './volume.ts'

const LETTERS = 'abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'
/** What CHAP takes everywhere: 16 characters. */
const newSecret = () => [...randomBytes(16)].map((byte) => LETTERS[byte % LETTERS.length]).join('')

/** Step 46: the volume as an iSCSI target, for whoever has this connector. May be repeated; all attachments of a volume share its target. */
export function connectAttachment(context: VolumeContext, id: string, connector: Record<string, any>): Promise<AttachmentRow> {
  const { db } = context.database
  const work = async (row: AttachmentRow) => {
    const volume = await volumeRow(db, row.volume_id)
    if (!volume?.host) throw invalidVolume(`Volume ${row.volume_id} lies on no back end: it cannot be exported.`)
    const { host } = volume
    const qos = ofThisSize(await frontEndSpecs(db, volume.type_id), Number(volume.size))
    await context.database.transaction(async (trx) => {
      if ((await heldVolume(trx, volume.id))?.status === 'downloading')
        throw invalidVolume(`Volume ${volume.id} is being overwritten: it is exported when that is done.`)
      const present = await findAttachment(trx, id)
      if (!present || present.status === 'detaching') throw ended(id)
      const secret = present.secret ?? (await attachmentsOf(trx, volume.id)).find((one) => one.secret !== null)?.secret ?? newSecret()
      await changeAttachment(trx, id, {
        secret,
        status: present.status === 'attached' ? 'attached' : 'attaching',
        connector_json: toJson(connector),
        host: connector.host ?? null,
        mountpoint: connector.mountpoint ?? present.mountpoint,
        mode: connector.mode ?? present.mode,
      })
      await settleStatus(trx, volume.id)
    })
    const [wanted] = await exportsOf(db, { volumeId: volume.id })
    if (!wanted) throw ended(id)
    const ask = () => context.bus.call(volumeTopic(host), storage.exportVolume, wanted)
    const target = row.connection_json
      ? await ask()
      : await traced(
          { subject: volumeSubject(volume.id), step: 46, name: 'iscsi-target', service: 'volume/storage' },
          ask,
          ({ portal, iqn, lun }) => ({ portal, iqn, lun, text: `${iqn} at ${portal}, LUN ${lun}, CHAP on` }),
        )
    await changeAttachment(db, id, {
      connection_json: toJson({
        ...target,
        readOnly: wanted.readOnly,
        qos,
        at: timestamp(),
      }),
    })
    const connected = await findAttachment(db, id)
    if (connected && connected.status !== 'detaching' && connected.secret !== null) return connected
    await unexportUnlessUsed(context, volume.id) // whoever ended it meanwhile may have been at the host before this export
    throw ended(id)
  }
  return withAttachment(context, id, work)
}

/** A storage host that is away removes the target when it is back: it asks which it shall have. */
export async function unexportUnlessUsed(context: VolumeContext, volumeId: string): Promise<void> {
  const { db } = context.database
  const host = (await volumeRow(db, volumeId))?.host
  const used = (await attachmentsOf(db, volumeId)).some((one) => one.secret !== null && one.status !== 'detaching')
  if (!host || used) return
  try {
    await context.bus.call(volumeTopic(host), storage.unexportVolume, { volumeId })
  } catch (error) {
    if (!(error instanceof Fault) || (error.status !== 503 && error.status !== 504)) throw error
    context.log.warn({ volumeId, host, error: error.message }, 'the target is removed when its storage host is back')
  }
}

const ended = (id: string) => conflict(`Attachment ${id} is being deleted.`, 'InvalidAttachment')

async function withAttachment<T>(context: VolumeContext, id: string, work: (row: AttachmentRow) => Promise<T>): Promise<T> {
  const find = async () => {
    const row = await findAttachment(context.database.db, id)
    if (!row) throw notFound(`Could not find attachment with ID ${id}.`, 'VolumeAttachmentNotFound')
    return row
  }
  return await context.locked((await find()).volume_id, async () => await work(await find()))
}

/** For a connector: with the secret, so only to those who attach. */
export function connectionData(row: AttachmentRow): Record<string, unknown> | null {
  const target = fromJson<(Export & { readOnly: boolean; qos?: Properties | null }) | null>(row.connection_json)
  if (!target || row.secret === null) return null
  return {
    target_discovered: false,
    target_portal: target.portal,
    target_iqn: target.iqn,
    target_lun: target.lun,
    volume_id: row.volume_id,
    auth_method: 'CHAP',
    auth_username: target.username,
    auth_password: row.secret,
    access_mode: target.readOnly || row.mode === 'ro' ? 'ro' : 'rw',
    encrypted: false,
    qos_specs: target.qos ?? null,
    cacheable: false,
    discard: false,
  }
}
