import ipaddr from 'ipaddr.js'
import type { Vif } from '../../compute/rpc.ts'

/** openstack/latest/network_data.json: links, networks and name servers as cloud-init reads them. */
export function networkData(vifs: Vif[]) {
  const links = vifs.map((vif) => ({
    id: vif.deviceName,
    vif_id: vif.portId,
    type: vif.details.ovsHybridPlug ? 'bridge' : 'ovs',
    mtu: vif.network.mtu,
    ethernet_mac_address: vif.macAddress,
  }))
  const networks = vifs.flatMap((vif) =>
    vif.subnets.flatMap((subnet) =>
      subnet.addresses.map((address) => {
        const six = subnet.ipVersion === 6
        const base = { link: vif.deviceName, network_id: vif.network.id }
        if (subnet.dhcp) return { ...base, type: six ? 'ipv6_dhcp' : 'ipv4_dhcp' }
        const gateway = subnet.gateway
          ? [{ network: six ? '::' : '0.0.0.0', netmask: six ? '::' : '0.0.0.0', gateway: subnet.gateway }]
          : []
        return {
          ...base,
          type: six ? 'ipv6' : 'ipv4',
          ip_address: address,
          netmask: maskOf(subnet.cidr),
          routes: [
            ...gateway,
            ...subnet.routes.map(({ destination, nexthop }) => ({
              network: destination.split('/')[0]!,
              netmask: maskOf(destination),
              gateway: nexthop,
            })),
          ],
          services: subnet.dns.map((server) => ({ type: 'dns', address: server })),
        }
      }),
    ),
  )
  const servers = new Set(vifs.flatMap((vif) => vif.subnets.flatMap((subnet) => subnet.dns)))
  return {
    links,
    networks: networks.map((network, index) => ({ id: `network${index}`, ...network })),
    services: [...servers].map((address) => ({ type: 'dns', address })),
  }
}

function maskOf(cidr: string): string {
  const [address, prefix] = cidr.split('/')
  const bits = Number(prefix)
  return address!.includes(':')
    ? ipaddr.IPv6.subnetMaskFromPrefixLength(bits).toString()
    : ipaddr.IPv4.subnetMaskFromPrefixLength(bits).toString()
}
