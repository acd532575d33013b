import type { Kysely, Transaction } from 'kysely'
import { insertPrepared, prepared } from '../../kernel/db/prepared.ts'
import type { ComputeTables } from './tables.ts'

export type Handle = Kysely<ComputeTables> | Transaction<ComputeTables>

/** The next number of a sequence: 1, 2, 3, ... Its row is locked until the transaction ends. With `count` the first of so many. */
export async function nextNumber(trx: Transaction<ComputeTables>, name: string, count = 1): Promise<number> {
  const { numAffectedRows = 0n } = await moveOn(trx, { name, count })
  if (numAffectedRows === 0n) {
    await trx.insertInto('counters').values({ name, value: count }).execute()
    return 1
  }
  const { rows } = await numberOf(trx, { name })
  return Number(rows[0]!.value) - count + 1
}

const moveOn = prepared((db: Kysely<ComputeTables>, { name, count }: { name: string; count: number }) =>
  db
    .updateTable('counters')
    .set((eb) => ({ value: eb('value', '+', count) }))
    .where('name', '=', name),
)

const numberOf = prepared((db: Kysely<ComputeTables>, { name }: { name: string }) =>
  db.selectFrom('counters').select('value').where('name', '=', name),
)

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
