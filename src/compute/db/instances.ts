import { type ExpressionBuilder, type Kysely, sql, type Transaction } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import { Raced } from '../../kernel/db/database.ts'
import { Not, prepared, preparedFor, updatePrepared } from '../../kernel/db/prepared.ts'
import type { Handle } from './handle.ts'
import { fitting } from './name-pattern.ts'
import type { BlockDeviceRow, ComputeTables, InstanceRow } from './tables.ts'

export interface InstanceFilter {
  /** Null: of all projects. */
  projectId: string | null
  /** Null: deleted or not. */
  deleted: boolean | null
  columns: { column: keyof InstanceRow; is: '=' | '!=' | '>=' | '<=' | 'in' | 'not in'; value: any }[]
  /** Pieces of text of which a JSON column must hold one. */
  like: { column: keyof InstanceRow; oneOf: string[] }[]
  /** Pieces of text of which a JSON column must lack one. */
  lacks: { column: keyof InstanceRow; oneOf: string[] }[]
  /** Regular expressions; as in MySQL: not anchored. */
  matches: { column: 'name' | 'hostname'; pattern: string }[]
  sort: { key: keyof InstanceRow; direction: 'asc' | 'desc' }[]
  limit: number
  after?: InstanceRow
}

const byId = prepared((db: Kysely<ComputeTables>, { id }: { id: string }) => db.selectFrom('instances').selectAll().where('id', '=', id))

export async function findInstance(db: Handle, id: string): Promise<InstanceRow | undefined> {
  return (await byId(db, { id })).rows[0]
}

export const findInstances: (db: Handle, ids: string[]) => Promise<InstanceRow[]> = preparedFor((db: Kysely<ComputeTables>, ids) =>
  db.selectFrom('instances').selectAll().where('id', 'in', ids),
)

/** Statements of so many servers at most. */
const AT_ONCE = 50

/** What is kept of the cards of each of these servers. */
export async function keepNetworkInfo(db: Handle, infos: Map<string, string>): Promise<void> {
  const all = [...infos]
  for (let at = 0; at < all.length; at += AT_ONCE) {
    const some = all.slice(at, at + AT_ONCE)
    const cases = some.map(([id, info]) => sql`when ${id} then ${info}`)
    await db
      .updateTable('instances')
      .set({ network_info_json: sql<string>`case id ${sql.join(cases, sql` `)} end`, updated_at: timestamp() })
      .where(
        'id',
        'in',
        some.map(([id]) => id),
      )
      .execute()
  }
}

export async function updateInstance(db: Handle, id: string, columns: Partial<InstanceRow>): Promise<void> {
  await updatePrepared(db, 'instances', { id }, { ...columns, updated_at: timestamp() })
}

/** Compare-and-swap of a column that is changed by what it was. @throws Raced when somebody else changed it: the transaction runs again */
export async function replaceJson(
  trx: Transaction<ComputeTables>,
  seen: InstanceRow,
  column: 'metadata_json' | 'tags_json' | 'request_json',
  after: string,
  more: Partial<InstanceRow> = {},
): Promise<void> {
  const swapped = await trx
    .updateTable('instances')
    .set({ ...more, [column]: after, updated_at: timestamp() })
    .where('id', '=', seen.id)
    .where(column, '=', seen[column])
    .executeTakeFirst()
  if (swapped.numUpdatedRows === 0n) throw new Raced()
}

/** No operation has it, nor had it when an operator said how it is. */
export const atRest = (eb: ExpressionBuilder<ComputeTables, 'instances'>) =>
  eb.and([eb('task_state', 'is', null), eb('held_task', 'is', null)])

