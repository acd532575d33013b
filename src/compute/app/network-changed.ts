import { toJson } from '../../kernel/db/columns.ts'
import { findInstance, findInstances, keepNetworkInfo } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import type { ComputeContext } from './context.ts'
import { asAskedFor } from './instance-spec.ts'

/** Addresses of a server changed (a floating IP, a port that went): what is kept of them is read again. While it is built or deleted its saga does that. */
export async function networkChanged(context: ComputeContext, serverId: string): Promise<void> {
  const row = await findInstance(context.database.db, serverId)
  if (row) await networksChanged(context, [row])
}

/** The same of many servers. */
export async function networksChanged(context: ComputeContext, rows: InstanceRow[]): Promise<void> {
  const lasting = rows.filter((row) => !row.deleted && row.vm_state !== 'building' && row.task_state !== 'deleting')
  if (lasting.length === 0) return
  const vifs = await context.networks.vifsOf(lasting.map((row) => row.id))
  const changed = lasting.flatMap((row) => {
    const after = toJson(asAskedFor(row, vifs.get(row.id)!))
    return after === row.network_info_json ? [] : [[row.id, after] as const]
  })
  await keepNetworkInfo(context.database.db, new Map(changed))
}

/** Those of these servers that there are. */
export async function knownServers(context: ComputeContext, ids: string[]): Promise<Map<string, InstanceRow>> {
  const rows = await findInstances(context.database.db, ids)
  return new Map(rows.filter((row) => !row.deleted).map((row) => [row.id, row]))
}
