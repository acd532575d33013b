import type { Handle } from '../db/handle.ts'
import { rowsWhere } from '../db/rows.ts'
import type { NetworkRow, SecurityRuleRow } from '../db/tables.ts'
import type { DeviceDetails, SecurityRule, Segment } from '../rpc.ts'
import type { NetworkContext } from './context.ts'
import { type AddressPair, dressPorts, type Port } from './port.ts'

export const segmentOf = (network: NetworkRow): Segment => ({
  networkId: network.id,
  networkType: network.network_type,
  physicalNetwork: network.physical_network,
  segmentationId: network.segmentation_id,
  mtu: network.mtu,
})

/** What the switches must know of these ports; ports that are not there are left out. */
export async function deviceDetails({ database: { db } }: NetworkContext, portIds: string[]): Promise<DeviceDetails[]> {
  const ports = await dressPorts(db, await rowsWhere(db, 'ports', 'id', portIds))
  const networkIds = ports.map((port) => port.network_id)
  const networks = new Map((await rowsWhere(db, 'networks', 'id', networkIds)).map((network) => [network.id, network]))
  const servers = Map.groupBy(await dhcpAddresses(db, networkIds), (one) => one.network_id)
  const rules = await rulesOf(db, ports)
  return ports.flatMap((port): DeviceDetails[] => {
    const network = networks.get(port.network_id)
    if (!network) return []
    return [
      {
        portId: port.id,
        segment: segmentOf(network),
        macAddress: port.mac_address,
        fixedIps: port.fixedIps,
        allowedAddressPairs: pairsOf(port).map(({ ip_address, mac_address }) => ({
          address: ip_address,
          macAddress: mac_address ?? port.mac_address,
        })),
        adminUp: port.admin_state_up === 1 && network.admin_state_up === 1,
        portSecurity: port.port_security === 1,
        securityGroups: port.securityGroups,
        rules: port.securityGroups.flatMap((group) => rules.get(group) ?? []),
        dhcpServers: (servers.get(network.id) ?? []).map((one) => one.address),
        deviceOwner: port.device_owner,
        deviceId: port.device_id,
        bandwidth: { egressKbps: null, ingressKbps: null },
      },
    ]
  })
}

const pairsOf = (port: { allowed_address_pairs: string }): AddressPair[] => JSON.parse(port.allowed_address_pairs)

async function dhcpAddresses(db: Handle, networkIds: string[]): Promise<{ network_id: string; address: string }[]> {
  if (networkIds.length === 0) return []
  return await db
    .selectFrom('ports as p')
    .innerJoin('allocations as a', 'a.port_id', 'p.id')
    .select(['p.network_id', 'a.address'])
    .where('p.network_id', 'in', [...new Set(networkIds)])
    .where('p.device_owner', '=', 'network:dhcp')
    .execute()
}

/** Rules by group; one that names a group stands there once for each address that group's ports have. */
async function rulesOf(db: Handle, ports: Port[]): Promise<Map<string, SecurityRule[]>> {
  const rows = await rowsWhere(
    db,
    'security_group_rules',
    'security_group_id',
    ports.flatMap((port) => port.securityGroups),
  )
  const members = await addressesOf(
    db,
    rows.flatMap((row) => row.remote_group_id ?? []),
  )
  const rules = new Map<string, SecurityRule[]>()
  for (const row of rows.sort((a, b) => a.fingerprint.localeCompare(b.fingerprint)))
    rules.set(row.security_group_id, [...(rules.get(row.security_group_id) ?? []), ...expand(row, members)])
  return rules
}

function expand(row: SecurityRuleRow, members: Map<string, string[]>): SecurityRule[] {
  const rule = (remotePrefix: string | null): SecurityRule => ({
    direction: row.direction,
    etherType: row.ethertype,
    protocol: row.protocol,
    portMin: row.port_range_min,
    portMax: row.port_range_max,
    remotePrefix,
  })
  if (!row.remote_group_id) return [rule(row.remote_ip_prefix)]
  const family = row.ethertype === 'IPv6'
  return (members.get(row.remote_group_id) ?? []).filter((prefix) => prefix.includes(':') === family).map(rule)
}

async function addressesOf(db: Handle, groupIds: string[]): Promise<Map<string, string[]>> {
  const links = await rowsWhere(db, 'port_security_groups', 'security_group_id', groupIds)
  const ids = links.map((link) => link.port_id)
  const ips = Map.groupBy(await rowsWhere(db, 'allocations', 'port_id', ids), (ip) => ip.port_id)
  const pairs = new Map((await rowsWhere(db, 'ports', 'id', ids)).map((port) => [port.id, pairsOf(port).map((pair) => pair.ip_address)]))
  const found = new Map<string, Set<string>>()
  for (const { security_group_id, port_id } of links) {
    const own = found.get(security_group_id) ?? new Set()
    for (const address of [...(ips.get(port_id) ?? []).map((ip) => ip.address), ...(pairs.get(port_id) ?? [])])
      own.add(address.includes('/') ? address : `${address}/${address.includes(':') ? 128 : 32}`)
    found.set(security_group_id, own)
  }
  return new Map([...found].map(([group, all]) => [group, [...all].sort()]))
}
