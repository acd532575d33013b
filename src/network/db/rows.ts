import { timestamp } from '../../kernel/db/columns.ts'
import { insertPrepared, preparedFor } from '../../kernel/db/prepared.ts'
import { AT_ONCE, type Handle } from './handle.ts'
import type { NetworkTables, StandardRow } from './tables.ts'

/** The tables of resources, which all begin with the same columns. */
export type ResourceTable = {
  [T in keyof NetworkTables]: NetworkTables[T] extends StandardRow ? T : never
}[keyof NetworkTables]

export async function insertRow<T extends keyof NetworkTables>(
  db: Handle,
  table: T,
  row: NetworkTables[T] | NetworkTables[T][],
): Promise<void> {
  const all = [row].flat()
  if (all.length === 1) await insertPrepared(db, table, all[0]!)
  else for (const rows of portions(all)) await (db as any).insertInto(table).values(rows).execute()
}

function portions<T>(all: T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / AT_ONCE) }, (_, i) => all.slice(i * AT_ONCE, (i + 1) * AT_ONCE))
}

/** The row one revision on. Answers whether it was still there (and, where told, still at `revision`). */
export async function updateRow<T extends ResourceTable>(
  db: Handle,
  table: T,
  id: string,
  columns: Partial<NetworkTables[T]>,
  revision?: number,
): Promise<boolean> {
  let query = (db as any)
    .updateTable(table)
    .set((eb: any) => ({ ...columns, revision: eb('revision', '+', 1), updated_at: timestamp() }))
    .where('id', '=', id)
  if (revision !== undefined) query = query.where('revision', '=', revision)
  return (await query.executeTakeFirst()).numUpdatedRows > 0n
}

/** All rows whose `column` is one of `values`, one revision on. */
export async function updateRows<T extends ResourceTable>(
  db: Handle,
  table: T,
  values: string[],
  columns: Partial<NetworkTables[T]>,
  column: keyof NetworkTables[T] & string = 'id',
): Promise<void> {
  for (const some of portions(values))
    await (db as any)
      .updateTable(table)
      .set((eb: any) => ({ ...columns, revision: eb('revision', '+', 1), updated_at: timestamp() }))
      .where(column, 'in', some)
      .execute()
}

/** All rows of `table` whose `column` is one of `values`. */
export async function deleteRows<T extends keyof NetworkTables>(
  db: Handle,
  table: T,
  column: keyof NetworkTables[T] & string,
  values: string[],
): Promise<void> {
  for (const some of portions(values)) await (db as any).deleteFrom(table).where(column, 'in', some).execute()
}

export async function deleteRow<T extends ResourceTable>(db: Handle, table: T, id: string): Promise<boolean> {
  return (await (db as any).deleteFrom(table).where('id', '=', id).executeTakeFirst()).numDeletedRows > 0n
}

/** By project; one that has none is absent. */
export async function countRows(db: Handle, table: ResourceTable, projectIds: string[]): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const some of portions(projectIds)) {
    const rows = await (db as any)
      .selectFrom(table)
      .select((eb: any) => ['project_id', eb.fn.countAll().as('n')])
      .where('project_id', 'in', some)
      .groupBy('project_id')
      .execute()
    for (const row of rows) counts.set(row.project_id, Number(row.n))
  }
  return counts
}

type ByValues = (db: Handle, values: string[]) => Promise<any[]>
const byColumn = new Map<string, ByValues>()

function byValues(table: keyof NetworkTables, column: string): ByValues {
  const known = byColumn.get(`${table}.${column}`)
  if (known) return known
  const made = preparedFor((db, values) => db.selectFrom(table).selectAll().where(column, 'in', values))
  byColumn.set(`${table}.${column}`, made)
  return made
}

/** All rows of `table` whose `column` is one of `values`; none for no values. */
export async function rowsWhere<T extends keyof NetworkTables>(
  db: Handle,
  table: T,
  column: keyof NetworkTables[T] & string,
  values: string[],
): Promise<NetworkTables[T][]> {
  return await byValues(table, column)(db, [...new Set(values)])
}
