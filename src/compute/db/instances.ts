import type { ExpressionBuilder, Transaction } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import type { Handle } from './handle.ts'
import type { BlockDeviceRow, ComputeTables, InstanceRow } from './tables.ts'

export interface InstanceFilter {
  /** Null: of all projects. */
  projectId: string | null
  deleted: boolean
  columns: { column: keyof InstanceRow; is: '=' | '!=' | '>=' | '<=' | 'in' | 'not in'; value: any }[]
  /** Pieces of text that the JSON columns must hold. */
  like: { column: keyof InstanceRow; value: string }[]
  /** As in MySQL: not anchored. */
  matches: { column: 'name' | 'hostname'; pattern: RegExp }[]
  sort: { key: keyof InstanceRow; direction: 'asc' | 'desc' }[]
  limit: number
  after?: InstanceRow
}

export async function insertInstance(trx: Transaction<ComputeTables>, row: InstanceRow): Promise<void> {
  await trx.insertInto('instances').values(row).execute()
}

export async function findInstance(db: Handle, id: string): Promise<InstanceRow | undefined> {
  return await db.selectFrom('instances').selectAll().where('id', '=', id).executeTakeFirst()
}

export async function updateInstance(db: Handle, id: string, columns: Partial<InstanceRow>): Promise<void> {
  await db
    .updateTable('instances')
    .set({ ...columns, updated_at: timestamp() })
    .where('id', '=', id)
    .execute()
}

/** Changes the row if its states still are as expected; answers whether they were. */
export async function moveInstance(
  db: Handle,
  id: string,
  expected: { vmStates?: string[]; taskStates?: (string | null)[] },
  columns: Partial<InstanceRow>,
): Promise<boolean> {
  let query = db
    .updateTable('instances')
    .set({ ...columns, updated_at: timestamp() })
    .where('id', '=', id)
    .where('deleted', '=', 0)
  if (expected.vmStates) query = query.where('vm_state', 'in', expected.vmStates as InstanceRow['vm_state'][])
  const tasks = expected.taskStates
  if (tasks)
    query = query.where((eb) => eb.or(tasks.map((task) => (task === null ? eb('task_state', 'is', null) : eb('task_state', '=', task)))))
  return (await query.executeTakeFirst()).numUpdatedRows > 0n
}

/** Patterns are matched here, not in the database: SQLite has no regular expressions. */
export async function listInstances(db: Handle, filter: InstanceFilter): Promise<InstanceRow[]> {
  if (filter.limit === 0) return []
  let query = db.selectFrom('instances').selectAll()
  query = query.where('deleted', '=', filter.deleted ? 1 : 0)
  if (filter.projectId !== null) query = query.where('project_id', '=', filter.projectId)
  for (const { column, is, value } of filter.columns)
    query = value === null ? query.where(column, is === '!=' ? 'is not' : 'is', null) : query.where(column, is, value)
  for (const { column, value } of filter.like) query = query.where(column, 'like', `%${value}%`)
  const { after } = filter
  if (after) query = query.where((eb) => comesAfter(eb, after, filter.sort))
  for (const { key, direction } of filter.sort) query = query.orderBy(key, direction)
  if (filter.matches.length === 0) return await query.limit(filter.limit).execute()
  const rows = (await query.execute()).filter((row) => filter.matches.every(({ column, pattern }) => pattern.test(row[column])))
  return rows.slice(0, filter.limit)
}

function comesAfter(eb: ExpressionBuilder<ComputeTables, 'instances'>, after: InstanceRow, sort: InstanceFilter['sort']) {
  return eb.or(
    sort.map(({ key, direction }, i) =>
      eb.and([
        ...sort.slice(0, i).map((before) => eb(before.key, '=', after[before.key] as any)),
        eb(key, direction === 'asc' ? '>' : '<', after[key] as any),
      ]),
    ),
  )
}

export async function blockDevicesOf(db: Handle, serverIds: string[]): Promise<BlockDeviceRow[]> {
  if (serverIds.length === 0) return []
  return await db.selectFrom('block_devices').selectAll().where('server_id', 'in', serverIds).orderBy('device').execute()
}

/** Live servers of each host: what affinity, I/O and instance-count filters ask. */
export async function instancesByHost(
  db: Handle,
): Promise<Pick<InstanceRow, 'id' | 'host' | 'project_id' | 'group_id' | 'task_state' | 'image_id'>[]> {
  return await db
    .selectFrom('instances')
    .select(['id', 'host', 'project_id', 'group_id', 'task_state', 'image_id'])
    .where('deleted', '=', 0)
    .where('host', 'is not', null)
    .execute()
}
