import { control, NETWORK_CONTROL } from '../../../network/rpc.ts'
import type { Ask } from '../counting-testing.ts'
import type { Writes } from './writes-testing.ts'

const AT = '/network/v2.0'
const LIMITED = ['network', 'subnet', 'port', 'router', 'floatingip', 'security_group', 'security_group_rule', 'subnetpool']
const unlimited = Object.fromEntries(LIMITED.map((name) => [name, -1]))

/** As many at once, and of things that have as many, as belong to what was sown. */
export const networkWrites: Writes = async (of, { yard, counts: { ask }, owners: { project } }) => {
  const { api, bus } = yard.cloud
  const many: number = (await api('GET', `${AT}/networks/${of.network}/tags`)).tags.length
  const each = <T>(one: (i: number) => T): T[] => Array.from({ length: many }, (_, i) => one(i))
  const put = (path: string, body?: object) => ask('PUT', `${AT}/${path}`, body)
  const gone = (path: string) => ask('DELETE', `${AT}/${path}`)
  const one = async (path: string, document: object) => Object.values(await api('POST', `${AT}/${path}`, document))[0] as any
  const several = async (by: Ask, path: string, document: (i: number) => object): Promise<string[]> => {
    const answer = await by('POST', `${AT}/${path}`, { [path.replaceAll('-', '_')]: each(document) })
    return (Object.values(answer)[0] as { id: string }[]).map(({ id }) => id)
  }
  const clear = async (path: string, ids: string[]) => {
    for (const id of ids) await api('DELETE', `${AT}/${path}/${id}`)
  }
  /** A network with many subnets. */
  const wide = async (second: number, more: object = {}) => {
    const { id } = await one('networks', { network: { name: `wide-${second}`, ...more } })
    const subnets = await several(api, 'subnets', (i) => ({ network_id: id, ip_version: 4, cidr: `10.${second}.${i}.0/24` }))
    return { id, subnets, ips: subnets.map((subnet_id) => ({ subnet_id })) }
  }

  await put(`quotas/${project}`, { quota: unlimited })

  // many at once, each in a network, group or pool of its own
  const networks = await several(ask, 'networks', (i) => ({ name: `many-${i}` }))
  const prefixes = (i: number) => each((j) => `10.${100 + i}.${j * 16}.0/20`)
  const pools = await several(ask, 'subnetpools', (i) => ({ name: `many-${i}`, prefixes: prefixes(i), default_prefixlen: 24 }))
  const subnets = await several(ask, 'subnets', (i) => ({ network_id: networks[i], subnetpool_id: pools[i] }))
  const groups = await several(ask, 'security-groups', (i) => ({ name: `many-${i}` }))
  const named = await several(ask, 'security-group-rules', (i) => ({
    security_group_id: groups[i],
    remote_group_id: of.group,
    direction: 'ingress',
  }))
  const ports = await several(ask, 'ports', (i) => ({
    network_id: networks[i],
    fixed_ips: [{ subnet_id: subnets[i] }],
    security_groups: [groups[i]],
    mac_address: `fa:16:3e:00:00:${10 + i}`,
    device_id: of.server,
    device_owner: 'compute:nova',
    'binding:host_id': 'node1',
  }))
  const outside = await wide(90, { 'router:external': true })
  const gateway = { network_id: outside.id }
  const routers = await several(ask, 'routers', (i) => ({ name: `many-${i}`, external_gateway_info: gateway }))
  for (const [i, id] of routers.entries()) await api('PUT', `${AT}/routers/${id}/add_router_interface`, { subnet_id: subnets[i] })
  const ends = await several(api, 'ports', (i) => ({ network_id: networks[i] })) // of no server: compute would be told meanwhile
  const floatingips = await several(ask, 'floatingips', (i) => ({ floating_network_id: outside.id, port_id: ends[i] }))

  // a router with many interfaces, routes and addresses outside
  const [inside, beside] = [await wide(91), await wide(92)]
  const router = await one('routers', { router: { name: 'wide', external_gateway_info: gateway } })
  const way = `routers/${router.id}`
  for (const subnet_id of inside.subnets) await api('PUT', `${AT}/${way}/add_router_interface`, { subnet_id })
  const joined = await one('ports', { port: { network_id: beside.id, fixed_ips: beside.ips } })
  await put(`${way}/add_router_interface`, { port_id: joined.id })
  const routes = each((i) => ({ destination: `192.168.${i}.0/24`, nexthop: `10.91.${i}.200` }))
  await put(way, { router: { routes, external_gateway_info: { ...gateway, external_fixed_ips: outside.ips } } })
  await put(`${way}/remove_extraroutes`, { router: { routes } })
  await put(`${way}/add_extraroutes`, { router: { routes } })
  const [l3] = (await api('GET', `${AT}/${way}/l3-agents`)).agents
  await gone(`agents/${l3.id}/l3-routers/${router.id}`)
  await ask('POST', `${AT}/agents/${l3.id}/l3-routers`, { router_id: router.id })
  const [dhcp] = (await api('GET', `${AT}/networks/${inside.id}/dhcp-agents`)).agents
  await gone(`agents/${dhcp.id}/dhcp-networks/${inside.id}`)
  await ask('POST', `${AT}/agents/${dhcp.id}/dhcp-networks`, { network_id: inside.id })

  // a port with many addresses and groups, to which many floating addresses lead
  const port = await one('ports', { port: { network_id: inside.id, fixed_ips: inside.ips } })
  await put(`ports/${port.id}`, {
    port: {
      fixed_ips: each((i) => ({ ip_address: `10.91.${i}.100` })),
      security_groups: groups,
      allowed_address_pairs: each((i) => ({ ip_address: `10.93.${i}.1` })),
      extra_dhcp_opts: each((i) => ({ opt_name: `opt-${i}`, opt_value: 'a' })),
    },
  })
  for (const [i, id] of floatingips.entries())
    await put(`floatingips/${id}`, { floatingip: { port_id: port.id, fixed_ip_address: `10.91.${i}.100` } })

  // a group that many rules name, and a subnet whose many guests make their addresses themselves
  const group = await one('security-groups', { security_group: { name: 'wide' } })
  await several(api, 'security-group-rules', (i) => ({ security_group_id: groups[i], remote_group_id: group.id, direction: 'egress' }))
  await several(api, 'security-group-rules', (i) => ({ security_group_id: group.id, remote_group_id: groups[i], direction: 'egress' }))
  const own = await one('subnets', {
    subnet: { network_id: beside.id, ip_version: 6, cidr: 'fd00::/64', ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' },
  })
  const guests = await several(api, 'ports', () => ({ network_id: beside.id }))
  for (const change of ['add', 'remove']) await put(`security-groups/${group.id}/${change}_ports`, { port_ids: [...ports, ...guests] })

  await put(`networks/${inside.id}`, { network: { description: 'changed', mtu: 1400 } })
  await put(`subnets/${inside.subnets[0]}`, { subnet: { enable_dhcp: false, host_routes: routes } })
  await put(`subnetpools/${pools[0]}`, { subnetpool: { prefixes: [...prefixes(0), ...prefixes(50)] } })
  await put(`security-groups/${group.id}`, { security_group: { description: 'changed' } })

  for (const path of [
    `networks/${inside.id}`,
    `subnets/${inside.subnets[0]}`,
    `subnetpools/${pools[0]}`,
    `ports/${port.id}`,
    way,
    `floatingips/${floatingips[0]}`,
    `security-groups/${group.id}`,
    `security-group-rules/${named[0]}`,
  ]) {
    await put(`${path}/tags`, { tags: each((i) => `tag-${i}`) })
    await put(`${path}/tags/another`)
    await gone(`${path}/tags/another`)
    await gone(`${path}/tags`)
  }

  // what a project was given by itself, with more subnets than that
  const topology = (await api('GET', `${AT}/auto-allocated-topology/${of.project}`)).auto_allocated_topology.id
  const [given] = (await api('GET', `${AT}/routers?project_id=${of.project}`)).routers
  const added = await several(api, 'subnets', (i) => ({ network_id: topology, ip_version: 4, cidr: `10.94.${i}.0/24` }))
  for (const subnet_id of added) await api('PUT', `${AT}/routers/${given.id}/add_router_interface`, { subnet_id })
  await gone(`auto-allocated-topology/${of.project}`)

  const startedAt = new Date().toISOString()
  const silent = { host: 'silent', binary: 'neutron-metadata-agent', agentType: 'Metadata agent', configurations: {}, startedAt }
  await bus.call(NETWORK_CONTROL, control.agentReport, silent)
  const [agent] = (await api('GET', `${AT}/agents?host=silent`)).agents
  await put(`agents/${agent.id}`, { agent: { description: 'changed' } })
  await gone(`agents/${agent.id}`)

  await gone(`floatingips/${(await one('floatingips', { floatingip: { floating_network_id: outside.id, port_id: guests[0] } })).id}`)
  await gone(`subnets/${own.id}`)
  await gone(`security-group-rules/${named[0]}`)
  await gone(`security-groups/${group.id}`)
  await gone(`ports/${port.id}`)
  await put(`${way}/remove_router_interface`, { port_id: joined.id })
  await api('PUT', `${AT}/${way}/remove_extraroutes`, { router: { routes } })
  for (const subnet_id of inside.subnets) await api('PUT', `${AT}/${way}/remove_router_interface`, { subnet_id })
  await gone(way)
  for (const [i, id] of routers.entries()) await api('PUT', `${AT}/routers/${id}/remove_router_interface`, { subnet_id: subnets[i] })
  await clear('routers', routers)
  await clear('ports', [...ports, ...ends, ...guests])
  await gone(`networks/${outside.id}`)
  await clear('networks', [...networks, inside.id, beside.id])
  await gone(`subnetpools/${pools[0]}`)
  await clear('subnetpools', pools.slice(1))
  await clear('security-groups', groups)
  await gone(`quotas/${project}`)
  await api('PUT', `${AT}/quotas/${project}`, { quota: { port: -1, security_group: -1 } })
}
