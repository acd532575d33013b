import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import type { Handle } from './handle.ts'
import type { MessageRow } from './tables.ts'

export async function insertMessage(db: Handle, message: Omit<MessageRow, 'id' | 'created_at'>): Promise<void> {
  await db
    .insertInto('messages')
    .values({ id: randomUUID(), created_at: timestamp(), ...message })
    .execute()
}

export const findMessage = (db: Handle, id: string): Promise<MessageRow | undefined> =>
  db.selectFrom('messages').selectAll().where('id', '=', id).executeTakeFirst()

export async function deleteMessage(db: Handle, id: string): Promise<void> {
  await db.deleteFrom('messages').where('id', '=', id).execute()
}

/** Messages are kept for 30 days. */
export async function deleteMessagesBefore(db: Handle, at: string): Promise<number> {
  return Number((await db.deleteFrom('messages').where('created_at', '<', at).executeTakeFirst()).numDeletedRows)
}
