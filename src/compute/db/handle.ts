import type { Kysely, Transaction } from 'kysely'
import type { ComputeTables } from './tables.ts'

export type Handle = Kysely<ComputeTables> | Transaction<ComputeTables>

/** The next number of a sequence: 1, 2, 3, ... Its row is locked until the transaction ends. */
export async function nextNumber(trx: Transaction<ComputeTables>, name: string): Promise<number> {
  const moved = await trx
    .updateTable('counters')
    .set((eb) => ({ value: eb('value', '+', 1) }))
    .where('name', '=', name)
    .executeTakeFirst()
  if (moved.numUpdatedRows === 0n) {
    await trx.insertInto('counters').values({ name, value: 1 }).execute()
    return 1
  }
  return Number((await trx.selectFrom('counters').select('value').where('name', '=', name).executeTakeFirstOrThrow()).value)
}
