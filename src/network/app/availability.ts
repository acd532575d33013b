import { rowsWhere } from '../db/rows.ts'
import type { NetworkContext } from './context.ts'
import { poolsOf } from './ipam.ts'

/** Addresses that there are and that are used, of all networks or one. */
export async function availabilities({ database: { db } }: NetworkContext, networkId?: string) {
  const networks =
    networkId === undefined ? await db.selectFrom('networks').selectAll().execute() : await rowsWhere(db, 'networks', 'id', [networkId])
  const ids = networks.map((network) => network.id)
  const subnets = Map.groupBy(await rowsWhere(db, 'subnets', 'network_id', ids), (subnet) => subnet.network_id)
  const counted = await db
    .selectFrom('allocations')
    .select((eb) => ['subnet_id', eb.fn.countAll().as('n')])
    .groupBy('subnet_id')
    .execute()
  const used = new Map(counted.map((row) => [row.subnet_id, Number(row.n)]))
  return networks.map((network) => {
    const own = (subnets.get(network.id) ?? []).map((subnet) => ({
      subnet_id: subnet.id,
      subnet_name: subnet.name,
      cidr: subnet.cidr,
      ip_version: subnet.ip_version,
      total_ips: Number(poolsOf(subnet).reduce((sum, pool) => sum + pool.last - pool.first + 1n, 0n)),
      used_ips: used.get(subnet.id) ?? 0,
    }))
    const sum = (of: 'total_ips' | 'used_ips') => own.reduce((all, subnet) => all + subnet[of], 0)
    return {
      network_id: network.id,
      network_name: network.name,
      project_id: network.project_id,
      tenant_id: network.project_id,
      total_ips: sum('total_ips'),
      used_ips: sum('used_ips'),
      subnet_ip_availability: own,
    }
  })
}
