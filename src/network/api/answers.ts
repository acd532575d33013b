import Type, { type Static, type TSchema } from 'typebox'

const Text = Type.String()
const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const MaybeText = Nullable(Text)
const Flag = Type.Boolean()
const Whole = Type.Integer()
const Texts = Type.Array(Text)
const IpVersion = Type.Union([Type.Literal(4), Type.Literal(6)])
/** An object whose keys are nobody's business here. */
const anything = (description: string) => Type.Object({}, { additionalProperties: true, description })

const owner = { project_id: Text, tenant_id: Text }
const Nameless = { id: Text, description: Text, ...owner, tags: Texts, revision_number: Whole, created_at: Text, updated_at: Text }
const Standard = { ...Nameless, name: Text }

const Fixed = Type.Object({ subnet_id: Text, ip_address: Text })
const RouteView = Type.Object({ destination: Text, nexthop: Text })

const network = Type.Object({
  ...Standard,
  status: Text,
  admin_state_up: Flag,
  shared: Flag,
  'router:external': Flag,
  is_default: Flag,
  port_security_enabled: Flag,
  mtu: Whole,
  dns_domain: Text,
  subnets: Texts,
  availability_zone_hints: Texts,
  availability_zones: Texts,
  ipv4_address_scope: Type.Null(),
  ipv6_address_scope: Type.Null(),
  'provider:network_type': Text,
  'provider:physical_network': MaybeText,
  'provider:segmentation_id': Nullable(Whole),
})

const subnet = Type.Object({
  ...Standard,
  network_id: Text,
  ip_version: IpVersion,
  cidr: Text,
  gateway_ip: MaybeText,
  enable_dhcp: Flag,
  allocation_pools: Type.Array(Type.Object({ start: Text, end: Text })),
  dns_nameservers: Texts,
  host_routes: Type.Array(RouteView),
  service_types: Texts,
  ipv6_ra_mode: MaybeText,
  ipv6_address_mode: MaybeText,
  subnetpool_id: MaybeText,
})

const subnetpool = Type.Object({
  ...Standard,
  ip_version: Whole,
  prefixes: Texts,
  default_prefixlen: Whole,
  min_prefixlen: Whole,
  max_prefixlen: Whole,
  shared: Flag,
  is_default: Flag,
  default_quota: Nullable(Whole),
  address_scope_id: Type.Null(),
})

const port = Type.Object({
  ...Standard,
  network_id: Text,
  mac_address: Text,
  admin_state_up: Flag,
  status: Text,
  device_id: Text,
  device_owner: Text,
  fixed_ips: Type.Array(Fixed),
  security_groups: Texts,
  allowed_address_pairs: Type.Array(Type.Object({ ip_address: Text, mac_address: Text })),
  extra_dhcp_opts: Type.Array(Type.Object({ opt_name: Text, opt_value: Text, ip_version: Whole })),
  port_security_enabled: Flag,
  dns_name: Text,
  dns_assignment: Type.Array(Type.Object({ hostname: Text, ip_address: Text, fqdn: Text })),
  ip_allocation: Text,
  'binding:vnic_type': Text,
  'binding:host_id': Text,
  'binding:profile': anything('What the owner of the port wrote for the host'),
  'binding:vif_type': Text,
  'binding:vif_details': Type.Partial(
    Type.Object({ port_filter: Flag, ovs_hybrid_plug: Flag, bridge_name: Text, datapath_type: Text, connectivity: Text }),
  ),
})

const router = Type.Object({
  ...Standard,
  status: Text,
  admin_state_up: Flag,
  external_gateway_info: Nullable(Type.Object({ network_id: Text, enable_snat: Flag, external_fixed_ips: Type.Array(Fixed) })),
  routes: Type.Array(RouteView),
  distributed: Flag,
  ha: Flag,
  availability_zone_hints: Texts,
  availability_zones: Texts,
  flavor_id: Type.Null(),
})

const floatingip = Type.Object({
  ...Nameless,
  floating_network_id: Text,
  floating_ip_address: Text,
  fixed_ip_address: MaybeText,
  port_id: MaybeText,
  router_id: MaybeText,
  status: Text,
  dns_name: Text,
  dns_domain: Text,
})

const rule = Type.Object({
  ...Nameless,
  security_group_id: Text,
  direction: Text,
  ethertype: Text,
  protocol: MaybeText,
  port_range_min: Nullable(Whole),
  port_range_max: Nullable(Whole),
  remote_ip_prefix: MaybeText,
  remote_group_id: MaybeText,
})

const agent = Type.Object({
  id: Text,
  agent_type: Text,
  binary: Text,
  host: Text,
  topic: Text,
  description: MaybeText,
  alive: Flag,
  admin_state_up: Flag,
  availability_zone: MaybeText,
  configurations: anything('What the agent told of itself'),
  created_at: Text,
  started_at: Text,
  heartbeat_timestamp: Text,
  resources_synced: Type.Null(),
})

const securityGroup = Type.Object({ ...Standard, stateful: Flag, security_group_rules: Type.Array(rule) })

const availability = Type.Object({
  network_id: Text,
  network_name: Text,
  ...owner,
  total_ips: Type.Number(),
  used_ips: Whole,
  subnet_ip_availability: Type.Array(
    Type.Object({ subnet_id: Text, subnet_name: Text, cidr: Text, ip_version: Whole, total_ips: Type.Number(), used_ips: Whole }),
  ),
})

/** Each resource as it is shown, by its noun: fields that nobody asked for, or that the caller may not see, are missing. */
export const ANSWERS = {
  network: Type.Partial(network),
  subnet: Type.Partial(subnet),
  subnetpool: Type.Partial(subnetpool),
  port: Type.Partial(port),
  router: Type.Partial(router),
  floatingip: Type.Partial(floatingip),
  security_group: Type.Partial(securityGroup),
  security_group_rule: Type.Partial(rule),
  agent: Type.Partial(agent),
  network_ip_availability: Type.Partial(availability),
}
export type Answered = keyof typeof ANSWERS

/** As an administrator gets them who asks for no field in particular. */
export type NetworkDocument = Static<typeof network>
export type SubnetDocument = Static<typeof subnet>
export type PortDocument = Static<typeof port>
export type SecurityGroupDocument = Static<typeof securityGroup>
export type FloatingIpDocument = Static<typeof floatingip>
export type ExtensionDocument = Static<typeof Extension>

export const one = (noun: Answered) => Type.Object({ [noun]: ANSWERS[noun] })
export const many = (plural: string, noun: Answered) =>
  Type.Object({ [plural]: Type.Array(ANSWERS[noun]), [`${plural}_links`]: Type.Optional(Type.Array(Link)) })
const Link = Type.Object({ rel: Text, href: Text })

export const InterfaceAnswer = Type.Object({ id: Text, ...owner, port_id: Text, network_id: Text, subnet_id: Text, subnet_ids: Texts })
/** `id`: of the network, or what became of a dry run. */
export const TopologyAnswer = Type.Object({ auto_allocated_topology: Type.Object({ id: Text, ...owner }) })
export const VersionsAnswer = Type.Object({ versions: Type.Array(Type.Object({ id: Text, status: Text, links: Type.Array(Link) })) })
export const ResourcesAnswer = Type.Object({
  resources: Type.Array(Type.Object({ name: Text, collection: Text, links: Type.Array(Link) })),
})
export const Extension = Type.Object({
  alias: Text,
  name: Text,
  description: Text,
  updated: Text,
  links: Type.Array(Link, { maxItems: 0 }),
})
export const Zone = Type.Object({ name: Text, resource: Text, state: Text })
