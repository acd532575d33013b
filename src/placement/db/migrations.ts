import type { Kysely } from 'kysely'
import { id, integer, name, real, time } from '../../kernel/db/columns.ts'
import type { Migrations } from '../../kernel/db/database.ts'

export const migrations: Migrations = {
  '001-initial': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('providers')
        .addColumn('uuid', id, (c) => c.primaryKey())
        .addColumn('name', name, (c) => c.notNull().unique())
        .addColumn('generation', integer, (c) => c.notNull())
        .addColumn('parent_uuid', id)
        .addColumn('root_uuid', id, (c) => c.notNull())
        .addColumn('created_at', time, (c) => c.notNull())
        .addColumn('updated_at', time, (c) => c.notNull())
        .execute()
      await db.schema.createIndex('providers_root').on('providers').column('root_uuid').execute()
      await db.schema.createIndex('providers_parent').on('providers').column('parent_uuid').execute()
      await db.schema
        .createTable('inventories')
        .addColumn('provider_uuid', id, (c) => c.notNull())
        .addColumn('resource_class', name, (c) => c.notNull())
        .addColumn('total', integer, (c) => c.notNull())
        .addColumn('reserved', integer, (c) => c.notNull())
        .addColumn('min_unit', integer, (c) => c.notNull())
        .addColumn('max_unit', integer, (c) => c.notNull())
        .addColumn('step_size', integer, (c) => c.notNull())
        .addColumn('allocation_ratio', real, (c) => c.notNull())
        .addPrimaryKeyConstraint('inventories_pk', ['provider_uuid', 'resource_class'])
        .execute()
      await db.schema.createIndex('inventories_class').on('inventories').column('resource_class').execute()
      await db.schema
        .createTable('allocations')
        .addColumn('consumer_uuid', id, (c) => c.notNull())
        .addColumn('provider_uuid', id, (c) => c.notNull())
        .addColumn('resource_class', name, (c) => c.notNull())
        .addColumn('used', integer, (c) => c.notNull())
        .addPrimaryKeyConstraint('allocations_pk', ['consumer_uuid', 'provider_uuid', 'resource_class'])
        .execute()
      await db.schema.createIndex('allocations_provider').on('allocations').columns(['provider_uuid', 'resource_class', 'used']).execute()
      await db.schema
        .createTable('consumers')
        .addColumn('uuid', id, (c) => c.primaryKey())
        .addColumn('generation', integer, (c) => c.notNull())
        .addColumn('project_id', name)
        .addColumn('user_id', name)
        .addColumn('consumer_type', name)
        .addColumn('created_at', time, (c) => c.notNull())
        .addColumn('updated_at', time, (c) => c.notNull())
        .execute()
      await db.schema.createIndex('consumers_project').on('consumers').columns(['project_id', 'user_id']).execute()
      await db.schema
        .createTable('provider_traits')
        .addColumn('provider_uuid', id, (c) => c.notNull())
        .addColumn('trait', name, (c) => c.notNull())
        .addPrimaryKeyConstraint('provider_traits_pk', ['provider_uuid', 'trait'])
        .execute()
      await db.schema.createIndex('provider_traits_trait').on('provider_traits').column('trait').execute()
      await db.schema
        .createTable('provider_aggregates')
        .addColumn('provider_uuid', id, (c) => c.notNull())
        .addColumn('aggregate_uuid', id, (c) => c.notNull())
        .addPrimaryKeyConstraint('provider_aggregates_pk', ['provider_uuid', 'aggregate_uuid'])
        .execute()
      await db.schema.createIndex('provider_aggregates_aggregate').on('provider_aggregates').column('aggregate_uuid').execute()
      for (const table of ['custom_traits', 'custom_classes'])
        await db.schema
          .createTable(table)
          .addColumn('name', name, (c) => c.primaryKey())
          .addColumn('created_at', time, (c) => c.notNull())
          .execute()
    },
  },
}
