import type { Kysely } from 'kysely'
import { prepared } from '../../kernel/db/prepared.ts'
import type { Handle } from './images.ts'
import type { ImageTables, MemberRow, MemberStatus } from './tables.ts'

export const listMembers = (db: Handle, imageId: string): Promise<MemberRow[]> =>
  db.selectFrom('image_members').selectAll().where('image_id', '=', imageId).orderBy('created_at').orderBy('member_id').execute()

const ofBoth = prepared((db: Kysely<ImageTables>, { imageId, memberId }: { imageId: string; memberId: string }) =>
  db.selectFrom('image_members').selectAll().where('image_id', '=', imageId).where('member_id', '=', memberId),
)

export const findMember = async (db: Handle, imageId: string, memberId: string): Promise<MemberRow | undefined> =>
  (await ofBoth(db, { imageId, memberId })).rows[0]

export async function insertMember(db: Handle, member: MemberRow): Promise<void> {
  await db.insertInto('image_members').values(member).execute()
}

/** Answers whether there is such a member. */
export async function setMemberStatus(db: Handle, imageId: string, memberId: string, status: MemberStatus, at: string): Promise<boolean> {
  const changed = await db
    .updateTable('image_members')
    .set({ status, updated_at: at })
    .where('image_id', '=', imageId)
    .where('member_id', '=', memberId)
    .executeTakeFirst()
  return changed.numUpdatedRows > 0n
}

/** Answers whether there was one. */
export async function deleteMember(db: Handle, imageId: string, memberId: string): Promise<boolean> {
  const gone = await db.deleteFrom('image_members').where('image_id', '=', imageId).where('member_id', '=', memberId).executeTakeFirst()
  return gone.numDeletedRows > 0n
}
