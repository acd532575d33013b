import type { ColumnDefinitionBuilder, Kysely } from 'kysely'
import { flag, id, integer, name, real, text, time } from '../../kernel/db/columns.ts'
import type { Migrations } from '../../kernel/db/database.ts'
import { createRateBuckets } from '../../kernel/http/shared-rate-limit.ts'
import { createSagaTables } from '../../kernel/saga/log.ts'

export const migrations: Migrations = {
  '001-initial': {
    async up(db: Kysely<any>) {
      await createSagaTables(db)
      await servers(db)
      await catalog(db)
      await hosts(db)
      await records(db)
    },
  },
  '002-rate-buckets': { up: createRateBuckets },
  '003-server-migrations': { up: serverMigrations },
  '004-volume-types': {
    async up(db: Kysely<any>) {
      await db.schema.alterTable('block_devices').addColumn('volume_type', name).execute()
    },
  },
  '005-server-passwords': { up: serverPasswords },
  '006-disk-config': {
    async up(db: Kysely<any>) {
      const columns = (c: ColumnDefinitionBuilder) => c.notNull().defaultTo(0)
      await db.schema.alterTable('instances').addColumn('auto_disk_config', flag, columns).execute()
    },
  },
  '007-step-records': { up: stepRecords },
  '008-usage': {
    async up(db: Kysely<any>) {
      // what a project uses is in the index itself
      await db.schema.createIndex('instances_usage').on('instances').columns(['project_id', 'deleted', 'vcpus', 'ram']).execute()
    },
  },
  '009-held-task': {
    async up(db: Kysely<any>) {
      await db.schema.alterTable('instances').addColumn('held_task', id).execute()
    },
  },
}

/** Instead of a row for each step: those of one subject come together, and a boot has fifty. */
async function stepRecords(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('step_records')
    .addColumn('subject', name, (c) => c.notNull())
    .addColumn('batch', id, (c) => c.notNull())
    .addColumn('records_json', text, (c) => c.notNull())
    .addPrimaryKeyConstraint('step_records_pk', ['subject', 'batch'])
    .execute()
}

async function serverPasswords(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('server_passwords')
    .addColumn('server_id', id, (c) => c.primaryKey())
    .addColumn('password', text, (c) => c.notNull())
    .execute()
}

