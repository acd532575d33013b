import type { Kysely } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import type { ClusterTables } from './tables.ts'

type Db = Kysely<ClusterTables>

export async function keepToken(db: Db, digest: string, expiresAt: string): Promise<void> {
  await db.deleteFrom('join_tokens').where('expires_at', '<', timestamp()).execute()
  await db.insertInto('join_tokens').values({ digest, created_at: timestamp(), expires_at: expiresAt, used_by: null }).execute()
}

/** True for one caller only. */
export async function useToken(db: Db, digest: string, host: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('join_tokens')
    .set({ used_by: host })
    .where('digest', '=', digest)
    .where('used_by', 'is', null)
    .where('expires_at', '>', timestamp())
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** A host that joins again has a new secret and the old one is worth nothing. */
export async function keepMember(db: Db, member: ClusterTables['members']): Promise<void> {
  await db.deleteFrom('members').where('host', '=', member.host).execute()
  await db.insertInto('members').values(member).execute()
}

export const memberOf = (db: Db, host: string) => db.selectFrom('members').selectAll().where('host', '=', host).executeTakeFirst()

export const members = (db: Db) => db.selectFrom('members').selectAll().orderBy('host').execute()

export async function removeMember(db: Db, host: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('members').where('host', '=', host).executeTakeFirst()
  return numDeletedRows > 0n
}
