import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { flag, id, integer, name, text, time, timestamp } from '../../kernel/db/columns.ts'
import type { Migrations } from '../../kernel/db/database.ts'
import { createSagaTables } from '../../kernel/saga/log.ts'

export const migrations: Migrations = {
  '001-initial': {
    async up(db: Kysely<any>) {
      await createSagaTables(db)
      await volumes(db)
      await types(db)
      await attachments(db)
      await books(db)
    },
  },
  '002-transfers': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('transfers')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('project_id', id, (c) => c.notNull())
        .addColumn('volume_id', id, (c) => c.notNull().unique())
        .addColumn('name', name)
        .addColumn('digest', id, (c) => c.notNull())
        .addColumn('no_snapshots', flag, (c) => c.notNull())
        .addColumn('created_at', time, (c) => c.notNull())
        .execute()
      await db.schema.createIndex('transfers_project').on('transfers').columns(['project_id', 'created_at']).execute()
    },
  },
  '003-qos': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('qos_specs')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('name', name, (c) => c.notNull().unique())
        .addColumn('consumer', id, (c) => c.notNull())
        .addColumn('created_at', time, (c) => c.notNull())
        .execute()
      await db.schema.alterTable('types').addColumn('qos_specs_id', id).execute()
      await db.schema.createIndex('types_qos').on('types').column('qos_specs_id').execute()
      await db.schema.alterTable('snapshots').addColumn('progress', id).execute()
    },
  },
  '004-qos-generation': {
    async up(db: Kysely<any>) {
      await db.schema
        .alterTable('qos_specs')
        .addColumn('generation', integer, (c) => c.notNull().defaultTo(0))
        .execute()
    },
  },
}

async function volumes(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('volumes')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('project_id', id, (c) => c.notNull())
    .addColumn('user_id', id, (c) => c.notNull())
    .addColumn('name', name, (c) => c.notNull())
    .addColumn('description', name)
    .addColumn('size', integer, (c) => c.notNull())
    .addColumn('reserved_size', integer, (c) => c.notNull())
    .addColumn('status', id, (c) => c.notNull())
    .addColumn('type_id', id, (c) => c.notNull())
    .addColumn('availability_zone', name, (c) => c.notNull())
    .addColumn('host', name)
    .addColumn('placement_json', text)
    .addColumn('snapshot_id', id)
    .addColumn('source_volid', id)
    .addColumn('bootable', flag, (c) => c.notNull())
    .addColumn('readonly', flag, (c) => c.notNull())
    .addColumn('multiattach', flag, (c) => c.notNull())
    .addColumn('previous_status', id)
    .addColumn('created_at', time, (c) => c.notNull())
    .addColumn('updated_at', time, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('volumes_project').on('volumes').columns(['project_id', 'created_at']).execute()
  await db.schema.createIndex('volumes_created').on('volumes').columns(['created_at', 'id']).execute()
  await db.schema
    .createTable('snapshots')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('volume_id', id, (c) => c.notNull())
    .addColumn('project_id', id, (c) => c.notNull())
    .addColumn('user_id', id, (c) => c.notNull())
    .addColumn('name', name, (c) => c.notNull())
    .addColumn('description', name)
    .addColumn('size', integer, (c) => c.notNull())
    .addColumn('status', id, (c) => c.notNull())
    .addColumn('created_at', time, (c) => c.notNull())
    .addColumn('updated_at', time, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('snapshots_volume').on('snapshots').column('volume_id').execute()
  await db.schema.createIndex('snapshots_project').on('snapshots').columns(['project_id', 'created_at']).execute()
  await db.schema
    .createTable('properties')
    .addColumn('kind', id, (c) => c.notNull())
    .addColumn('owner_id', id, (c) => c.notNull())
    .addColumn('name', name, (c) => c.notNull())
    .addColumn('value', text, (c) => c.notNull())
    .addPrimaryKeyConstraint('properties_pk', ['kind', 'owner_id', 'name'])
    .execute()
}

async function types(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('types')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('name', name, (c) => c.notNull().unique())
    .addColumn('description', name)
    .addColumn('is_public', flag, (c) => c.notNull())
    .addColumn('created_at', time, (c) => c.notNull())
    .addColumn('updated_at', time, (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('type_access')
    .addColumn('type_id', id, (c) => c.notNull())
    .addColumn('project_id', id, (c) => c.notNull())
    .addPrimaryKeyConstraint('type_access_pk', ['type_id', 'project_id'])
    .execute()
  const at = timestamp()
  await db
    .insertInto('types')
    .values({ id: randomUUID(), name: '__DEFAULT__', description: 'Default Volume Type', is_public: 1, created_at: at, updated_at: at })
    .execute()
}

async function attachments(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('attachments')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('volume_id', id, (c) => c.notNull())
    .addColumn('project_id', id, (c) => c.notNull())
    .addColumn('instance_id', id)
    .addColumn('status', id, (c) => c.notNull())
    .addColumn('mode', id, (c) => c.notNull())
    .addColumn('mountpoint', name)
    .addColumn('host', name)
    .addColumn('connector_json', text)
    .addColumn('connection_json', text)
    .addColumn('secret', id)
    .addColumn('legacy', flag, (c) => c.notNull())
    .addColumn('attached_at', time)
    .addColumn('created_at', time, (c) => c.notNull())
    .addColumn('updated_at', time, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('attachments_volume').on('attachments').column('volume_id').execute()
  await db.schema.createIndex('attachments_instance').on('attachments').column('instance_id').execute()
}

async function books(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('backends')
    .addColumn('name', name, (c) => c.primaryKey())
    .addColumn('state_json', text, (c) => c.notNull())
    .addColumn('reported_at', time, (c) => c.notNull())
    .addColumn('disabled', flag, (c) => c.notNull())
    .addColumn('disabled_reason', name)
    .execute()
  await db.schema
    .createTable('messages')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('project_id', id, (c) => c.notNull())
    .addColumn('request_id', id)
    .addColumn('resource_type', id, (c) => c.notNull())
    .addColumn('resource_id', id, (c) => c.notNull())
    .addColumn('event_id', id, (c) => c.notNull())
    .addColumn('message', text, (c) => c.notNull())
    .addColumn('created_at', time, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('messages_project').on('messages').columns(['project_id', 'created_at']).execute()
  await db.schema
    .createTable('quotas')
    .addColumn('owner', name, (c) => c.notNull())
    .addColumn('resource', name, (c) => c.notNull())
    .addColumn('hard_limit', integer, (c) => c.notNull())
    .addPrimaryKeyConstraint('quotas_pk', ['owner', 'resource'])
    .execute()
  await db.schema
    .createTable('quota_locks')
    .addColumn('project_id', id, (c) => c.primaryKey())
    .addColumn('generation', integer, (c) => c.notNull())
    .execute()
}
