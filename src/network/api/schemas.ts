import Type, { type TSchema } from 'typebox'

const Nullable = (schema: TSchema) => Type.Union([schema, Type.Null()])
const Choice = (values: (string | number)[]) => Type.Unsafe<string>({ enum: values })
const Name = Type.String({ maxLength: 255 })
export const Id = Type.String({ minLength: 1, maxLength: 64 })
const Uuid = Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' })
/** Also as texts: the older client sends them so, see convert.ts. */
const Flag = Type.Union([
  Type.Boolean(),
  Type.String({ pattern: '^([Tt]rue|[Ff]alse|TRUE|FALSE|[01]|yes|no|on|off)$' }),
  Type.Integer({ minimum: 0, maximum: 1 }),
])
/** What is out of range is told in words of its own. */
const PortOrType = Type.Union([Type.Integer(), Type.String({ pattern: '^-?\\d{1,9}$' })])
const Whole = (maximum: number) => Type.Union([Type.Integer({ minimum: 0, maximum }), Type.String({ pattern: '^\\d{1,10}$' })])
const Count = Whole(4_294_967_295)
const Mac = Type.String({ pattern: '^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$' })
const Address = Type.String({ minLength: 2, maxLength: 64 })
const Strings = Type.Array(Name, { maxItems: 100 })
const kind = (properties: Record<string, TSchema>, required: string[], additionalProperties: TSchema | false) =>
  Type.Unsafe<any>({ type: 'object', properties, required, additionalProperties })
const rest = (description: string) => Type.Unsafe<unknown>({ description })
const REFUSED = rest('refused in words of its own, as unknown or as read-only')
const OVERLOOKED = rest('what Neutron overlooks here, too')
/** Of a noun: what is sent besides is refused where it is known what the noun has else, see resource.ts. */
const attributes = (properties: Record<string, TSchema>, required: string[] = []) => kind(properties, required, REFUSED)
export const open = (properties: Record<string, TSchema>, required: string[] = []) => kind(properties, required, OVERLOOKED)
const closed = (properties: Record<string, TSchema>, required: string[] = []) => kind(properties, required, false)

const Standard = { name: Name, description: Nullable(Name), tags: Strings }
const New = { ...Standard, id: Uuid, project_id: Nullable(Id), tenant_id: Nullable(Id) }

const network = {
  admin_state_up: Flag,
  shared: Flag,
  'router:external': Flag,
  is_default: Flag,
  port_security_enabled: Flag,
  mtu: Whole(65_536),
  dns_domain: Name,
  'provider:network_type': Nullable(Name),
  'provider:physical_network': Nullable(Name),
  'provider:segmentation_id': Nullable(Count),
}

const subnet = {
  gateway_ip: Nullable(Address),
  enable_dhcp: Flag,
  allocation_pools: Nullable(Type.Array(closed({ start: Address, end: Address }, ['start', 'end']), { maxItems: 100 })),
  dns_nameservers: Nullable(Type.Array(Address, { maxItems: 20 })),
  host_routes: Nullable(Type.Array(closed({ destination: Address, nexthop: Address }, ['destination', 'nexthop']), { maxItems: 100 })),
  service_types: Strings,
}

const Length = Whole(128)
const subnetPool = {
  prefixes: Type.Array(Address, { minItems: 1, maxItems: 100 }),
  default_prefixlen: Nullable(Length),
  min_prefixlen: Nullable(Length),
  max_prefixlen: Nullable(Length),
  is_default: Flag,
  default_quota: Nullable(Count),
  address_scope_id: Type.Null(),
}

const fixedIps = Type.Array(open({ subnet_id: Id, ip_address: Address }), { maxItems: 20 })

const port = {
  admin_state_up: Flag,
  mac_address: Mac,
  device_id: Nullable(Name),
  device_owner: Nullable(Name),
  fixed_ips: Nullable(fixedIps),
  security_groups: Nullable(Type.Array(Id, { maxItems: 100 })),
  allowed_address_pairs: Nullable(
    Type.Array(closed({ ip_address: Address, mac_address: Type.String() }, ['ip_address']), { maxItems: 100 }),
  ),
  extra_dhcp_opts: Nullable(
    Type.Array(
      closed(
        {
          id: Type.String({ maxLength: 64 }),
          opt_name: Type.String({ minLength: 1, maxLength: 64 }),
          opt_value: Nullable(Name),
          ip_version: Choice([4, 6, '4', '6']),
        },
        ['opt_name', 'opt_value'],
      ),
      { maxItems: 100 },
    ),
  ),
  port_security_enabled: Flag,
  dns_name: Nullable(Name),
  'binding:host_id': Nullable(Name),
  'binding:vnic_type': Nullable(Choice(['normal', 'direct', 'macvtap', 'baremetal', 'direct-physical', 'virtio-forwarder', 'smart-nic'])),
  'binding:profile': Nullable(Type.Record(Type.String(), rest('what the owner of the port writes for the host'))),
}

