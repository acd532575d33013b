const OWNER = 'role:admin or (role:member and project_id:%(project_id)s)'
const READER = 'role:admin or role:reader'
const OWN_READER = 'role:admin or (role:reader and project_id:%(project_id)s)'
const NETWORK_OWNER = 'role:admin or (role:member and project_id:%(network:project_id)s)'
const EITHER = `${OWNER} or (role:member and project_id:%(network:project_id)s)`
const ADMIN = 'role:admin'

const crud = (name: string) => ({
  [`create_${name}`]: OWNER,
  [`get_${name}`]: READER,
  [`update_${name}`]: OWNER,
  [`delete_${name}`]: OWNER,
})

/** The rule of one attribute, when it is given or shown: `create_network:shared`. */
const attributes = (verbs: string[], name: string, rule: string, ...names: string[]) =>
  Object.fromEntries(verbs.flatMap((verb) => names.map((attribute) => [`${verb}_${name}:${attribute}`, rule])))

const SEGMENT = ['provider:network_type', 'provider:physical_network', 'provider:segmentation_id']
const BINDING = ['binding:host_id', 'binding:profile']
const CHANGE = ['create', 'update']

/** The network service's default rules, named as Neutron's. Targets: project_id is the resource's project, network:project_id that of its network. */
export const policies: Record<string, string> = {
  context_is_admin: 'role:admin',
  default: '!',
  regular_user: READER,
  ...crud('network'),
  ...attributes(CHANGE, 'network', ADMIN, 'shared', 'router:external', 'is_default', ...SEGMENT),
  ...attributes(['create'], 'network', ADMIN, 'id'),
  ...attributes(['get'], 'network', ADMIN, ...SEGMENT),
  ...crud('subnet'),
  create_subnet: NETWORK_OWNER,
  update_subnet: EITHER,
  delete_subnet: EITHER,
  ...attributes(['create'], 'subnet', ADMIN, 'id', 'service_types'),
  ...crud('subnetpool'),
  ...attributes(['create'], 'subnetpool', ADMIN, 'id', 'shared'),
  ...attributes(CHANGE, 'subnetpool', ADMIN, 'is_default'),
  ...crud('port'),
  update_port: EITHER,
  delete_port: EITHER,
  'create_port:on_network': `${NETWORK_OWNER} or (role:member and 'True':%(network:shared)s)`,
  'create_port:id': ADMIN,
  ...attributes(CHANGE, 'port', NETWORK_OWNER, 'mac_address', 'device_owner:network', 'port_security_enabled'),
  'create_port:fixed_ips:ip_address': NETWORK_OWNER,
  'update_port:fixed_ips': EITHER,
  'update_port:fixed_ips:ip_address': NETWORK_OWNER,
  ...attributes(CHANGE, 'port', NETWORK_OWNER, 'allowed_address_pairs'),
  ...attributes(CHANGE, 'port', ADMIN, ...BINDING),
  ...attributes(['get'], 'port', ADMIN, ...BINDING, 'binding:vif_type', 'binding:vif_details'),
  ...crud('router'),
  ...attributes(['create'], 'router', ADMIN, 'id'),
  ...attributes(CHANGE, 'router', ADMIN, 'external_gateway_info:enable_snat', 'external_gateway_info:external_fixed_ips'),
  add_router_interface: OWNER,
  remove_router_interface: OWNER,
  add_extraroutes: OWNER,
  remove_extraroutes: OWNER,
  ...crud('floatingip'),
  ...attributes(['create'], 'floatingip', ADMIN, 'id', 'floating_ip_address'),
  ...crud('security_group'),
  ...attributes(['create'], 'security_group', ADMIN, 'id'),
  yun_add_ports: ADMIN,
  yun_remove_ports: ADMIN,
  ...crud('security_group_rule'),
  ...attributes(['create'], 'security_group_rule', ADMIN, 'id'),
  get_agent: ADMIN,
  update_agent: ADMIN,
  delete_agent: ADMIN,
  'get_dhcp-networks': ADMIN,
  'create_dhcp-network': ADMIN,
  'delete_dhcp-network': ADMIN,
  'get_dhcp-agents': ADMIN,
  'get_l3-routers': ADMIN,
  'create_l3-router': ADMIN,
  'delete_l3-router': ADMIN,
  'get_l3-agents': ADMIN,
  get_availability_zone: READER,
  get_network_ip_availability: ADMIN,
  get_auto_allocated_topology: OWN_READER,
  delete_auto_allocated_topology: OWNER,
  get_quota: OWN_READER,
  get_quotas: ADMIN,
  update_quota: ADMIN,
  delete_quota: ADMIN,
  get_service_provider: READER,
}
