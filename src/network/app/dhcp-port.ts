import { randomUUID } from 'node:crypto'
import type { Handle } from '../db/handle.ts'
import { insertRow, rowsWhere, updateRows } from '../db/rows.ts'
import type { PortRow, SubnetRow } from '../db/tables.ts'
import type { Work } from './context.ts'
import { allocationRows, chooseAllAddresses } from './ipam.ts'
import { removePortRows } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'
import { hostsForDhcp } from './serving-hosts.ts'

/** The networks' own ports for their address service, one on each host that serves it: with an address in each subnet that has DHCP, gone when none has. Behind the networks' locks. */
export async function ensureDhcpPorts(work: Work, networkIds: string[]): Promise<void> {
  const { trx, context } = work
  const subnets = await servedSubnets(trx, networkIds)
  const all = (await rowsWhere(trx, 'ports', 'network_id', networkIds)).filter((one) => one.device_owner === 'network:dhcp')
  const ports = Map.groupBy(all, (port) => port.network_id)
  await removePortRows(
    work,
    all.filter((port) => !subnets.has(port.network_id)),
  )
  const unserved = networkIds.filter((id) => subnets.has(id) && !ports.has(id))
  const hosts = unserved.length > 0 ? await hostsForDhcp(trx, context, unserved.length) : []
  await addDhcpPorts(
    work,
    unserved.flatMap((networkId, i) => hosts[i]!.map((host) => ({ networkId, host }))),
  )
  await readdress(
    work,
    all.filter((port) => subnets.has(port.network_id)),
    subnets,
  )
}

export const hasDhcp = async (db: Handle, networkId: string): Promise<boolean> => (await servedSubnets(db, [networkId])).has(networkId)

type Served = Map<string, SubnetRow[]>

/** By network; one in which no addresses are served is absent. */
const servedSubnets = async (db: Handle, networkIds: string[]): Promise<Served> =>
  Map.groupBy(
    (await rowsWhere(db, 'subnets', 'network_id', networkIds)).filter((subnet) => subnet.enable_dhcp === 1),
    (subnet) => subnet.network_id,
  )

/** One more host serves each network's addresses. Behind the networks' locks. */
export async function addDhcpPorts(work: Work, wanted: { networkId: string; host: string }[]): Promise<void> {
  if (wanted.length === 0) return
  const { trx } = work
  const ids = wanted.map((one) => one.networkId)
  const projects = new Map((await rowsWhere(trx, 'networks', 'id', ids)).map((network) => [network.id, network.project_id]))
  const ports = wanted.map(({ networkId, host }) =>
    newPortRow({
      id: randomUUID(),
      projectId: projects.get(networkId)!,
      networkId,
      macAddress: newMac(),
      deviceId: `dhcp-${networkId}`,
      deviceOwner: 'network:dhcp',
      host,
    }),
  )
  await insertRow(trx, 'ports', ports)
  const subnets = await servedSubnets(trx, ids)
  await address(
    work,
    ports.map((port) => ({ port, subnets: subnets.get(port.network_id) ?? [] })),
  )
}

/** Ports have addresses in the subnets that are served, and in no others. */
async function readdress(work: Work, ports: PortRow[], served: Served): Promise<void> {
  const { trx } = work
  const ids = ports.map((port) => port.id)
  const held = await rowsWhere(trx, 'allocations', 'port_id', ids)
  const isServed = new Set([...served.values()].flat().map((subnet) => subnet.id))
  const stale = held.filter((ip) => !isServed.has(ip.subnet_id))
  const lacking = ports.map((port) => ({
    port,
    subnets: served.get(port.network_id)!.filter((subnet) => !held.some((ip) => ip.port_id === port.id && ip.subnet_id === subnet.id)),
  }))
  if (stale.length > 0)
    await trx
      .deleteFrom('allocations')
      .where('port_id', 'in', ids)
      .where('subnet_id', 'in', [...new Set(stale.map((ip) => ip.subnet_id))])
      .execute()
  const changed = new Set(stale.map((ip) => ip.port_id))
  for (const { port, subnets } of lacking) if (subnets.length > 0) changed.add(port.id)
  await updateRows(trx, 'ports', [...changed], {})
  await address(work, lacking)
}

async function address(work: Work, wanted: { port: PortRow; subnets: SubnetRow[] }[]): Promise<void> {
  const wishes = wanted.map(({ port, subnets }) => ({
    networkId: port.network_id,
    subnets,
    macAddress: port.mac_address,
    deviceOwner: 'network:dhcp',
    asked: subnets.map((subnet) => ({ subnet_id: subnet.id })),
  }))
  const ips = await chooseAllAddresses(work, wishes)
  const rows = wanted.flatMap(({ port }, i) => allocationRows(port.id, port.network_id, ips[i]!))
  await insertRow(work.trx, 'allocations', rows)
}
