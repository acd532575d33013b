import type { Kysely } from 'kysely'
import { flag, id, integer, name, text, time } from '../../kernel/db/columns.ts'
import type { Migrations } from '../../kernel/db/database.ts'

export const migrations: Migrations = {
  '001-initial': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('images')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('name', name)
        .addColumn('owner', id)
        .addColumn('status', id, (c) => c.notNull())
        .addColumn('visibility', id, (c) => c.notNull())
        .addColumn('protected', flag, (c) => c.notNull())
        .addColumn('hidden', flag, (c) => c.notNull())
        .addColumn('disk_format', id)
        .addColumn('container_format', id)
        .addColumn('size', integer)
        .addColumn('virtual_size', integer)
        .addColumn('checksum', id)
        .addColumn('hash_algo', id)
        .addColumn('hash_value', name)
        .addColumn('min_ram', integer, (c) => c.notNull())
        .addColumn('min_disk', integer, (c) => c.notNull())
        .addColumn('upload_id', id)
        .addColumn('lease_until', time)
        .addColumn('created_at', time, (c) => c.notNull())
        .addColumn('updated_at', time, (c) => c.notNull())
        .execute()
      await db.schema.createIndex('images_created').on('images').columns(['created_at', 'id']).execute()
      await db.schema.createIndex('images_owner').on('images').column('owner').execute()
      await db.schema
        .createTable('image_tags')
        .addColumn('image_id', id, (c) => c.notNull())
        .addColumn('tag', name, (c) => c.notNull())
        .addPrimaryKeyConstraint('image_tags_pk', ['image_id', 'tag'])
        .execute()
      await db.schema
        .createTable('image_properties')
        .addColumn('image_id', id, (c) => c.notNull())
        .addColumn('name', name, (c) => c.notNull())
        .addColumn('value', text)
        .addPrimaryKeyConstraint('image_properties_pk', ['image_id', 'name'])
        .execute()
      await db.schema
        .createTable('image_members')
        .addColumn('image_id', id, (c) => c.notNull())
        .addColumn('member_id', id, (c) => c.notNull())
        .addColumn('status', id, (c) => c.notNull())
        .addColumn('created_at', time, (c) => c.notNull())
        .addColumn('updated_at', time, (c) => c.notNull())
        .addPrimaryKeyConstraint('image_members_pk', ['image_id', 'member_id'])
        .execute()
      await db.schema.createIndex('image_members_member').on('image_members').column('member_id').execute()
    },
  },
  '002-metadata-definitions': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('metadef_namespaces')
        .addColumn('namespace', name, (c) => c.primaryKey())
        .addColumn('display_name', name)
        .addColumn('description', text)
        .addColumn('visibility', id, (c) => c.notNull())
        .addColumn('protected', flag, (c) => c.notNull())
        .addColumn('owner', id, (c) => c.notNull())
        .addColumn('created_at', time, (c) => c.notNull())
        .addColumn('updated_at', time, (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('metadef_parts')
        .addColumn('namespace', name, (c) => c.notNull())
        .addColumn('kind', id, (c) => c.notNull())
        .addColumn('name', name, (c) => c.notNull())
        .addColumn('body_json', text, (c) => c.notNull())
        .addColumn('created_at', time, (c) => c.notNull())
        .addColumn('updated_at', time, (c) => c.notNull())
        .addPrimaryKeyConstraint('metadef_parts_pk', ['namespace', 'kind', 'name'])
        .execute()
    },
  },
  '003-tasks': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('image_tasks')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('image_id', id, (c) => c.notNull())
        .addColumn('upload_id', id, (c) => c.notNull())
        .addColumn('method_json', text, (c) => c.notNull())
        .addColumn('status', id, (c) => c.notNull())
        .addColumn('message', text, (c) => c.notNull())
        .addColumn('owner', id)
        .addColumn('user_id', id)
        .addColumn('request_id', id, (c) => c.notNull())
        .addColumn('created_at', time, (c) => c.notNull())
        .addColumn('updated_at', time, (c) => c.notNull())
        .addColumn('expires_at', time, (c) => c.notNull())
        .execute()
      await db.schema.createIndex('image_tasks_image').on('image_tasks').column('image_id').execute()
      await db.schema.createIndex('image_tasks_upload').on('image_tasks').column('upload_id').execute()
    },
  },
  '004-generation': {
    async up(db: Kysely<any>) {
      await db.schema
        .alterTable('images')
        .addColumn('generation', integer, (c) => c.notNull().defaultTo(0))
        .execute()
    },
  },
  '005-deleted-images': {
    async up(db: Kysely<any>) {
      await db.schema
        .createTable('deleted_images')
        .addColumn('id', id, (c) => c.primaryKey())
        .addColumn('deleted_at', time, (c) => c.notNull())
        .execute()
    },
  },
}
