import { timestamp } from '../../kernel/db/columns.ts'
import type { Handle } from './handle.ts'
import { forgetProperties, type Properties, propertiesOf } from './properties.ts'
import { deleteSnapshotRows, snapshotsOf } from './snapshots.ts'
import type { AttachmentRow, VolumeRow } from './tables.ts'
import { deleteTransfersOf } from './transfers.ts'

/** A volume with what hangs on it. */
export interface Volume extends VolumeRow {
  metadata: Properties
  /** Null: it came from no image. */
  imageMetadata: Properties | null
  attachments: AttachmentRow[]
  typeName: string
}

export async function findVolume(db: Handle, id: string): Promise<Volume | undefined> {
  const row = await volumeRow(db, id)
  return row && (await dressVolumes(db, [row]))[0]
}

export const volumeRow = (db: Handle, id: string): Promise<VolumeRow | undefined> =>
  db.selectFrom('volumes').selectAll().where('id', '=', id).executeTakeFirst()

/** Four queries, however many rows. */
export async function dressVolumes(db: Handle, rows: VolumeRow[]): Promise<Volume[]> {
  if (rows.length === 0) return []
  const ids = rows.map((row) => row.id)
  const metadata = await propertiesOf(db, 'volume', ids)
  const image = await propertiesOf(db, 'image', ids)
  const attachments = Map.groupBy(
    await db.selectFrom('attachments').selectAll().where('volume_id', 'in', ids).orderBy('created_at').orderBy('id').execute(),
    (one) => one.volume_id,
  )
  const types = await db
    .selectFrom('types')
    .select(['id', 'name'])
    .where('id', 'in', [...new Set(rows.map((row) => row.type_id))])
    .execute()
  const names = new Map(types.map((one) => [one.id, one.name]))
  return rows.map((row) => ({
    ...row,
    metadata: metadata.get(row.id) ?? {},
    imageMetadata: image.get(row.id) ?? null,
    attachments: attachments.get(row.id) ?? [],
    typeName: names.get(row.type_id) ?? row.type_id,
  }))
}

/** Changes a volume if it is (still) in one of `from`; null: in whatever status. Answers whether it did. */
export async function moveVolume(db: Handle, id: string, from: string[] | null, change: Partial<VolumeRow>): Promise<boolean> {
  let query = db
    .updateTable('volumes')
    .set({ ...change, updated_at: timestamp() })
    .where('id', '=', id)
  if (from) query = query.where('status', 'in', from)
  return (await query.executeTakeFirst()).numUpdatedRows > 0n
}

/** The first thing in a transaction that goes by a volume's attachments or snapshots: those that change them follow one another. */
export const holdVolume = (trx: Handle, id: string): Promise<boolean> => moveVolume(trx, id, null, {})

/** A volume as it is, and stays until the transaction ends. */
export async function heldVolume(trx: Handle, id: string): Promise<Volume | undefined> {
  return (await holdVolume(trx, id)) ? await findVolume(trx, id) : undefined
}

/** Ids of volumes that are to be copies of this one or of these snapshots, and are not yet. */
export async function copiesOf(db: Handle, { volumeId = '', snapshotIds = [] }: CopySource): Promise<string[]> {
  const rows = await db
    .selectFrom('volumes')
    .select('id')
    .where('status', '=', 'creating')
    .where((eb) => eb.or([eb('source_volid', '=', volumeId), eb('snapshot_id', 'in', [volumeId, ...snapshotIds])]))
    .execute()
  return rows.map((row) => row.id)
}

export interface CopySource {
  volumeId?: string
  snapshotIds?: string[]
}

/** With what hangs on it: while it was being deleted, an administrator's word may have let more of that come to be. */
export async function deleteVolumeRows(trx: Handle, id: string): Promise<void> {
  await holdVolume(trx, id)
  await deleteSnapshotRows(
    trx,
    (await snapshotsOf(trx, id)).map((one) => one.id),
  )
  await forgetProperties(trx, ['volume', 'image'], id)
  await trx.deleteFrom('attachments').where('volume_id', '=', id).execute()
  await deleteTransfersOf(trx, id)
  await trx.deleteFrom('volumes').where('id', '=', id).execute()
}

/** Sizes of what is on its way to each back end and not yet in its report. */
export async function pendingSizes(db: Handle): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('volumes')
    .select((eb) => ['host', eb.fn.sum<number>('size').as('size')])
    .where('status', '=', 'creating')
    .where('host', 'is not', null)
    .groupBy('host')
    .execute()
  return new Map(rows.map((row) => [row.host!, Number(row.size)]))
}

/** Volumes and snapshots on a back end (`host@backend`), counted for each project; GiB. */
export async function sumsByProject(db: Handle, host: string) {
  const here = (row: { host: string | null }) => row.host?.split('#')[0] === host
  const volumes = (await db.selectFrom('volumes').select(['project_id', 'size', 'host']).where('host', 'is not', null).execute()).filter(
    here,
  )
  const snapshots = (
    await db
      .selectFrom('snapshots')
      .innerJoin('volumes', 'volumes.id', 'snapshots.volume_id')
      .select(['snapshots.project_id', 'snapshots.size', 'volumes.host'])
      .where('volumes.host', 'is not', null)
      .execute()
  ).filter(here)
  const of = (rows: { project_id: string; size: number }[], project: string) => {
    const mine = rows.filter((row) => row.project_id === project)
    return { count: mine.length, gib: mine.reduce((sum, row) => sum + Number(row.size), 0) }
  }
  const projects = [...new Set([...volumes, ...snapshots].map((row) => row.project_id))].sort()
  return projects.map((project) => {
    const [own, copies] = [of(volumes, project), of(snapshots, project)]
    return { project, volumes: own.count, volumesGiB: own.gib, snapshots: copies.count, snapshotsGiB: copies.gib }
  })
}
