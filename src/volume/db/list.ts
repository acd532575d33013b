import { type SelectQueryBuilder, sql } from 'kysely'
import type { Handle } from './handle.ts'
import type { PropertyKind, VolumeTables } from './tables.ts'

export type Listed = 'volumes' | 'snapshots' | 'attachments' | 'messages' | 'transfers'

export interface Condition {
  column: string
  is: '=' | 'in' | 'like'
  value: string | number | string[]
}

export interface Page {
  /** Null: everybody's. */
  projectId: string | null
  conditions: Condition[]
  /** Each of these pairs must be among the properties. */
  properties: { kind: PropertyKind; name: string; value: string }[]
  sort: { key: string; direction: 'asc' | 'desc' }[]
  limit: number
  offset: number
  /** Only what comes after this row. */
  after?: Record<string, any>
}

type Query = SelectQueryBuilder<VolumeTables, any, any>

/** One page of a table's rows. `sort` must end with a unique key. */
export async function pageOf<T extends Listed>(db: Handle, table: T, page: Page): Promise<VolumeTables[T][]> {
  let query = matching(db.selectFrom(table as 'volumes') as unknown as Query, table, page).selectAll(table)
  const { after } = page
  if (after)
    query = query.where((eb: any) =>
      eb.or(
        page.sort.map(({ key, direction }, i) =>
          eb.and([
            ...page.sort.slice(0, i).map((before) => eb(comparable(table, before.key), '=', after[before.key] ?? '')),
            eb(comparable(table, key), direction === 'asc' ? '>' : '<', after[key] ?? ''),
          ]),
        ),
      ),
    )
  for (const { key, direction } of page.sort) query = query.orderBy(comparable(table, key), direction)
  return (await query.limit(page.limit).offset(page.offset).execute()) as VolumeTables[T][]
}

export async function countOf(db: Handle, table: Listed, page: Page): Promise<{ count: number; size: number }> {
  const row = (await matching(db.selectFrom(table as 'volumes') as unknown as Query, table, page)
    .select([sql<number>`count(*)`.as('count'), ...(table === 'volumes' ? [sql<number>`sum(size)`.as('size')] : [])])
    .executeTakeFirstOrThrow()) as { count: number; size?: number }
  return { count: Number(row.count), size: Number(row.size ?? 0) }
}

function matching(start: Query, table: Listed, page: Page): Query {
  let query = start
  if (page.projectId !== null) query = query.where(`${table}.project_id` as any, '=', page.projectId)
  for (const { column, is, value } of page.conditions) query = query.where(`${table}.${column}` as any, is, value as any)
  for (const { kind, name, value } of page.properties)
    query = query.where((eb: any) =>
      eb.exists(
        eb
          .selectFrom('properties as p')
          .select('p.name')
          .whereRef('p.owner_id', '=', `${table}.id`)
          .where('p.kind', '=', kind)
          .where('p.name', '=', name)
          .where('p.value', '=', value),
      ),
    )
  return query
}

/** Null sorts first, so that a page can go on after a row that lacks the value. Sizes and flags are never null. */
const NUMBERS = new Set(['size', 'bootable'])
const comparable = (table: Listed, key: string) =>
  NUMBERS.has(key) ? sql.ref(`${table}.${key}`) : sql`coalesce(${sql.ref(`${table}.${key}`)}, '')`
