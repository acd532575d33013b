import type { Kysely } from 'kysely'
import { preparedFor } from '../../kernel/db/prepared.ts'
import type { Handle } from '../db/handle.ts'
import { rowsWhere } from '../db/rows.ts'
import type { NetworkRow, NetworkTables, SecurityRuleRow } from '../db/tables.ts'
import type { DeviceDetails, SecurityRule, Segment } from '../rpc.ts'
import type { NetworkContext } from './context.ts'
import { pairsOf } from './group-addresses.ts'
import { dressPorts, type Port } from './port.ts'

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
        host: port.host,
      },
    ]
  })
}

async function dhcpAddresses(db: Handle, networkIds: string[]): Promise<{ network_id: string; address: string }[]> {
  return await dhcpAddressesOn(db, [...new Set(networkIds)])
}

const dhcpAddressesOn = preparedFor<{ network_id: string; address: string }>((db: Kysely<NetworkTables>, networkIds) =>
  db
    .selectFrom('ports as p')
    .innerJoin('allocations as a', 'a.port_id', 'p.id')
    .select(['p.network_id', 'a.address'])
    .where('p.network_id', 'in', networkIds)
    .where('p.device_owner', '=', 'network:dhcp'),
)

async function rulesOf(db: Handle, ports: Port[]): Promise<Map<string, SecurityRule[]>> {
  const groupIds = ports.flatMap((port) => port.securityGroups)
  const rows = await rowsWhere(db, 'security_group_rules', 'security_group_id', groupIds)
  const ordered = rows.sort((a, b) => a.fingerprint.localeCompare(b.fingerprint))
  const byGroup = Map.groupBy(ordered, (row) => row.security_group_id)
  return new Map([...byGroup].map(([group, all]) => [group, all.map(ruleOf)]))
}

const ruleOf = (row: SecurityRuleRow): SecurityRule => ({
  direction: row.direction,
  etherType: row.ethertype,
  protocol: row.protocol,
  portMin: row.port_range_min,
  portMax: row.port_range_max,
  remotePrefix: row.remote_ip_prefix,
  remoteGroupId: row.remote_group_id,
})
