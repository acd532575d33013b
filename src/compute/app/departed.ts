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
  const rows = await context.database.db
    .selectFrom('instances')
    .selectAll()
    .where('id', 'in', uuids)
    .where((eb) =>
      eb.or([
        eb('host', '!=', host),
        eb.and([eb('host', 'is not', null), eb('deleted', '!=', 0)]),
        eb('vm_state', '=', 'shelved_offloaded'),
      ]),
    )
    .where((eb) => eb.or([eb('task_state', 'is', null), eb('deleted', '!=', 0)]))
    .where('id', 'not in', (eb) =>
      eb
        .selectFrom('migrations')
        .select('server_id')
        .where((either) => either.or([either('source_host', '=', host), either('dest_host', '=', host)]))
        .where('status', 'not in', OVER),
    )
    .execute()
  return rows.map((row) => ({ uuid: row.id, vifs: vifsOf(row) }))
}
