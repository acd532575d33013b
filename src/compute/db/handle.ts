import type { Kysely, Transaction } from 'kysely'
import { insertPrepared } from '../../kernel/db/prepared.ts'
import type { ComputeTables } from './tables.ts'

export type Handle = Kysely<ComputeTables> | Transaction<ComputeTables>

/** The next number of a sequence: 1, 2, 3, ... Its row is locked until the transaction ends. With `count` the first of so many. */
export async function nextNumber(trx: Transaction<ComputeTables>, name: string, count = 1): Promise<number> {
  const moved = await trx
    .updateTable('counters')
    .set((eb) => ({ value: eb('value', '+', count) }))
    .where('name', '=', name)
    .executeTakeFirst()
  if (moved.numUpdatedRows === 0n) {
    await trx.insertInto('counters').values({ name, value: count }).execute()
    return 1
  }
  const { value } = await trx.selectFrom('counters').select('value').where('name', '=', name).executeTakeFirstOrThrow()
  return Number(value) - count + 1
}

/** Rows of one statement: what they hold must fit into what both databases take. */
const AT_ONCE = 50

export async function insertAll<T extends keyof ComputeTables>(trx: Handle, table: T, rows: ComputeTables[T][]): Promise<void> {
  if (rows.length === 1) return await insertPrepared(trx, table, rows[0]!)
  for (let at = 0; at < rows.length; at += AT_ONCE)
    await (trx as Kysely<any>)
      .insertInto(table)
      .values(rows.slice(at, at + AT_ONCE))
      .execute()
}
