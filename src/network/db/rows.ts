import { timestamp } from '../../kernel/db/columns.ts'
import { preparedFor } from '../../kernel/db/prepared.ts'
import type { Handle } from './handle.ts'
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
  if (Array.isArray(row) && row.length === 0) return
  await (db as any).insertInto(table).values(row).execute()
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

export async function deleteRow<T extends ResourceTable>(db: Handle, table: T, id: string): Promise<boolean> {
  return (await (db as any).deleteFrom(table).where('id', '=', id).executeTakeFirst()).numDeletedRows > 0n
}

export async function countRows(db: Handle, table: ResourceTable, projectId: string): Promise<number> {
  const row = await (db as any)
    .selectFrom(table)
    .select((eb: any) => eb.fn.countAll().as('n'))
    .where('project_id', '=', projectId)
    .executeTakeFirstOrThrow()
  return Number(row.n)
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
