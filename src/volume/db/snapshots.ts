import { timestamp } from '../../kernel/db/columns.ts'
import type { Handle } from './handle.ts'
import { forgetProperties, type Properties, propertiesOf } from './properties.ts'
import type { SnapshotRow } from './tables.ts'

export interface Snapshot extends SnapshotRow {
  metadata: Properties
}

export async function findSnapshot(db: Handle, id: string): Promise<Snapshot | undefined> {
  const row = await db.selectFrom('snapshots').selectAll().where('id', '=', id).executeTakeFirst()
  return row && (await dressSnapshots(db, [row]))[0]
}

export async function dressSnapshots(db: Handle, rows: SnapshotRow[]): Promise<Snapshot[]> {
  const ids = rows.map((row) => row.id)
  const metadata = await propertiesOf(db, 'snapshot', ids)
  return rows.map((row) => ({ ...row, metadata: metadata.get(row.id) ?? {} }))
}

export async function moveSnapshot(db: Handle, id: string, from: string[] | null, change: Partial<SnapshotRow>): Promise<boolean> {
  let query = db
    .updateTable('snapshots')
    .set({ ...change, updated_at: timestamp() })
    .where('id', '=', id)
  if (from) query = query.where('status', 'in', from)
  return (await query.executeTakeFirst()).numUpdatedRows > 0n
}

/** Those of a volume that are in one of `from`; how many. */
export async function moveSnapshotsOf(db: Handle, volumeId: string, from: string[], change: Partial<SnapshotRow>): Promise<number> {
  const moved = await db
    .updateTable('snapshots')
    .set({ ...change, updated_at: timestamp() })
    .where('volume_id', '=', volumeId)
    .where('status', 'in', from)
    .executeTakeFirst()
  return Number(moved.numUpdatedRows)
}

/** From the newest to the oldest. */
export const snapshotsOf = (db: Handle, volumeId: string): Promise<SnapshotRow[]> =>
  db.selectFrom('snapshots').selectAll().where('volume_id', '=', volumeId).orderBy('created_at', 'desc').orderBy('id').execute()

export async function deleteSnapshotRows(db: Handle, ids: string[]): Promise<void> {
  if (ids.length === 0) return
  await forgetProperties(db, ['snapshot'], ids)
  await db.deleteFrom('snapshots').where('id', 'in', ids).execute()
}
