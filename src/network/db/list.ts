import { type SelectQueryBuilder, sql } from 'kysely'
import { AT_ONCE, type Handle } from './handle.ts'
import { rowsWhere } from './rows.ts'
import type { NetworkTables } from './tables.ts'

/** A selection from any of the tables: columns are named at run time. */
export type Selection = SelectQueryBuilder<any, any, any>
export type Condition = (query: Selection) => Selection

export interface ListQuery {
  conditions: Condition[]
  sort: { column: string; direction: 'asc' | 'desc' }[]
  limit: number | null
  /** The row before the page (or after it, when going backwards). */
  marker: Record<string, any> | null
  backwards: boolean
}

const OTHER_WAY = { asc: 'desc', desc: 'asc' } as const
const EMPTY = new Set(['segmentation_id', 'port_range_min', 'port_range_max'])
const NEVER_NULL = new Set(['id', 'created_at', 'updated_at'])
const comparable = (column: string) =>
  NEVER_NULL.has(column)
    ? sql.ref(column)
    : EMPTY.has(column)
      ? sql`coalesce(${sql.ref(column)}, -1)`
      : sql`coalesce(${sql.ref(column)}, '')`
const sortValue = (row: Record<string, any>, column: string) => row[column] ?? (EMPTY.has(column) ? -1 : '')

export async function selectRows<T extends keyof NetworkTables>(db: Handle, table: T, query: ListQuery): Promise<NetworkTables[T][]> {
  let selection: Selection = (db as any).selectFrom(table).selectAll(table)
  for (const condition of query.conditions) selection = condition(selection)
  const sort = query.sort.map(({ column, direction }) => ({ column, direction: query.backwards ? OTHER_WAY[direction] : direction }))
  const { marker } = query
  if (marker)
    selection = selection.where((eb) =>
      eb.or(
        sort.map(({ column, direction }, i) =>
          eb.and([
            ...sort.slice(0, i).map((before) => eb(comparable(before.column), '=', sortValue(marker, before.column))),
            eb(comparable(column), direction === 'asc' ? '>' : '<', sortValue(marker, column)),
          ]),
        ),
      ),
    )
  for (const { column, direction } of sort) selection = selection.orderBy(comparable(column), direction)
  if (query.limit !== null) selection = selection.limit(query.limit)
  const rows = await selection.execute()
  return (query.backwards ? rows.reverse() : rows) as NetworkTables[T][]
}

/** Those of `ids` that meet the conditions. */
export async function selectById<T extends keyof NetworkTables>(
  db: Handle,
  table: T,
  ids: string[],
  conditions: Condition[],
): Promise<NetworkTables[T][]> {
  if (conditions.length === 0) return await rowsWhere(db, table, 'id' as any, ids)
  const rows: NetworkTables[T][] = []
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    let selection: Selection = (db as any)
      .selectFrom(table)
      .selectAll(table)
      .where('id', 'in', ids.slice(at, at + AT_ONCE))
    for (const condition of conditions) selection = condition(selection)
    rows.push(...((await selection.execute()) as NetworkTables[T][]))
  }
  return rows
}

export async function selectRow<T extends keyof NetworkTables>(
  db: Handle,
  table: T,
  id: string,
  conditions: Condition[] = [],
): Promise<NetworkTables[T] | undefined> {
  if (conditions.length === 0) return (await rowsWhere(db, table, 'id' as any, [id]))[0]
  let selection: Selection = (db as any).selectFrom(table).selectAll(table).where('id', '=', id)
  for (const condition of conditions) selection = condition(selection)
  return (await selection.executeTakeFirst()) as NetworkTables[T] | undefined
}
