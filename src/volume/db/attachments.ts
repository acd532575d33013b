import { timestamp } from '../../kernel/db/columns.ts'
import type { Handle } from './handle.ts'
import type { AttachmentRow } from './tables.ts'

export const findAttachment = (db: Handle, id: string): Promise<AttachmentRow | undefined> =>
  db.selectFrom('attachments').selectAll().where('id', '=', id).executeTakeFirst()

export const attachmentsOf = (db: Handle, volumeId: string): Promise<AttachmentRow[]> =>
  db.selectFrom('attachments').selectAll().where('volume_id', '=', volumeId).orderBy('created_at').orderBy('id').execute()

/** Answers whether any was there. */
export async function changeAttachment(db: Handle, id: string | string[], change: Partial<AttachmentRow>): Promise<boolean> {
  const changed = await db
    .updateTable('attachments')
    .set({ ...change, updated_at: timestamp() })
    .where('id', 'in', [id].flat())
    .executeTakeFirst()
  return changed.numUpdatedRows > 0n
}

export const attachmentsIn = (db: Handle, status: string, before: string): Promise<AttachmentRow[]> =>
  db.selectFrom('attachments').selectAll().where('status', '=', status).where('updated_at', '<', before).execute()

export interface Wanted {
  volumeId: string
  secret: string
  readOnly: boolean
}

/** What is to be exported, of a back end or of one volume: volumes with an attachment that has its secret and is not on its way out. */
export async function exportsOf(db: Handle, of: { backend?: string; volumeId?: string }): Promise<Wanted[]> {
  const [column, value] = of.volumeId === undefined ? (['v.host', of.backend ?? null] as const) : (['v.id', of.volumeId] as const)
  const rows = await db
    .selectFrom('attachments as a')
    .innerJoin('volumes as v', 'v.id', 'a.volume_id')
    .select(['a.volume_id', 'a.secret', 'a.mode', 'v.readonly'])
    .where(column, '=', value)
    .where('a.secret', 'is not', null)
    .where('a.status', '!=', 'detaching')
    .orderBy('a.created_at')
    .orderBy('a.id')
    .execute()
  const volumes = Map.groupBy(rows, (row) => row.volume_id)
  return [...volumes].map(([volumeId, own]) => ({
    volumeId,
    secret: own[0]!.secret!,
    readOnly: own.every((row) => row.readonly === 1 || row.mode === 'ro'),
  }))
}
