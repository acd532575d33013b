import { rowsWhere } from '../db/rows.ts'
import type { NetworkRow, SubnetRow } from '../db/tables.ts'
import type { ExternalNetwork, RouterDetails, RouterPort } from '../rpc.ts'
import { prefixOf } from './addresses.ts'
import type { NetworkContext } from './context.ts'
import { segmentOf } from './device-details.ts'
import { dressPorts, type Port } from './port.ts'

/** The routers of this host with their ports, and the provider network in which the machine itself is the gateway. */
export async function routerDetails(
  { database: { db }, external }: NetworkContext,
  host: string,
): Promise<{ routers: RouterDetails[]; external: ExternalNetwork[] }> {
  const routers = await db.selectFrom('routers').selectAll().where('host', '=', host).orderBy('created_at').orderBy('id').execute()
  const routerIds = routers.map((router) => router.id)
  const stands = (await rowsWhere(db, 'ports', 'device_id', routerIds)).filter((port) => port.device_owner.startsWith('network:router_'))
  const ports = await dressPorts(db, stands)
  const outside = await db.selectFrom('networks').selectAll().where('external', '=', 1).execute()
  const ids = [...ports.map((port) => port.network_id), ...outside.map((network) => network.id)]
  const networks = new Map((await rowsWhere(db, 'networks', 'id', ids)).map((network) => [network.id, network]))
  const subnets = new Map((await rowsWhere(db, 'subnets', 'network_id', ids)).map((subnet) => [subnet.id, subnet]))
  const floating = Map.groupBy(await rowsWhere(db, 'floatingips', 'router_id', routerIds), (one) => one.router_id)
  const byRouter = Map.groupBy(
    ports.sort((a, b) => a.created_at.localeCompare(b.created_at) || a.id.localeCompare(b.id)),
    (port) => port.device_id,
  )
  return {
    routers: routers.map((router): RouterDetails => {
      const own = byRouter.get(router.id) ?? []
      const of = (owner: string) => own.filter((port) => port.device_owner === owner).map((port) => routerPort(port, networks, subnets))
      return {
        id: router.id,
        name: router.name,
        projectId: router.project_id,
        adminUp: router.admin_state_up === 1,
        enableSnat: router.enable_snat === 1,
        gateway: of('network:router_gateway')[0] ?? null,
        interfaces: of('network:router_interface'),
        floatingIps: (floating.get(router.id) ?? [])
          .sort((a, b) => a.id.localeCompare(b.id))
          .map((one) => ({
            id: one.id,
            floatingAddress: one.floating_ip_address,
            fixedAddress: one.fixed_ip_address!,
            portId: one.port_id!,
          })),
        routes: JSON.parse(router.routes),
        awaited: (floating.get(router.id) ?? []).some((one) => one.status !== 'ACTIVE'),
      }
    }),
    external: outside.flatMap((network) => hostAddress(network, [...subnets.values()], external)),
  }
}

const routerPort = (port: Port, networks: Map<string, NetworkRow>, subnets: Map<string, SubnetRow>): RouterPort => ({
  id: port.id,
  macAddress: port.mac_address,
  segment: segmentOf(networks.get(port.network_id)!),
  addresses: port.fixedIps.flatMap(({ address, subnetId }) => {
    const subnet = subnets.get(subnetId)
    if (!subnet) return []
    const advertised = address === subnet.gateway_ip ? advertisedOf(subnet) : null
    return [{ address, prefixLength: prefixOf(subnet.cidr).length, gateway: subnet.gateway_ip, subnetId, advertised }]
  }),
})

function advertisedOf({ ipv6_ra_mode, dns_nameservers }: SubnetRow): RouterPort['addresses'][number]['advertised'] {
  if (!ipv6_ra_mode) return null
  const dns = (JSON.parse(dns_nameservers) as string[]).filter((server) => server.includes(':'))
  return { mode: ipv6_ra_mode as 'slaac' | 'dhcpv6-stateless' | 'dhcpv6-stateful', dns }
}

/** Only where the settings make this machine the gateway: elsewhere that address is somebody else's. */
function hostAddress(network: NetworkRow, subnets: SubnetRow[], { cidr, gateway }: NetworkContext['external']): ExternalNetwork[] {
  const prefix = prefixOf(cidr)
  return subnets
    .filter((subnet) => subnet.network_id === network.id && subnet.cidr === prefix.text && subnet.gateway_ip === gateway)
    .map(() => ({ segment: segmentOf(network), gatewayCidr: `${gateway}/${prefix.length}` }))
}
