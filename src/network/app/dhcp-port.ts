import { randomUUID } from 'node:crypto'
import type { Handle } from '../db/handle.ts'
import { insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { PortRow, SubnetRow } from '../db/tables.ts'
import type { Work } from './context.ts'
import { allocationRows, chooseAddresses } from './ipam.ts'
import { removePortRow } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'
import { hostsForDhcp } from './serving-hosts.ts'

/** The network's own ports for its address service, one on each host that serves it: with an address in each subnet that has DHCP, gone when none has. Behind the network's lock. */
export async function ensureDhcpPorts(work: Work, networkId: string): Promise<void> {
  const { trx, context } = work
  const subnets = await servedSubnets(trx, networkId)
  const ports = (await rowsWhere(trx, 'ports', 'network_id', [networkId])).filter((one) => one.device_owner === 'network:dhcp')
  if (subnets.length === 0) for (const port of ports) await removePortRow(work, port)
  else if (ports.length === 0) for (const host of await hostsForDhcp(trx, context)) await addDhcpPort(work, networkId, host)
  else for (const port of ports) await readdress(work, port, subnets)
}

export const hasDhcp = async (db: Handle, networkId: string): Promise<boolean> => (await servedSubnets(db, networkId)).length > 0

const servedSubnets = async (db: Handle, networkId: string): Promise<SubnetRow[]> =>
  (await rowsWhere(db, 'subnets', 'network_id', [networkId])).filter((subnet) => subnet.enable_dhcp === 1)

/** One more host serves the network's addresses. Behind the network's lock. */
export async function addDhcpPort(work: Work, networkId: string, host: string): Promise<void> {
  const { trx } = work
  const [network] = await rowsWhere(trx, 'networks', 'id', [networkId])
  const port = newPortRow({
    id: randomUUID(),
    projectId: network!.project_id,
    networkId,
    macAddress: newMac(),
    deviceId: `dhcp-${networkId}`,
    deviceOwner: 'network:dhcp',
    host,
  })
  await insertRow(trx, 'ports', port)
  await address(work, port, await servedSubnets(trx, networkId))
}

async function readdress(work: Work, port: PortRow, subnets: SubnetRow[]): Promise<void> {
  const { trx } = work
  const held = await rowsWhere(trx, 'allocations', 'port_id', [port.id])
  const stale = held.filter((ip) => !subnets.some((subnet) => subnet.id === ip.subnet_id))
  const fresh = subnets.filter((subnet) => !held.some((ip) => ip.subnet_id === subnet.id))
  for (const { subnet_id, address } of stale)
    await trx.deleteFrom('allocations').where('subnet_id', '=', subnet_id).where('address', '=', address).execute()
  if (stale.length + fresh.length > 0) await updateRow(trx, 'ports', port.id, {})
  await address(work, port, fresh)
}

async function address(work: Work, port: PortRow, subnets: SubnetRow[]): Promise<void> {
  const ips = await chooseAddresses(work, {
    networkId: port.network_id,
    subnets,
    macAddress: port.mac_address,
    deviceOwner: 'network:dhcp',
    asked: subnets.map((subnet) => ({ subnet_id: subnet.id })),
  })
  await insertRow(work.trx, 'allocations', allocationRows(port.id, port.network_id, ips))
}
