import { randomUUID } from 'node:crypto'
import { DEMO, OTHER } from '../../kernel/http/testing.ts'
import { control, NETWORK_CONTROL } from '../rpc.ts'
import type { NetworkHouse } from '../testing.ts'

/** By the path of its kind: documents of what has come to be in one run. */
export type Made = Record<
  'networks' | 'subnets' | 'subnetpools' | 'ports' | 'routers' | 'floatingips' | 'security-groups' | 'security-group-rules',
  any[]
> & {
  agents: any[]
  /** Ports that were said to be of a router or floating address. */
  claims: Set<string>
}
export type Kind = Exclude<keyof Made, 'agents' | 'claims'>

export const NOUNS: Record<Kind, string> = {
  networks: 'network',
  subnets: 'subnet',
  subnetpools: 'subnetpool',
  ports: 'port',
  routers: 'router',
  floatingips: 'floatingip',
  'security-groups': 'security_group',
  'security-group-rules': 'security_group_rule',
}
export const KINDS = Object.keys(NOUNS) as Kind[]

/** Numbers that choose among what is there: they come from the run's seed. */
interface Chance {
  n: number
  m: number
}

type Asked = { method: string; path: string; body?: object; as?: string } | { say: (house: NetworkHouse) => Promise<unknown> } | null
type Deed = (made: Made, chance: Chance) => Asked

export const among = <T>(rows: T[], n: number): T => rows[n % Math.max(1, rows.length)]!
const idOf = (rows: any[], n: number): string => among(rows, n)?.id ?? randomUUID()

const create =
  (kind: Kind, document: (made: Made, chance: Chance) => object | null, as?: string): Deed =>
  (made, chance) => {
    const body = document(made, chance)
    return body && { method: 'POST', path: `/${kind}`, body: { [NOUNS[kind]]: body }, as }
  }
const change =
  (kind: Kind, document: (made: Made, chance: Chance) => object, as?: string): Deed =>
  (made, chance) => ({ method: 'PUT', path: `/${kind}/${idOf(made[kind], chance.n)}`, body: { [NOUNS[kind]]: document(made, chance) }, as })
const remove =
  (kind: Kind): Deed =>
  (made, { n }) => ({ method: 'DELETE', path: `/${kind}/${idOf(made[kind], n)}` })
const onRouter =
  (verb: string, body: (made: Made, chance: Chance) => object): Deed =>
  (made, chance) => ({ method: 'PUT', path: `/routers/${idOf(made.routers, chance.n)}/${verb}`, body: body(made, chance) })

const networkId = (made: Made, n: number) => idOf(made.networks, n)
const inside = (made: Made, { n, m }: Chance) => among(made.subnets, n)?.cidr.replace(/\.\d+\/.*$/, `.${2 + m}`) ?? '10.0.0.2'
const address = (made: Made, chance: Chance) => ({ subnet_id: idOf(made.subnets, chance.n), ip_address: inside(made, chance) })
const routes = (made: Made, { n, m }: Chance) => [{ destination: `10.20${n % 3}.0.0/16`, nexthop: inside(made, { n: m, m: n }) }]
const server = (n: number) => ({
  device_owner: 'compute:nova',
  device_id: `server-${n % 2}`,
  'binding:host_id': among(['one', 'two', ''], n),
})

