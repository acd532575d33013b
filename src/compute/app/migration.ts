import type { Transaction } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { type Handle, nextNumber } from '../db/handle.ts'
import type { ComputeTables, InstanceRow, MigrationRow } from '../db/tables.ts'
import { OVER } from '../rpc.ts'
import { flavorOf } from './instance-spec.ts'

/** A live migration in one of these is under way. */
export const LIVE_UNDER_WAY = ['accepted', 'queued', 'preparing', 'running', 'post-migrating']

export interface NewMigration {
  id: string
  type: MigrationRow['type']
  /** When the server is another one afterwards. */
  newFlavorId?: string
}

/** In the transaction that takes the server for the operation. */
export async function recordMigration(
  trx: Transaction<ComputeTables>,
  request: Pick<RequestContext, 'userId' | 'projectId'>,
  row: InstanceRow,
  { id, type, newFlavorId }: NewMigration,
): Promise<void> {
  const at = timestamp()
  const flavorId = flavorOf(row).id
  await trx
    .insertInto('migrations')
    .values({
      id,
      number: await nextNumber(trx, 'migrations'),
      server_id: row.id,
      project_id: request.projectId ?? row.project_id,
      user_id: request.userId ?? row.user_id,
      type,
      status: 'accepted',
      source_host: row.host!,
      source_node: row.node!,
      dest_host: null,
      dest_node: null,
      old_flavor_id: flavorId,
      new_flavor_id: newFlavorId ?? flavorId,
      memory_total: null,
      memory_processed: null,
      memory_remaining: null,
      disk_total: null,
      disk_processed: null,
      disk_remaining: null,
      created_at: at,
      updated_at: at,
    })
    .execute()
}

export async function changeMigration(db: Handle, id: string, columns: Partial<MigrationRow>): Promise<void> {
  await db
    .updateTable('migrations')
    .set({ ...columns, updated_at: timestamp() })
    .where('id', '=', id)
    .execute()
}

/** The next status of one that nobody has called off; answers whether that is so. */
export async function goOn(db: Handle, id: string, status: string): Promise<boolean> {
  const moved = await db
    .updateTable('migrations')
    .set({ status, updated_at: timestamp() })
    .where('id', '=', id)
    .where('status', '!=', 'cancelled')
    .executeTakeFirst()
  return moved.numUpdatedRows > 0n
}

/** Answers whether it still was in one of these; what is over stays what it is. */
export async function callOff(db: Handle, id: string, from: string[]): Promise<boolean> {
  const moved = await db
    .updateTable('migrations')
    .set({ status: 'cancelled', updated_at: timestamp() })
    .where('id', '=', id)
    .where('status', 'in', from)
    .executeTakeFirst()
  return moved.numUpdatedRows > 0n
}

export async function findMigration(db: Handle, id: string): Promise<MigrationRow | undefined> {
  return await db.selectFrom('migrations').selectAll().where('id', '=', id).executeTakeFirst()
}

/** The one whose way back is still open: the server waits to be confirmed or reverted. */
export async function unconfirmed(db: Handle, serverId: string): Promise<MigrationRow | undefined> {
  return await db
    .selectFrom('migrations')
    .selectAll()
    .where('server_id', '=', serverId)
    .where('status', 'in', ['finished', 'confirming', 'reverting'])
    .orderBy('number', 'desc')
    .executeTakeFirst()
}

/** Those that still hold something: a place, or a way back. */
export async function openMigrations(db: Handle, serverId: string): Promise<MigrationRow[]> {
  return await db.selectFrom('migrations').selectAll().where('server_id', '=', serverId).where('status', 'not in', OVER).execute()
}

export interface MigrationFilter {
  serverId?: string
  /** On either end. */
  host?: string
  sourceHost?: string
  status?: string[]
  type?: string
  userId?: string
  projectId?: string
  /** ISO times of the last change. */
  since?: string
  before?: string
  after?: MigrationRow
  limit?: number
}

/** The youngest first. */
export async function listMigrations(db: Handle, filter: MigrationFilter): Promise<MigrationRow[]> {
  let query = db.selectFrom('migrations').selectAll()
  const { serverId, host, sourceHost, status, type, userId, projectId, since, before, after, limit } = filter
  if (serverId !== undefined) query = query.where('server_id', '=', serverId)
  if (host !== undefined) query = query.where((eb) => eb.or([eb('source_host', '=', host), eb('dest_host', '=', host)]))
  if (sourceHost !== undefined) query = query.where('source_host', '=', sourceHost)
  if (status !== undefined) query = query.where('status', 'in', status)
  if (type !== undefined) query = query.where('type', '=', type as MigrationRow['type'])
  if (userId !== undefined) query = query.where('user_id', '=', userId)
  if (projectId !== undefined) query = query.where('project_id', '=', projectId)
  if (since !== undefined) query = query.where('updated_at', '>=', since)
  if (before !== undefined) query = query.where('updated_at', '<=', before)
  if (after !== undefined) query = query.where('number', '<', after.number)
  if (limit !== undefined) query = query.limit(limit)
  return await query.orderBy('number', 'desc').execute()
}
