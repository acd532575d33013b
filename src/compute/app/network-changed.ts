import { toJson } from '../../kernel/db/columns.ts'
import { findInstance, updateInstance } from '../db/instances.ts'
import type { ComputeContext } from './context.ts'
import { asAskedFor } from './instance-spec.ts'

/** Addresses of a server changed (a floating IP, a port that went): what is kept of them is read again. While it is built or deleted its saga does that. */
export async function networkChanged(context: ComputeContext, serverId: string): Promise<void> {
  const row = await findInstance(context.database.db, serverId)
  if (!row || row.deleted || row.vm_state === 'building' || row.task_state === 'deleting') return
  const vifs = asAskedFor(row, await context.networks.vifs(serverId))
  if (toJson(vifs) !== row.network_info_json) await updateInstance(context.database.db, serverId, { network_info_json: toJson(vifs) })
}

/** Which of these servers there are. */
export async function knownServers(context: ComputeContext, ids: string[]): Promise<Set<string>> {
  const rows = await context.database.db.selectFrom('instances').select('id').where('deleted', '=', 0).where('id', 'in', ids).execute()
  return new Set(rows.map((row) => row.id))
}
