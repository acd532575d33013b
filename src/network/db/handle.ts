import type { Kysely, Transaction } from 'kysely'
import type { NetworkTables } from './tables.ts'

export type Trx = Transaction<NetworkTables>
export type Handle = Kysely<NetworkTables> | Trx

/**
 * Makes transactions that take the same lock follow one another. To be called first in a transaction: what is read afterwards is what the one before left.
 * Works by writing a row, so also between the nodes of a Galera cluster, where the later one is told to try again.
 */
export async function lock(trx: Trx, names: string[]): Promise<void> {
  for (const name of [...new Set(names)].sort()) {
    const taken = await trx
      .updateTable('locks')
      .set((eb) => ({ generation: eb('generation', '+', 1) }))
      .where('name', '=', name)
      .executeTakeFirst()
    if (taken.numUpdatedRows === 0n) await trx.insertInto('locks').values({ name, generation: 1 }).execute()
  }
}