const routes = Type.Array(closed({ destination: Address, nexthop: Address }, ['destination', 'nexthop']), { maxItems: 100 })
/** Of what no router is here. */
const Off = Type.Unsafe<boolean | null>({ enum: [false, 'False', 'false', 0, '0', null] })
const router = {
  admin_state_up: Flag,
  external_gateway_info: Nullable(closed({ network_id: Id, enable_snat: Flag, external_fixed_ips: fixedIps })),
  routes: Nullable(routes),
  distributed: Off,
  ha: Off,
  flavor_id: Type.Null(),
}

const floatingIp = { port_id: Nullable(Id), fixed_ip_address: Nullable(Address) }

const rule = {
  direction: Choice(['ingress', 'egress']),
  ethertype: Nullable(Type.String({ pattern: '^[Ii][Pp][Vv][46]$' })),
  protocol: Nullable(Type.Union([Name, Type.Integer({ minimum: 0, maximum: 255 })])),
  port_range_min: Nullable(PortOrType),
  port_range_max: Nullable(PortOrType),
  remote_ip_prefix: Nullable(Address),
  remote_group_id: Nullable(Id),
  security_group_id: Id,
}

export const bodies = {
  network: {
    create: attributes({ ...New, ...network, availability_zone_hints: Strings }),
    update: attributes({ ...Standard, ...network }),
  },
  subnet: {
    create: attributes(
      {
        ...New,
        ...subnet,
        network_id: Id,
        ip_version: Choice([4, 6, '4', '6']),
        cidr: Nullable(Address),
        subnetpool_id: Nullable(Id),
        use_default_subnetpool: Flag,
        prefixlen: Nullable(Whole(128)),
        ipv6_ra_mode: Nullable(Choice(['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless'])),
        ipv6_address_mode: Nullable(Choice(['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless'])),
      },
      ['network_id'],
    ),
    update: attributes({ ...Standard, ...subnet }),
  },
  subnetpool: {
    create: attributes({ ...New, ...subnetPool, shared: Flag }, ['name', 'prefixes']),
    update: attributes({ ...Standard, ...subnetPool }),
  },
  port: {
    create: attributes({ ...New, ...port, network_id: Id }, ['network_id']),
    update: attributes({ ...Standard, ...port }),
  },
  router: {
    create: attributes({ ...New, ...router, availability_zone_hints: Strings }),
    update: attributes({ ...Standard, ...router }),
  },
  floatingip: {
    create: attributes(
      {
        ...New,
        ...floatingIp,
        floating_network_id: Id,
        subnet_id: Nullable(Id),
        floating_ip_address: Nullable(Address),
        dns_name: Name,
        dns_domain: Name,
      },
      ['floating_network_id'],
    ),
    update: attributes({ description: Nullable(Name), ...floatingIp }),
  },
  security_group: {
    create: attributes({ ...New, stateful: Flag }),
    update: attributes({ ...Standard, stateful: Flag }),
  },
  security_group_rule: {
    create: attributes({ ...New, ...rule }, ['direction', 'security_group_id']),
  },
}

export const InterfaceBody = open({ subnet_id: Id, port_id: Id })
export const MembersBody = Type.Object({ port_ids: Type.Array(Id, { minItems: 1, maxItems: 1000 }) }, { additionalProperties: false })
export const RoutesBody = open({ router: open({ routes }, ['routes']) }, ['router'])
export const QuotaBody = open(
  {
    quota: Type.Record(
      Type.String(),
      Type.Union([Type.Integer({ minimum: -1, maximum: 2_147_483_647 }), Type.String({ pattern: '^(-1|\\d{1,9})$' })]),
    ),
  },
  ['quota'],
)
export const agentChange = attributes({ admin_state_up: Flag, description: Nullable(Name) })
export const AgentBody = open({ agent: agentChange }, ['agent'])
export const TagsBody = open({ tags: Type.Array(Type.String({ minLength: 1, maxLength: 255 })) }, ['tags'])
