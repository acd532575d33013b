import type { Kysely } from 'kysely'
import { flag, id, name, text, time } from '../../kernel/db/columns.ts'
import type { Migrations } from '../../kernel/db/database.ts'

export const migrations: Migrations = {
  '001-identity': {
    async up(db: Kysely<any>) {
      const { schema } = db
      await schema
        .createTable('projects')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('name', name, (c) => c.notNull())
        .addColumn('domain_id', id)
        .addColumn('parent_id', id)
        .addColumn('description', text, (c) => c.notNull())
        .addColumn('enabled', flag, (c) => c.notNull())
        .addColumn('is_domain', flag, (c) => c.notNull())
        .execute()
      await schema.createIndex('projects_name').on('projects').columns(['domain_id', 'name']).unique().execute()
      await schema
        .createTable('users')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('name', name, (c) => c.notNull())
        .addColumn('domain_id', id, (c) => c.notNull())
        .addColumn('default_project_id', id)
        .addColumn('description', text)
        .addColumn('email', name)
        .addColumn('enabled', flag, (c) => c.notNull())
        .addColumn('password_hash', name)
        .addColumn('password_changed_at', time)
        .execute()
      await schema.createIndex('users_name').on('users').columns(['domain_id', 'name']).unique().execute()
      await schema
        .createTable('groups')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('name', name, (c) => c.notNull())
        .addColumn('domain_id', id, (c) => c.notNull())
        .addColumn('description', text, (c) => c.notNull())
        .execute()
      await schema.createIndex('groups_name').on('groups').columns(['domain_id', 'name']).unique().execute()
      await schema
        .createTable('memberships')
        .addColumn('group_id', id, (c) => c.notNull())
        .addColumn('user_id', id, (c) => c.notNull())
        .addPrimaryKeyConstraint('memberships_pk', ['group_id', 'user_id'])
        .execute()
      await schema
        .createTable('roles')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('name', name, (c) => c.notNull().unique())
        .addColumn('domain_id', id)
        .addColumn('description', text)
        .execute()
      await schema
        .createTable('implied_roles')
        .addColumn('prior_id', id, (c) => c.notNull())
        .addColumn('implied_id', id, (c) => c.notNull())
        .addPrimaryKeyConstraint('implied_roles_pk', ['prior_id', 'implied_id'])
        .execute()
      await schema
        .createTable('assignments')
        .addColumn('actor_kind', id, (c) => c.notNull())
        .addColumn('actor_id', id, (c) => c.notNull())
        .addColumn('target_kind', id, (c) => c.notNull())
        .addColumn('target_id', id, (c) => c.notNull())
        .addColumn('role_id', id, (c) => c.notNull())
        .addColumn('inherited', flag, (c) => c.notNull())
        .addPrimaryKeyConstraint('assignments_pk', ['actor_kind', 'actor_id', 'target_kind', 'target_id', 'role_id', 'inherited'])
        .execute()
      await schema
        .createTable('regions')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('parent_id', id)
        .addColumn('description', text, (c) => c.notNull())
        .execute()
      await schema
        .createTable('services')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('type', name, (c) => c.notNull())
        .addColumn('name', name, (c) => c.notNull())
        .addColumn('description', text, (c) => c.notNull())
        .addColumn('enabled', flag, (c) => c.notNull())
        .execute()
      await schema
        .createTable('endpoints')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('service_id', id, (c) => c.notNull())
        .addColumn('region_id', id)
        .addColumn('interface', id, (c) => c.notNull())
        .addColumn('url', text, (c) => c.notNull())
        .addColumn('enabled', flag, (c) => c.notNull())
        .execute()
      await schema
        .createTable('revocations')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('audit_id', id)
        .addColumn('user_id', id)
        .addColumn('project_id', id)
        .addColumn('issued_before', time, (c) => c.notNull())
        .addColumn('expires_at', time, (c) => c.notNull())
        .execute()
    },
  },
  '002-application-credentials': {
    async up(db: Kysely<any>) {
      const { schema } = db
      await schema
        .alterTable('users')
        .addColumn('failures', 'integer', (c) => c.notNull().defaultTo(0))
        .execute()
      await schema.alterTable('users').addColumn('failed_at', time).execute()
      await schema
        .createTable('old_passwords')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('user_id', id, (c) => c.notNull())
        .addColumn('password_hash', name, (c) => c.notNull())
        .addColumn('replaced_at', time, (c) => c.notNull())
        .execute()
      await schema.createIndex('old_passwords_user').on('old_passwords').columns(['user_id']).execute()
      await schema
        .createTable('application_credentials')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('name', name, (c) => c.notNull())
        .addColumn('user_id', id, (c) => c.notNull())
        .addColumn('project_id', id, (c) => c.notNull())
        .addColumn('description', text)
        .addColumn('secret_hash', name, (c) => c.notNull())
        .addColumn('expires_at', time)
        .addColumn('unrestricted', flag, (c) => c.notNull())
        .addColumn('roles_json', text, (c) => c.notNull())
        .execute()
      await schema.createIndex('application_credentials_name').on('application_credentials').columns(['user_id', 'name']).unique().execute()
    },
  },
  '003-trusts': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('trusts')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('trustor_user_id', id, (c) => c.notNull())
        .addColumn('trustee_user_id', id, (c) => c.notNull())
        .addColumn('project_id', id)
        .addColumn('impersonation', flag, (c) => c.notNull())
        .addColumn('expires_at', time)
        .addColumn('remaining_uses', 'integer')
        .addColumn('redelegation_count', 'integer', (c) => c.notNull())
        .addColumn('redelegated_trust_id', id)
        .addColumn('roles_json', text, (c) => c.notNull())
        .execute()
      await db.schema.createIndex('trusts_trustor').on('trusts').columns(['trustor_user_id']).execute()
      await db.schema.createIndex('trusts_trustee').on('trusts').columns(['trustee_user_id']).execute()
    },
  },
  '004-credentials': {
    async up(db: Kysely<any>) {
      const { schema } = db
      await schema.alterTable('projects').addColumn('tags_json', text).execute()
      await schema.alterTable('projects').addColumn('extra_json', text).execute()
      await schema.alterTable('users').addColumn('extra_json', text).execute()
      await schema
        .createTable('credentials')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('user_id', id, (c) => c.notNull())
        .addColumn('project_id', id)
        .addColumn('type', name, (c) => c.notNull())
        .addColumn('blob', text, (c) => c.notNull())
        .execute()
      await schema.createIndex('credentials_user').on('credentials').columns(['user_id']).execute()
      await schema
        .createTable('policies')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('type', name, (c) => c.notNull())
        .addColumn('blob', text, (c) => c.notNull())
        .execute()
    },
  },
  '005-options': {
    async up(db: Kysely<any>) {
      const { schema } = db
      await schema.alterTable('users').addColumn('options_json', text).execute()
      await schema.alterTable('groups').addColumn('extra_json', text).execute()
      await schema.alterTable('roles').addColumn('extra_json', text).execute()
      await schema
        .alterTable('groups')
        .addColumn('description_is_null', 'integer', (c) => c.notNull().defaultTo(0))
        .execute()
    },
  },
  '006-immutable': {
    async up(db: Kysely<any>) {
      for (const table of ['projects', 'roles']) await db.schema.alterTable(table).addColumn('options_json', text).execute()
    },
  },
}
