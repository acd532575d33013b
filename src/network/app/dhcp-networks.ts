import { rowsWhere } from '../db/rows.ts'
import type { DhcpNetwork, DhcpPort, SubnetDetails } from '../rpc.ts'
import type { NetworkContext } from './context.ts'
import { segmentOf } from './device-details.ts'
import { type DhcpOption, dressPorts, hostnameOf, type Port } from './port.ts'
import type { Subnet } from './subnets.ts'

/** Ports of the outside: nobody asks for their addresses by DHCP. */
const SILENT = ['network:floatingip', 'network:router_gateway']

const subnetDetails = (subnet: Subnet): SubnetDetails => ({
  id: subnet.id,
  cidr: subnet.cidr,
  ipVersion: subnet.ip_version,
  gateway: subnet.gateway_ip,
  dnsNameservers: JSON.parse(subnet.dns_nameservers),
  hostRoutes: JSON.parse(subnet.host_routes),
  enableDhcp: subnet.enable_dhcp === 1,
})

const isServed = (port: Port) => port.fixedIps.length > 0 && !SILENT.includes(port.device_owner)

const dhcpPort = (port: Port): DhcpPort => ({
  id: port.id,
  createdAt: port.created_at,
  macAddress: port.mac_address,
  hostname: hostnameOf(port, port.fixedIps[0]!.address),
  fixedIps: port.fixedIps,
  extraDhcpOptions: (JSON.parse(port.extra_dhcp_opts) as DhcpOption[]).map(({ opt_name, opt_value, ip_version }) => ({
    name: opt_name,
    value: opt_value ?? '',
    ipVersion: ip_version ?? 4,
  })),
  deviceId: port.device_id,
  deviceOwner: port.device_owner,
})

const olderFirst = (a: Port, b: Port) => (a.created_at < b.created_at || (a.created_at === b.created_at && a.id < b.id) ? -1 : 1)

/** The networks whose addresses this host serves, as it serves them. */
export async function dhcpNetworks({ database: { db }, dnsDomain }: NetworkContext, host: string): Promise<DhcpNetwork[]> {
  const own = (await rowsWhere(db, 'ports', 'host', [host])).filter((port) => port.device_owner === 'network:dhcp')
  const servers = await dressPorts(db, own)
  const ids = servers.map((port) => port.network_id)
  const networks = (await rowsWhere(db, 'networks', 'id', ids)).filter((network) => network.admin_state_up === 1)
  const subnets = Map.groupBy(await rowsWhere(db, 'subnets', 'network_id', ids), (subnet) => subnet.network_id)
  const ports = Map.groupBy(await dressPorts(db, await rowsWhere(db, 'ports', 'network_id', ids)), (port) => port.network_id)
  return networks.map((network): DhcpNetwork => {
    const all = (ports.get(network.id) ?? []).sort(olderFirst)
    const server = servers.find((port) => port.network_id === network.id)
    return {
      segment: segmentOf(network),
      projectId: network.project_id,
      subnets: (subnets.get(network.id) ?? []).map(subnetDetails),
      dhcpPort: server ? { id: server.id, macAddress: server.mac_address, fixedIps: server.fixedIps } : null,
      ports: all.filter(isServed).map(dhcpPort),
      dnsDomain: network.dns_domain.replace(/\.$/, '') || dnsDomain,
      isolated: !all.some((port) => port.device_owner === 'network:router_interface'),
    }
  })
}

/** Of these ports of a network those that its address service knows. */
export async function dhcpPorts({ database: { db } }: NetworkContext, networkId: string, portIds: string[]): Promise<DhcpPort[]> {
  const ports = await dressPorts(db, await rowsWhere(db, 'ports', 'id', portIds))
  return ports
    .filter((port) => port.network_id === networkId && isServed(port))
    .sort(olderFirst)
    .map(dhcpPort)
}