/** Changes the row if its states still are as expected (a task that is held counts as one that is seen); answers whether they were. */
export async function moveInstance(
  db: Handle,
  id: string,
  expected: { vmStates?: string[]; taskStates?: (string | null)[]; notTask?: string; untouchedSince?: string; host?: string },
  columns: Partial<InstanceRow>,
): Promise<boolean> {
  const { vmStates, taskStates, notTask, host, untouchedSince } = expected
  const where = {
    id,
    deleted: 0,
    vm_state: vmStates,
    task_state: notTask ? new Not(notTask) : taskStates,
    held_task: taskStates && [null, ...taskStates.filter((task) => task !== null)],
    host,
    updated_at: untouchedSince,
  }
  return (await updatePrepared(db, 'instances', where, { ...columns, updated_at: timestamp() })) > 0
}

/** Servers of these hosts that no operation has. */
export async function atRestOnHosts(
  db: Handle,
  hosts: string[],
): Promise<Pick<InstanceRow, 'id' | 'host' | 'power_state' | 'updated_at'>[]> {
  if (hosts.length === 0) return []
  return await db
    .selectFrom('instances')
    .select(['id', 'host', 'power_state', 'updated_at'])
    .where('deleted', '=', 0)
    .where(atRest)
    .where('host', 'in', hosts)
    .execute()
}

/** Patterns are matched here, not in the database: SQLite has no regular expressions. */
export async function listInstances(db: Handle, filter: InstanceFilter): Promise<InstanceRow[]> {
  if (filter.limit === 0) return []
  let query = db.selectFrom('instances').selectAll()
  if (filter.deleted !== null) query = query.where('deleted', '=', filter.deleted ? 1 : 0)
  if (filter.projectId !== null) query = query.where('project_id', '=', filter.projectId)
  for (const { column, is, value } of filter.columns)
    query = value === null ? query.where(column, is === '!=' ? 'is not' : 'is', null) : query.where(column, is, value)
  for (const { column, oneOf } of filter.like) query = query.where((eb) => eb.or(oneOf.map((text) => holds(column, text))))
  for (const { column, oneOf } of filter.lacks) query = query.where((eb) => eb.or(oneOf.map((text) => eb.not(holds(column, text)))))
  const { after } = filter
  if (after) query = query.where((eb) => comesAfter(eb, after, filter.sort))
  for (const { key, direction } of filter.sort) query = query.orderBy(key, direction)
  if (filter.matches.length === 0) return await query.limit(filter.limit).execute()
  let rows = await query.execute()
  for (const { column, pattern } of filter.matches) {
    const fits = fitting(
      pattern,
      rows.map((row) => row[column]),
    )
    rows = rows.filter((_row, i) => fits[i])
  }
  return rows.slice(0, filter.limit)
}

const holds = (column: keyof InstanceRow, text: string) =>
  sql<boolean>`${sql.ref(column)} like ${`%${text.replace(/[!%_]/g, '!$&')}%`} escape '!'`

function comesAfter(eb: ExpressionBuilder<ComputeTables, 'instances'>, after: InstanceRow, sort: InstanceFilter['sort']) {
  return eb.or(
    sort.map(({ key, direction }, i) =>
      eb.and([
        ...sort.slice(0, i).map((before) => eb(before.key, after[before.key] === null ? 'is' : '=', after[before.key] as any)),
        beyond(eb, key, direction, after[key]),
      ]),
    ),
  )
}

/** Both databases put null before everything else. */
function beyond(
  eb: ExpressionBuilder<ComputeTables, 'instances'>,
  key: keyof InstanceRow,
  direction: 'asc' | 'desc',
  value: InstanceRow[keyof InstanceRow],
) {
  if (direction === 'asc') return value === null ? eb(key, 'is not', null) : eb(key, '>', value as any)
  return value === null ? sql<boolean>`1 = 0` : eb.or([eb(key, '<', value as any), eb(key, 'is', null)])
}

/** Of each server in the order of their names. */
export const blockDevicesOf: (db: Handle, serverIds: string[]) => Promise<BlockDeviceRow[]> = preparedFor(
  (db: Kysely<ComputeTables>, ids) => db.selectFrom('block_devices').selectAll().where('server_id', 'in', ids).orderBy('device'),
)

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
