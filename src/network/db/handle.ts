import { type Kysely, SqliteAdapter, type Transaction } from 'kysely'
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
  const sorted = [...new Set(names)].sort()
  for (let at = 0; at < sorted.length; at += AT_ONCE) {
    const rows = sorted.slice(at, at + AT_ONCE).map((name) => ({ name, generation: 1 }))
    const taken = trx.insertInto('locks').values(rows)
    const later = (eb: any) => ({ generation: eb('locks.generation', '+', 1) })
    if (trx.getExecutor().adapter instanceof SqliteAdapter)
      await taken.onConflict((conflict) => conflict.column('name').doUpdateSet(later)).execute()
    else await taken.onDuplicateKeyUpdate(later).execute()
  }
}
