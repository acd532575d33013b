import { contains, overlaps, prefixOf } from './app/addresses.ts'
import type { Handle } from './db/handle.ts'
import type { NetworkTables, PortRow } from './db/tables.ts'

/** All rows of what users make, as they are at rest. */
type Whole = { [T in (typeof TABLES)[number]]: NetworkTables[T][] }

const TABLES = [
  'networks',
  'segments',
  'subnets',
  'subnetpools',
  'ports',
  'allocations',
  'port_security_groups',
  'routers',
  'floatingips',
  'security_groups',
  'security_group_rules',
  'auto_allocated_topologies',
  'quotas',
  'notices',
] as const

async function wholeOf(db: Handle): Promise<Whole> {
  const whole: Record<string, unknown[]> = {}
  for (const table of TABLES) whole[table] = await (db as any).selectFrom(table).selectAll().execute()
  return whole as Whole
}

/** What does not fit together, in words; nothing while no request is under way. `claims`: ports that users called those of a router or floating address which was not there. */
export async function contradictions(db: Handle, claims = new Set<string>()): Promise<string[]> {
  const all = await wholeOf(db)
  const whole = { ...all, ports: all.ports.map((port) => (claims.has(port.id) ? unclaimed(all, port) : port)) }
  return [topology, addressing, firewall, routing, floating].flatMap((look) => look(whole))
}

/** What is there at all. */
export async function leftovers(db: Handle): Promise<string[]> {
  return Object.entries(await wholeOf(db)).flatMap(([table, rows]) => rows.map((row) => `${table}: ${JSON.stringify(row)}`))
}

/** As nobody's, unless it has become what it was said to be. */
function unclaimed({ routers, floatingips }: Whole, port: PortRow): PortRow {
  const holders = port.device_owner === 'network:floatingip' ? floatingips : routers
  return holders.some((one) => one.id === port.device_id) ? port : { ...port, device_owner: '', dhcp_ready: 1, wired: 0, status: 'N/A' }
}

const byId = <T extends { id: string }>(rows: T[]) => new Map(rows.map((row) => [row.id, row]))
const pairs = <T>(rows: T[]): [T, T][] => rows.flatMap((one, i) => rows.slice(i + 1).map((two): [T, T] => [one, two]))

function topology({ networks, segments, subnets, subnetpools, auto_allocated_topologies: given, routers }: Whole): string[] {
  const found: string[] = []
  const [ofNetwork, ofPool] = [byId(networks), byId(subnetpools)]
  for (const { network_id, segmentation_id } of segments)
    if (!ofNetwork.has(network_id)) found.push(`segment ${segmentation_id} is of network ${network_id}, which is gone`)
  for (const { id, network_type } of networks) {
    const own = segments.filter((one) => one.network_id === id).length
    if (own !== (network_type === 'local' ? 0 : 1)) found.push(`network ${id} has ${own} segments`)
  }
  const defaults = networks.filter((one) => one.is_default === 1)
  if (defaults.length > 1) found.push(`${defaults.length} networks are the default`)
  for (const { id, external } of defaults) if (external === 0) found.push(`network ${id} is the default and not external`)
  for (const version of [4, 6])
    if (subnetpools.filter((one) => one.is_default === 1 && one.ip_version === version).length > 1)
      found.push(`several pools of IPv${version} are the default`)
  for (const { id, network_id, subnetpool_id, cidr } of subnets) {
    if (!ofNetwork.has(network_id)) found.push(`subnet ${id} is of network ${network_id}, which is gone`)
    if (subnetpool_id === null) continue
    const pool = ofPool.get(subnetpool_id)
    const lies = (JSON.parse(pool?.prefixes ?? '[]') as string[]).some((one) => overlaps(prefixOf(one), prefixOf(cidr)))
    if (!lies) found.push(`subnet ${id} (${cidr}) is from pool ${subnetpool_id}, which ${pool ? `has ${pool.prefixes}` : 'is gone'}`)
  }
  for (const [one, two] of pairs(subnets)) {
    if (!overlaps(prefixOf(one.cidr), prefixOf(two.cidr))) continue
    if (one.network_id === two.network_id) found.push(`${one.cidr} and ${two.cidr} are both on network ${one.network_id}`)
    if (one.subnetpool_id && one.subnetpool_id === two.subnetpool_id)
      found.push(`${one.cidr} and ${two.cidr} are both from pool ${one.subnetpool_id}`)
  }
  for (const { project_id, network_id, router_id } of given)
    if (ofNetwork.has(network_id) && !byId(routers).has(router_id))
      found.push(`project ${project_id} was given router ${router_id}, which is gone`)
  return found
}

