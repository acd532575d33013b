import { randomUUID } from 'node:crypto'
import { insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import { networkHost } from './agents.ts'
import type { Work } from './context.ts'
import { allocationRows, chooseAddresses } from './ipam.ts'
import { removePortRow } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'

/** The network's own port for its address service: with an address in each subnet that has DHCP, gone when none has. Behind the network's lock. */
export async function ensureDhcpPort(work: Work, networkId: string): Promise<void> {
  const { trx } = work
  const subnets = (await rowsWhere(trx, 'subnets', 'network_id', [networkId])).filter((subnet) => subnet.enable_dhcp === 1)
  const all = await rowsWhere(trx, 'ports', 'network_id', [networkId])
  const port = all.find((one) => one.device_owner === 'network:dhcp')
  if (subnets.length === 0) {
    if (port) await removePortRow(work, port)
    return
  }
  const held = port ? await rowsWhere(trx, 'allocations', 'port_id', [port.id]) : []
  const stale = held.filter((ip) => !subnets.some((subnet) => subnet.id === ip.subnet_id))
  const fresh = subnets.filter((subnet) => !held.some((ip) => ip.subnet_id === subnet.id))
  const macAddress = port?.mac_address ?? newMac()
  const portId = port?.id ?? randomUUID()
  for (const { subnet_id, address } of stale)
    await trx.deleteFrom('allocations').where('subnet_id', '=', subnet_id).where('address', '=', address).execute()
  if (!port) {
    const [network] = await rowsWhere(trx, 'networks', 'id', [networkId])
    await insertRow(
      trx,
      'ports',
      newPortRow({
        id: portId,
        projectId: network!.project_id,
        networkId,
        macAddress,
        deviceId: `dhcp-${networkId}`,
        deviceOwner: 'network:dhcp',
        host: await networkHost(trx, 'DHCP agent'),
      }),
    )
  } else if (stale.length + fresh.length > 0) await updateRow(trx, 'ports', port.id, {})
  const ips = await chooseAddresses(work, {
    networkId,
    subnets,
    macAddress,
    deviceOwner: 'network:dhcp',
    asked: fresh.map((subnet) => ({ subnet_id: subnet.id })),
  })
  await insertRow(trx, 'allocations', allocationRows(portId, networkId, ips))
}
