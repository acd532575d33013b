import type { Kysely } from 'kysely'
import { preparedFor } from '../../kernel/db/prepared.ts'
import { atRest } from '../db/instances.ts'
import type { ComputeTables, InstanceRow } from '../db/tables.ts'
import { OVER, type Vif } from '../rpc.ts'
import type { ComputeContext } from './context.ts'
import { vifsOf } from './instance-spec.ts'

export interface Departed {
  uuid: string
  vifs: Vif[]
}

/**
 * Of the servers that a host holds, those that live elsewhere now, or not at all: it was taken for dead and they were evacuated or deleted, or it was not there when their
 * migration was confirmed.
 * A server that is shelved is on no host at all.
 * What is under way is left alone, and what a server may still come back to or is on its way to, whatever an operator says of its state meanwhile.
 */
export async function departedFrom(context: ComputeContext, host: string, uuids: string[]): Promise<Departed[]> {
  if (uuids.length === 0) return []
  const departed: Departed[] = []
  for (let at = 0; at < uuids.length; at += AT_ONCE)
    for (const row of await elsewhere(context.database.db, [host, ...uuids.slice(at, at + AT_ONCE)]))
      departed.push({ uuid: row.id, vifs: vifsOf(row) })
  return departed
}

/** Servers that one statement asks for: a host has few. */
const AT_ONCE = 50

const elsewhere = preparedFor<InstanceRow>((db: Kysely<ComputeTables>, [host, ...uuids]) =>
  db
    .selectFrom('instances')
    .selectAll()
    .where('id', 'in', uuids)
    .where((eb) => eb.or([eb('host', '!=', host!), eb('deleted', '!=', 0), eb('vm_state', '=', 'shelved_offloaded')]))
    .where((eb) => eb.or([atRest(eb), eb('deleted', '!=', 0)]))
    .where('id', 'not in', (eb) =>
      eb
        .selectFrom('migrations')
        .select('server_id')
        .where((either) => either.or([either('source_host', '=', host!), either('dest_host', '=', host!)]))
        .where('status', 'not in', OVER),
    ),
)