function addressing({ networks, subnets, ports, allocations }: Whole): string[] {
  const found: string[] = []
  const [ofNetwork, ofSubnet, ofPort] = [byId(networks), byId(subnets), byId(ports)]
  for (const { id, network_id } of ports)
    if (!ofNetwork.has(network_id)) found.push(`port ${id} is on network ${network_id}, which is gone`)
  for (const { address, subnet_id, port_id, network_id } of allocations) {
    const [subnet, port] = [ofSubnet.get(subnet_id), ofPort.get(port_id)]
    if (!port) found.push(`${address} is of port ${port_id}, which is gone`)
    else if (port.network_id !== network_id)
      found.push(`${address} of network ${network_id} is of port ${port_id} on network ${port.network_id}`)
    if (!subnet) found.push(`${address} is of subnet ${subnet_id}, which is gone`)
    else if (!contains(prefixOf(subnet.cidr), address)) found.push(`${address} does not lie in ${subnet.cidr}`)
    else if (subnet.network_id !== network_id) found.push(`${address} of network ${network_id} is from a subnet of ${subnet.network_id}`)
  }
  const served = new Set(subnets.filter((one) => one.enable_dhcp === 1).map((one) => one.id))
  for (const port of ports.filter((one) => one.status !== 'N/A')) {
    const own = allocations.filter((one) => one.port_id === port.id)
    const waits = port.dhcp_ready === 0 && !port.device_owner.startsWith('network:') && own.some((one) => served.has(one.subnet_id))
    const up = port.wired === 1 && port.admin_state_up === 1
    if (port.status === 'ACTIVE' && !up) found.push(`port ${port.id} is ACTIVE and not up`)
    if (port.status !== 'ACTIVE' && up && !waits) found.push(`port ${port.id} is ${port.status} and waits for nothing`)
  }
  return found
}

function firewall({ ports, port_security_groups: members, security_groups, security_group_rules: rules }: Whole): string[] {
  const found: string[] = []
  const [ofPort, ofGroup] = [byId(ports), byId(security_groups)]
  for (const { port_id, security_group_id } of members) {
    if (!ofPort.has(port_id)) found.push(`port ${port_id}, which is gone, is in group ${security_group_id}`)
    else if (ofPort.get(port_id)!.port_security === 0) found.push(`port ${port_id} is not filtered and in group ${security_group_id}`)
    if (!ofGroup.has(security_group_id)) found.push(`port ${port_id} is in group ${security_group_id}, which is gone`)
  }
  for (const { id, port_security, allowed_address_pairs } of ports)
    if (port_security === 0 && allowed_address_pairs !== '[]') found.push(`port ${id} is not filtered and lets others pass`)
  for (const { id, security_group_id, remote_group_id } of rules) {
    if (!ofGroup.has(security_group_id)) found.push(`rule ${id} is of group ${security_group_id}, which is gone`)
    if (remote_group_id && !ofGroup.has(remote_group_id)) found.push(`rule ${id} lets group ${remote_group_id} in, which is gone`)
  }
  for (const [project, own] of Map.groupBy(security_groups, (one) => one.project_id)) {
    const named = own.filter((one) => one.name === 'default')
    if (named.length > 1) found.push(`project ${project} has ${named.length} groups called default`)
    for (const { id, default_of } of named)
      if (default_of !== project) found.push(`group ${id} is called default and is not that of ${project}`)
  }
  return found
}

const INTERFACE = 'network:router_interface'
const GATEWAY = 'network:router_gateway'

