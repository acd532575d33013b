import { type Kysely, SqliteAdapter, type Transaction } from 'kysely'
import { preparedFor } from '../../kernel/db/prepared.ts'
import type { NetworkTables } from './tables.ts'

export type Trx = Transaction<NetworkTables>
export type Handle = Kysely<NetworkTables> | Trx

/** Rows, or values to look for, that go into one statement: databases have a limit. */
export const AT_ONCE = 1000

/**
 * Makes transactions that take the same lock follow one another. To be called first in a transaction: what is read afterwards is what the one before left.
 * Works by writing a row, so also between the nodes of a Galera cluster, where the later one is told to try again.
 */
export async function lock(trx: Trx, names: string[]): Promise<void> {
  await take(trx, [...new Set(names)].sort())
}

const take = preparedFor<never>((trx: Kysely<NetworkTables>, names) => {
  const taken = trx.insertInto('locks').values(names.map((name) => ({ name, generation: 1 })))
  const later = (eb: any) => ({ generation: eb('locks.generation', '+', 1) })
  return trx.getExecutor().adapter instanceof SqliteAdapter
    ? taken.onConflict((conflict) => conflict.column('name').doUpdateSet(later))
    : taken.onDuplicateKeyUpdate(later)
})