async function serverMigrations(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('migrations')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('number', integer, (c) => c.notNull().unique())
    .addColumn('server_id', id, (c) => c.notNull())
    .addColumn('project_id', id, (c) => c.notNull())
    .addColumn('user_id', id, (c) => c.notNull())
    .addColumn('type', id, (c) => c.notNull())
    .addColumn('status', id, (c) => c.notNull())
    .addColumn('source_host', name, (c) => c.notNull())
    .addColumn('source_node', name, (c) => c.notNull())
    .addColumn('dest_host', name)
    .addColumn('dest_node', name)
    .addColumn('old_flavor_id', name, (c) => c.notNull())
    .addColumn('new_flavor_id', name, (c) => c.notNull())
    .addColumn('memory_total', integer)
    .addColumn('memory_processed', integer)
    .addColumn('memory_remaining', integer)
    .addColumn('disk_total', integer)
    .addColumn('disk_processed', integer)
    .addColumn('disk_remaining', integer)
    .addColumn('created_at', time, (c) => c.notNull())
    .addColumn('updated_at', time, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('migrations_server').on('migrations').columns(['server_id', 'status']).execute()
  await db.schema.createIndex('migrations_created').on('migrations').columns(['created_at', 'number']).execute()
}

async function servers(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('instances')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('number', integer, (c) => c.notNull())
    .addColumn('project_id', id, (c) => c.notNull())
    .addColumn('user_id', id, (c) => c.notNull())
    .addColumn('name', name, (c) => c.notNull())
    .addColumn('hostname', name, (c) => c.notNull())
    .addColumn('description', name)
    .addColumn('reservation_id', id, (c) => c.notNull())
    .addColumn('launch_index', integer, (c) => c.notNull())
    .addColumn('vm_state', id, (c) => c.notNull())
    .addColumn('task_state', id)
    .addColumn('power_state', integer, (c) => c.notNull())
    .addColumn('host', name)
    .addColumn('node', name)
    .addColumn('requested_zone', name)
    .addColumn('zone', name)
    .addColumn('image_id', id)
    .addColumn('flavor_json', text, (c) => c.notNull())
    .addColumn('vcpus', integer, (c) => c.notNull())
    .addColumn('ram', integer, (c) => c.notNull())
    .addColumn('old_flavor_json', text)
    .addColumn('key_name', name)
    .addColumn('key_json', text)
    .addColumn('user_data', text)
    .addColumn('config_drive', flag, (c) => c.notNull())
    .addColumn('metadata_json', text, (c) => c.notNull())
    .addColumn('tags_json', text, (c) => c.notNull())
    .addColumn('files_json', text, (c) => c.notNull())
    .addColumn('security_groups_json', text, (c) => c.notNull())
    .addColumn('network_info_json', text, (c) => c.notNull())
    .addColumn('request_json', text, (c) => c.notNull())
    .addColumn('group_id', id)
    .addColumn('access_ipv4', id)
    .addColumn('access_ipv6', id)
    .addColumn('locked', flag, (c) => c.notNull())
    .addColumn('locked_reason', name)
    .addColumn('fault_json', text)
    .addColumn('progress', integer, (c) => c.notNull())
    .addColumn('rescue_image_id', id)
    .addColumn('created_at', time, (c) => c.notNull())
    .addColumn('updated_at', time, (c) => c.notNull())
    .addColumn('launched_at', time)
    .addColumn('terminated_at', time)
    .addColumn('deleted', flag, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('instances_project').on('instances').columns(['project_id', 'deleted', 'created_at']).execute()
  await db.schema.createIndex('instances_created').on('instances').columns(['deleted', 'created_at', 'id']).execute()
  await db.schema.createIndex('instances_host').on('instances').columns(['host', 'deleted']).execute()
  await db.schema
    .createTable('block_devices')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('server_id', id, (c) => c.notNull())
    .addColumn('volume_id', id)
    .addColumn('device', name, (c) => c.notNull())
    .addColumn('boot_index', integer)
    .addColumn('delete_on_termination', flag, (c) => c.notNull())
    .addColumn('tag', name)
    .addColumn('source_type', id, (c) => c.notNull())
    .addColumn('source_id', id)
    .addColumn('size', integer)
    .addColumn('created_at', time, (c) => c.notNull())
    .addUniqueConstraint('block_devices_name', ['server_id', 'device'])
    .execute()
  await db.schema
    .createTable('server_groups')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('project_id', id, (c) => c.notNull())
    .addColumn('user_id', id, (c) => c.notNull())
    .addColumn('name', name, (c) => c.notNull())
    .addColumn('policy', id, (c) => c.notNull())
    .addColumn('rules_json', text, (c) => c.notNull())
    .addColumn('created_at', time, (c) => c.notNull())
    .execute()
}

async function catalog(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('flavors')
    .addColumn('id', name, (c) => c.primaryKey())
    .addColumn('name', name, (c) => c.notNull().unique())
    .addColumn('vcpus', integer, (c) => c.notNull())
    .addColumn('ram', integer, (c) => c.notNull())
    .addColumn('disk', integer, (c) => c.notNull())
    .addColumn('ephemeral', integer, (c) => c.notNull())
    .addColumn('swap', integer, (c) => c.notNull())
    .addColumn('rxtx_factor', real, (c) => c.notNull())
    .addColumn('is_public', flag, (c) => c.notNull())
    .addColumn('disabled', flag, (c) => c.notNull())
    .addColumn('description', text)
    .addColumn('extra_specs_json', text, (c) => c.notNull())
    .addColumn('created_at', time, (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('flavor_access')
    .addColumn('flavor_id', name, (c) => c.notNull())
    .addColumn('project_id', id, (c) => c.notNull())
    .addPrimaryKeyConstraint('flavor_access_pk', ['flavor_id', 'project_id'])
    .execute()
  await db.schema
    .createTable('keypairs')
    .addColumn('user_id', id, (c) => c.notNull())
    .addColumn('name', name, (c) => c.notNull())
    .addColumn('number', integer, (c) => c.notNull())
    .addColumn('type', id, (c) => c.notNull())
    .addColumn('public_key', text, (c) => c.notNull())
    .addColumn('fingerprint', name, (c) => c.notNull())
    .addColumn('created_at', time, (c) => c.notNull())
    .addPrimaryKeyConstraint('keypairs_pk', ['user_id', 'name'])
    .execute()
}

async function hosts(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('hosts')
    .addColumn('host', name, (c) => c.primaryKey())
    .addColumn('number', integer, (c) => c.notNull())
    .addColumn('service_id', id, (c) => c.notNull().unique())
    .addColumn('provider_id', id, (c) => c.notNull().unique())
    .addColumn('state_json', text, (c) => c.notNull())
    .addColumn('disabled', flag, (c) => c.notNull())
    .addColumn('disabled_reason', name)
    .addColumn('forced_down', flag, (c) => c.notNull())
    .addColumn('seen_at', time, (c) => c.notNull())
    .addColumn('created_at', time, (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('aggregates')
    .addColumn('id', integer, (c) => c.primaryKey())
    .addColumn('uuid', id, (c) => c.notNull().unique())
    .addColumn('name', name, (c) => c.notNull().unique())
    .addColumn('metadata_json', text, (c) => c.notNull())
    .addColumn('hosts_json', text, (c) => c.notNull())
    .addColumn('created_at', time, (c) => c.notNull())
    .addColumn('updated_at', time)
    .execute()
}

async function records(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('actions')
    .addColumn('server_id', id, (c) => c.notNull())
    .addColumn('request_id', id, (c) => c.notNull())
    .addColumn('action', name, (c) => c.notNull())
    .addColumn('user_id', id)
    .addColumn('project_id', id)
    .addColumn('start_time', time, (c) => c.notNull())
    .addColumn('updated_at', time, (c) => c.notNull())
    .addColumn('message', text)
    .addPrimaryKeyConstraint('actions_pk', ['server_id', 'request_id'])
    .execute()
  await db.schema
    .createTable('steps')
    .addColumn('id', id, (c) => c.primaryKey())
    .addColumn('subject', name, (c) => c.notNull())
    .addColumn('step', integer, (c) => c.notNull())
    .addColumn('name', name, (c) => c.notNull())
    .addColumn('service', id, (c) => c.notNull())
    .addColumn('request_id', id)
    .addColumn('saga', name)
    .addColumn('started_at', real, (c) => c.notNull())
    .addColumn('ms', real, (c) => c.notNull())
    .addColumn('outcome', id, (c) => c.notNull())
    .addColumn('evidence_json', text, (c) => c.notNull())
    .addColumn('commands_json', text, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('steps_subject').on('steps').columns(['subject', 'started_at']).execute()
  await db.schema
    .createTable('console_tokens')
    .addColumn('digest', id, (c) => c.primaryKey())
    .addColumn('server_id', id, (c) => c.notNull())
    .addColumn('kind', id, (c) => c.notNull())
    .addColumn('host', name, (c) => c.notNull())
    .addColumn('port', integer, (c) => c.notNull())
    .addColumn('expires_at', time, (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('quotas')
    .addColumn('owner', name, (c) => c.notNull())
    .addColumn('resource', id, (c) => c.notNull())
    .addColumn('hard_limit', integer, (c) => c.notNull())
    .addPrimaryKeyConstraint('quotas_pk', ['owner', 'resource'])
    .execute()
  await db.schema
    .createTable('quota_locks')
    .addColumn('project_id', id, (c) => c.primaryKey())
    .addColumn('generation', integer, (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('counters')
    .addColumn('name', id, (c) => c.primaryKey())
    .addColumn('value', integer, (c) => c.notNull())
    .execute()
}