function routing({ networks, subnets, ports, allocations, routers }: Whole): string[] {
  const found: string[] = []
  const [ofNetwork, ofSubnet, ofPort, ofRouter] = [byId(networks), byId(subnets), byId(ports), byId(routers)]
  for (const { id, device_id, device_owner, host } of ports) {
    if (![INTERFACE, GATEWAY].includes(device_owner) || device_id === '') continue
    const router = ofRouter.get(device_id)
    if (!router) found.push(`${device_owner} ${id} is of router ${device_id}, which is gone`)
    else if (device_owner === GATEWAY && router.gateway_port_id !== id) found.push(`router ${device_id} has another gateway than ${id}`)
    else if (router.host !== host) found.push(`router ${device_id} is on '${router.host}', its port ${id} on '${host}'`)
  }
  for (const { id, gateway_network_id, gateway_port_id } of routers) {
    const gateway = ofPort.get(gateway_port_id ?? '')
    if (gateway_port_id && !gateway) found.push(`gateway ${gateway_port_id} of router ${id} is gone`)
    if (gateway && (gateway.device_id !== id || gateway.device_owner !== GATEWAY))
      found.push(`gateway ${gateway.id} of router ${id} is another's`)
    if (gateway && gateway.network_id !== gateway_network_id)
      found.push(`router ${id} leads to ${gateway_network_id} and ${gateway.network_id}`)
    if (gateway_network_id && ofNetwork.get(gateway_network_id)?.external !== 1)
      found.push(`router ${id} leads outside to an inner network`)
    const own = ports.filter((one) => one.device_id === id && [INTERFACE, GATEWAY].includes(one.device_owner))
    const at = (port: { id: string }) =>
      allocations.filter((one) => one.port_id === port.id).flatMap((one) => ofSubnet.get(one.subnet_id) ?? [])
    const inner = own.filter((one) => one.device_owner === INTERFACE)
    for (const [one, two] of pairs(inner.flatMap((port) => [...new Set(at(port))])))
      if (overlaps(prefixOf(one.cidr), prefixOf(two.cidr))) found.push(`router ${id} stands in both ${one.cidr} and ${two.cidr}`)
  }
  return found
}

function floating({ ports, allocations, routers, floatingips }: Whole): string[] {
  const found: string[] = []
  const [ofPort, ofRouter, ofFloating] = [byId(ports), byId(routers), byId(floatingips)]
  for (const { id, device_owner, device_id } of ports)
    if (device_owner === 'network:floatingip' && device_id !== '' && ofFloating.get(device_id)?.own_port_id !== id)
      found.push(`port ${id} is of floating address ${device_id}, which has another or is gone`)
  for (const one of floatingips) {
    const holds = (portId: string, address: string | null) => allocations.find((ip) => ip.port_id === portId && ip.address === address)
    if (ofPort.get(one.own_port_id)?.network_id !== one.floating_network_id) found.push(`floating address ${one.id} has no port of its own`)
    if (!holds(one.own_port_id, one.floating_ip_address)) found.push(`floating address ${one.floating_ip_address} is not that of its port`)
    if (one.port_id === null) {
      if (one.router_id !== null || one.fixed_ip_address !== null || one.status === 'ACTIVE')
        found.push(`floating address ${one.id} half leads nowhere`)
      continue
    }
    const end = holds(one.port_id, one.fixed_ip_address)
    if (!end) found.push(`floating address ${one.id} leads to ${one.fixed_ip_address}, which port ${one.port_id} does not have`)
    const router = ofRouter.get(one.router_id ?? '')
    if (router?.gateway_network_id !== one.floating_network_id)
      found.push(`floating address ${one.id} leads through router ${one.router_id}, which does not`)
    const stands = ports.some(
      (port) =>
        port.device_id === one.router_id &&
        port.device_owner === INTERFACE &&
        allocations.some((ip) => ip.port_id === port.id && ip.subnet_id === end?.subnet_id),
    )
    if (end && !stands) found.push(`floating address ${one.id} leads to a subnet in which router ${one.router_id} does not stand`)
  }
  return found
}