export const deeds: Record<string, Deed> = {
  network: create('networks', () => ({})),
  'two networks': () => ({ method: 'POST', path: '/networks', body: { networks: [{}, {}] } }),
  'network for all': create('networks', () => ({ shared: true }), 'admin'),
  'network outside': create('networks', (_made, { n }) => ({ 'router:external': true, is_default: n % 2 === 0 }), 'admin'),
  share: change('networks', (_made, { m }) => ({ shared: m % 2 === 0 }), 'admin'),
  outside: change('networks', (_made, { m }) => ({ 'router:external': m % 2 === 0 }), 'admin'),
  default: change('networks', (_made, { m }) => ({ is_default: m % 3 > 0 }), 'admin'),
  rename: (made, { n, m }) => {
    const kind = among(['networks', 'subnets', 'subnetpools', 'ports', 'routers', 'security-groups'] as Kind[], m)
    return change(kind, () => ({ name: 'new', description: 'newer' }))(made, { n, m })
  },
  'delete network': remove('networks'),
  subnet: create('subnets', (made, { n, m }) => ({ network_id: networkId(made, n), ip_version: 4, cidr: `10.${m % 6}.0.0/28` })),
  'subnet for guests of IPv6': create('subnets', (made, { n, m }) => ({
    network_id: networkId(made, n),
    ip_version: 6,
    cidr: `fd00:${m % 3}::/64`,
    ...(m % 2 ? { ipv6_address_mode: 'slaac', ipv6_ra_mode: 'slaac' } : {}),
  })),
  'subnet of a pool': create('subnets', (made, { n, m }) => ({
    network_id: networkId(made, n),
    ip_version: 4,
    ...(m % 3 > 0 ? { subnetpool_id: idOf(made.subnetpools, m) } : { use_default_subnetpool: true }),
  })),
  dhcp: change('subnets', (_made, { m }) => ({ enable_dhcp: m % 2 === 0 })),
  gateway: change('subnets', (made, { n, m }) => ({ gateway_ip: m % 2 ? null : inside(made, { n, m: m - 1 }) })),
  'names and routes': change('subnets', () => ({ dns_nameservers: ['192.0.2.53'], host_routes: [] })),
  'delete subnet': remove('subnets'),
  pool: create('subnetpools', (_made, { n }) => ({ name: 'pool', prefixes: [`10.1${n}.0.0/26`], default_prefixlen: 28 })),
  'default pool': change('subnetpools', (_made, { m }) => ({ is_default: m % 2 === 0 }), 'admin'),
  'larger pool': change('subnetpools', (made, { n, m }) => ({
    prefixes: [...(among(made.subnetpools, n)?.prefixes ?? []), `10.3${m}.0.0/26`],
  })),
  'delete pool': remove('subnetpools'),
  port: create('ports', (made, { n }) => ({ network_id: networkId(made, n) })),
  'two ports': (made, { n, m }) => ({
    method: 'POST',
    path: '/ports',
    body: { ports: [n, m].map((one) => ({ network_id: networkId(made, one) })) },
  }),
  'port with an address': create('ports', (made, chance) => ({
    network_id: among(made.subnets, chance.n)?.network_id ?? randomUUID(),
    fixed_ips: [address(made, chance)],
  })),
  'port of a server': create('ports', (made, { n, m }) => ({ network_id: networkId(made, m), ...server(n) }), 'admin'),
  'port of a group': create('ports', (made, { n, m }) => ({
    network_id: networkId(made, n),
    security_groups: [idOf(made['security-groups'], m)],
  })),
  'port of a router': create('ports', (made, { n, m }) => ({
    network_id: networkId(made, n),
    device_owner: among(['network:router_interface', 'network:router_gateway', 'network:floatingip', 'network:dhcp'], n + m),
    device_id: among(['', idOf(made.routers, m), idOf(made.floatingips, m)], n),
  })),
  'known port': create('ports', (made, { n }) => ({ id: idOf(made.ports, n), network_id: networkId(made, n) }), 'admin'),
  readdress: change('ports', (made, { n, m }) => ({
    fixed_ips: m % 3 === 0 ? [] : [address(made, { n: m, m: n })],
  })),
  'one more address': change('ports', (made, { n, m }) => ({
    fixed_ips: [...(among(made.ports, n)?.fixed_ips ?? []), { subnet_id: idOf(made.subnets, m) }],
  })),
  regroup: change('ports', (made, { m }) => ({ security_groups: m % 3 === 0 ? [] : [idOf(made['security-groups'], m)] })),
  'let pass': change('ports', (_made, { m }) => ({ allowed_address_pairs: m % 2 ? [] : [{ ip_address: '10.9.9.9' }] })),
  'no filter': change('ports', (_made, { m }) =>
    m % 2 ? { port_security_enabled: true } : { port_security_enabled: false, security_groups: [], allowed_address_pairs: [] },
  ),
  bind: change('ports', (_made, { m }) => server(m), 'admin'),
  unbind: change('ports', () => ({ device_owner: '', device_id: '', 'binding:host_id': '' }), 'admin'),
  'become of a router': change('ports', (made, { n, m }) => ({
    device_owner: among(['network:router_interface', 'network:router_gateway', 'network:floatingip'], n + m),
    device_id: idOf(made.routers, m),
  })),
  'become nobody’s': change('ports', () => ({ device_owner: '', device_id: '' })),
  'port off and on': change('ports', (_made, { m }) => ({ admin_state_up: m % 2 === 0 })),
  'other MAC': change('ports', (_made, { m }) => ({ mac_address: `fa:16:3e:00:00:0${m % 4}` })),
  'delete port': remove('ports'),
  router: create('routers', () => ({})),
  'router outside': create('routers', (made, { n }) => ({ external_gateway_info: { network_id: networkId(made, n) } })),
  'lead outside': change('routers', (made, { m }) => ({ external_gateway_info: { network_id: networkId(made, m) } })),
  'lead outside by an address': change(
    'routers',
    (made, chance) => ({
      external_gateway_info: {
        network_id: networkId(made, 0),
        external_fixed_ips: [{ ip_address: `172.24.4.${10 + chance.m}` }],
      },
    }),
    'admin',
  ),
  'lead nowhere': change('routers', () => ({ external_gateway_info: null })),
  join: onRouter('add_router_interface', (made, { m }) => ({ subnet_id: idOf(made.subnets, m) })),
  'join by a port': onRouter('add_router_interface', (made, { m }) => ({ port_id: idOf(made.ports, m) })),
  leave: onRouter('remove_router_interface', (made, { m }) => ({ subnet_id: idOf(made.subnets, m) })),
  'leave by a port': onRouter('remove_router_interface', (made, { m }) => ({ port_id: idOf(made.ports, m) })),
  route: change('routers', (made, chance) => ({ routes: routes(made, chance) })),
  'no route': change('routers', () => ({ routes: [] })),
  'one more route': onRouter('add_extraroutes', (made, chance) => ({ router: { routes: routes(made, chance) } })),
  'one route less': onRouter('remove_extraroutes', (made, chance) => ({ router: { routes: routes(made, chance) } })),
  'router off and on': change('routers', (_made, { m }) => ({ admin_state_up: m % 2 === 0 })),
  'delete router': remove('routers'),
  float: create('floatingips', (made, { n }) => ({ floating_network_id: networkId(made, n) })),
  'float to a port': create('floatingips', (made, { n, m }) => ({ floating_network_id: networkId(made, n), port_id: idOf(made.ports, m) })),
  associate: change('floatingips', (made, { m }) => ({ port_id: idOf(made.ports, m) })),
  'associate an address': change('floatingips', (made, { m, n }) => ({
    ...(n % 2 ? { port_id: idOf(made.ports, m) } : {}),
    fixed_ip_address: among(made.ports, m)?.fixed_ips.at(-1)?.ip_address ?? '10.0.0.3',
  })),
  'two floats': (made, { n, m }) => ({
    method: 'POST',
    path: '/floatingips',
    body: { floatingips: [n, m].map((one) => ({ floating_network_id: networkId(made, 0), port_id: idOf(made.ports, one) })) },
  }),
  disassociate: change('floatingips', () => ({ port_id: null })),
  'delete floating': remove('floatingips'),
  group: create('security-groups', (_made, { n }) => ({ name: n % 4 === 0 ? 'default' : 'group' })),
  'rename group': change('security-groups', (_made, { m }) => ({ name: among(['default', 'group'], m) })),
  'delete group': remove('security-groups'),
  rule: create('security-group-rules', (made, { n, m }) => ({
    security_group_id: idOf(made['security-groups'], n),
    direction: 'ingress',
    ...(m % 2 ? { remote_group_id: idOf(made['security-groups'], m) } : { protocol: 'tcp', port_range_min: 1 + m, port_range_max: 20 }),
  })),
  'delete rule': remove('security-group-rules'),
  'into a group': (made, { n, m }) => ({
    method: 'PUT',
    path: `/security-groups/${idOf(made['security-groups'], n)}/${m % 3 ? 'add' : 'remove'}_ports`,
    body: { port_ids: [...new Set([idOf(made.ports, m), idOf(made.ports, n)])] },
    as: 'admin',
  }),
  quota: (_made, { n, m }) => ({
    method: 'PUT',
    path: `/quotas/${n % 2 ? DEMO : OTHER}`,
    body: { quota: { [among(Object.values(NOUNS), n)]: m, network: -1 } },
    as: 'admin',
  }),
  'usual quota': (_made, { n }) => ({ method: 'DELETE', path: `/quotas/${n % 2 ? DEMO : OTHER}`, as: 'admin' }),
  used: (_made, { n }) => ({ method: 'GET', path: `/quotas/${n % 2 ? DEMO : OTHER}/details`, as: 'admin' }),
  tag: (made, { n, m }) => ({ method: 'PUT', path: `/${among(KINDS, n)}/${idOf(made[among(KINDS, n)], m)}/tags/tag-${m % 3}` }),
  tags: (made, { n, m }) => ({
    method: 'PUT',
    path: `/${among(KINDS, n)}/${idOf(made[among(KINDS, n)], m)}/tags`,
    body: { tags: ['a', 'b'] },
  }),
  'no tags': (made, { n, m }) => ({ method: 'DELETE', path: `/${among(KINDS, n)}/${idOf(made[among(KINDS, n)], m)}/tags` }),
  list: (_made, { n }) => ({ method: 'GET', path: `/${among(KINDS, n)}` }),
  show: (made, { n, m }) => ({ method: 'GET', path: `/${among(KINDS, n)}/${idOf(made[among(KINDS, n)], m)}` }),
  'be given a network': (_made, { n }) => ({ method: 'GET', path: `/auto-allocated-topology/${n % 3 ? 'null' : OTHER}` }),
  'give it back': (_made, { n }) => ({ method: 'DELETE', path: `/auto-allocated-topology/${n % 3 ? 'null' : OTHER}` }),
  serve: (made, { n, m }) => {
    const [noun, id] = n % 2 ? ['dhcp-network', networkId(made, m)] : ['l3-router', idOf(made.routers, m)]
    const body = n % 2 ? { network_id: id } : { router_id: id }
    return { method: 'POST', path: `/agents/${idOf(made.agents, n + m)}/${noun}s`, body, as: 'admin' }
  },
  'serve no longer': (made, { n, m }) => {
    const item = n % 2 ? `dhcp-networks/${networkId(made, m)}` : `l3-routers/${idOf(made.routers, m)}`
    return { method: 'DELETE', path: `/agents/${idOf(made.agents, n + m)}/${item}`, as: 'admin' }
  },
  'agents start again': (_made, { n }) => ({ say: (house) => house.agents(among(['one', 'two'], n)) }),
  'agent off and on': (made, { n, m }) => ({
    method: 'PUT',
    path: `/agents/${idOf(made.agents, n)}`,
    body: { agent: { admin_state_up: m % 2 === 0 } },
    as: 'admin',
  }),
  'forget agent': (made, { n }) => ({ method: 'DELETE', path: `/agents/${idOf(made.agents, n)}`, as: 'admin' }),
  plugged: (made, { n, m }) => ({
    say: (house) =>
      house.bus.call(NETWORK_CONTROL, control.devicesUp, {
        host: among(['one', 'two'], m),
        devices: [{ portId: idOf(made.ports, n) } as any],
      }),
  }),
  unplugged: (made, { n, m }) => ({
    say: (house) =>
      house.bus.call(NETWORK_CONTROL, control.devicesDown, { host: among(['one', 'two'], m), portIds: [idOf(made.ports, n)] }),
  }),
  'known to DHCP': (made, { n }) => ({
    say: (house) =>
      house.bus.call(NETWORK_CONTROL, control.dhcpReady, {
        host: 'one',
        networkId: among(made.ports, n)?.network_id ?? '',
        portIds: [idOf(made.ports, n)],
        hostFile: '/h',
      }),
  }),
  routed: (made, { n, m }) => ({
    say: (house) =>
      house.bus.call(NETWORK_CONTROL, control.routerReady, {
        host: among(['one', 'two'], m),
        routerId: idOf(made.routers, n),
        floatingIps: made.floatingips.map(({ id }) => ({ id, status: 'ACTIVE' as const, rules: [] })),
      }),
  }),
}
