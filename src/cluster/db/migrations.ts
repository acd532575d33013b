import type { Kysely } from 'kysely'
import { id, name, time } from '../../kernel/db/columns.ts'
import type { Migrations } from '../../kernel/db/database.ts'

export const migrations: Migrations = {
  '001-initial': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('join_tokens')
        .addColumn('digest', id, (c) => c.primaryKey())
        .addColumn('created_at', time, (c) => c.notNull())
        .addColumn('expires_at', time, (c) => c.notNull())
        .addColumn('used_by', name)
        .execute()
      await db.schema
        .createTable('members')
        .addColumn('host', name, (c) => c.primaryKey())
        .addColumn('roles', name, (c) => c.notNull())
        .addColumn('secret_digest', id, (c) => c.notNull())
        .addColumn('joined_at', time, (c) => c.notNull())
        .execute()
    },
  },
}
