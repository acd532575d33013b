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
/** Clients send more than is known here, e.g. attributes of extensions they have heard of. */
export const open = (properties: Record<string, TSchema>, required: string[] = []) =>
  Type.Unsafe<any>({ type: 'object', properties, required, additionalProperties: true })

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
  availability_zone_hints: Strings,
  'provider:network_type': Nullable(Name),
  'provider:physical_network': Nullable(Name),
  'provider:segmentation_id': Nullable(Count),
}

const subnet = {
  gateway_ip: Nullable(Address),
  enable_dhcp: Flag,
  allocation_pools: Nullable(Type.Array(open({ start: Address, end: Address }, ['start', 'end']), { maxItems: 100 })),
  dns_nameservers: Nullable(Type.Array(Address, { maxItems: 20 })),
  host_routes: Nullable(Type.Array(open({ destination: Address, nexthop: Address }, ['destination', 'nexthop']), { maxItems: 100 })),
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
  allowed_address_pairs: Nullable(Type.Array(open({ ip_address: Address, mac_address: Type.String() }, ['ip_address']), { maxItems: 100 })),
  extra_dhcp_opts: Nullable(
    Type.Array(
      open({ opt_name: Type.String({ minLength: 1, maxLength: 64 }), opt_value: Nullable(Name), ip_version: Choice([4, 6, '4', '6']) }, [
        'opt_name',
        'opt_value',
      ]),
      { maxItems: 100 },
    ),
  ),
  port_security_enabled: Flag,
  dns_name: Nullable(Name),
  'binding:host_id': Nullable(Name),
  'binding:vnic_type': Nullable(Choice(['normal', 'direct', 'macvtap', 'baremetal', 'direct-physical', 'virtio-forwarder', 'smart-nic'])),
  'binding:profile': Nullable(Type.Record(Type.String(), Type.Unknown())),
}

const routes = Type.Array(open({ destination: Address, nexthop: Address }, ['destination', 'nexthop']), { maxItems: 100 })
const router = {
  admin_state_up: Flag,
  external_gateway_info: Nullable(open({ network_id: Id, enable_snat: Flag, external_fixed_ips: fixedIps })),
  routes: Nullable(routes),
  availability_zone_hints: Strings,
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
    create: open({ ...New, ...network }),
    update: open({ ...Standard, ...network }),
  },
  subnet: {
    create: open(
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
    update: open({ ...Standard, ...subnet }),
  },
  subnetpool: {
    create: open({ ...New, ...subnetPool, shared: Flag }, ['name', 'prefixes']),
    update: open({ ...Standard, ...subnetPool }),
  },
  port: {
    create: open({ ...New, ...port, network_id: Id }, ['network_id']),
    update: open({ ...Standard, ...port }),
  },
  router: {
    create: open({ ...New, ...router }),
    update: open({ ...Standard, ...router }),
  },
  floatingip: {
    create: open({ ...New, ...floatingIp, floating_network_id: Id, subnet_id: Nullable(Id), floating_ip_address: Nullable(Address) }, [
      'floating_network_id',
    ]),
    update: open({ description: Nullable(Name), ...floatingIp }),
  },
  security_group: {
    create: open({ ...New, stateful: Flag }),
    update: open({ ...Standard, stateful: Flag }),
  },
  security_group_rule: {
    create: open({ ...New, ...rule }, ['direction', 'security_group_id']),
  },
}

export const InterfaceBody = open({ subnet_id: Id, port_id: Id })
export const MembersBody = Type.Object({ port_ids: Type.Array(Id, { minItems: 1, maxItems: 1000 }) }, { additionalProperties: false })
export const RoutesBody = Type.Object({ router: Type.Object({ routes }) })
export const QuotaBody = Type.Object({
  quota: Type.Record(
    Type.String(),
    Type.Union([Type.Integer({ minimum: -1, maximum: 2_147_483_647 }), Type.String({ pattern: '^(-1|\\d{1,9})$' })]),
  ),
})
export const AgentBody = Type.Object({ agent: open({ admin_state_up: Flag, description: Nullable(Name) }) })
