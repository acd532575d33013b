import type { Kysely } from 'kysely'
import { Raced } from '../../kernel/db/database.ts'
import type { IdentityTables } from './tables.ts'

/** Tables of what keeps more than it is asked for: what is sent of that is put to what is there. */
type Keeping = 'users' | 'groups' | 'roles' | 'projects'
const MERGED = ['options_json', 'extra_json']

/** Changes a row by what was read of it in the same transaction. @throws Raced when somebody else changed its options or other attributes, or deleted it: the transaction runs again */
export async function changeSeen<T extends Keeping>(
  trx: Kysely<IdentityTables>,
  table: T,
  seen: IdentityTables[T],
  columns: Partial<IdentityTables[T]>,
): Promise<void> {
  const change = (trx as Kysely<any>).updateTable(table as string).set(columns)
  if ((await asSeen(change, seen).executeTakeFirst()).numUpdatedRows === 0n) throw new Raced()
}

function asSeen(query: any, seen: { id: string }): any {
  const row: Record<string, unknown> = { ...seen }
  return MERGED.filter((column) => column in row).reduce(
    (narrowed, column) => narrowed.where(column, row[column] === null ? 'is' : '=', row[column]),
    query.where('id', '=', seen.id),
  )
}
