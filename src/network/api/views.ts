import type { Agent } from '../app/agents.ts'
import { vifDetails } from '../app/bindings.ts'
import type { FloatingIp } from '../app/floating-ips.ts'
import type { Network } from '../app/networks.ts'
import { hostnameOf, type Port } from '../app/port.ts'
import type { Router } from '../app/router.ts'
import type { SecurityGroup } from '../app/security-groups.ts'
import type { SecurityRule } from '../app/security-rules.ts'
import type { SubnetPool } from '../app/subnet-pools.ts'
import type { Subnet } from '../app/subnets.ts'

/** Neutron prints times to the second. */
const time = (iso: string) => `${iso.slice(0, 19)}Z`
const ZONE = 'nova'

type Standard = Pick<Network, 'id' | 'project_id' | 'name' | 'description' | 'tags' | 'revision' | 'created_at' | 'updated_at'>

const common = (row: Standard) => ({
  id: row.id,
  name: row.name,
  description: row.description,
  project_id: row.project_id,
  tenant_id: row.project_id,
  tags: JSON.parse(row.tags) as string[],
  revision_number: row.revision,
  created_at: time(row.created_at),
  updated_at: time(row.updated_at),
})

export const networkView = (network: Network) => ({
  ...common(network),
  status: 'ACTIVE',
  admin_state_up: network.admin_state_up === 1,
  shared: network.shared === 1,
  'router:external': network.external === 1,
  is_default: network.is_default === 1,
  port_security_enabled: network.port_security === 1,
  mtu: network.mtu,
  dns_domain: network.dns_domain,
  subnets: network.subnetIds,
  availability_zone_hints: JSON.parse(network.zone_hints),
  availability_zones: network.subnetIds.length > 0 ? [ZONE] : [],
  ipv4_address_scope: null,
  ipv6_address_scope: null,
  'provider:network_type': network.network_type,
  'provider:physical_network': network.physical_network,
  'provider:segmentation_id': network.segmentation_id,
})

export const subnetView = (subnet: Subnet) => ({
  ...common(subnet),
  network_id: subnet.network_id,
  ip_version: subnet.ip_version,
  cidr: subnet.cidr,
  gateway_ip: subnet.gateway_ip,
  enable_dhcp: subnet.enable_dhcp === 1,
  allocation_pools: JSON.parse(subnet.allocation_pools),
  dns_nameservers: JSON.parse(subnet.dns_nameservers),
  host_routes: JSON.parse(subnet.host_routes),
  service_types: JSON.parse(subnet.service_types),
  ipv6_ra_mode: subnet.ipv6_ra_mode,
  ipv6_address_mode: subnet.ipv6_address_mode,
  subnetpool_id: subnet.subnetpool_id,
})

export const subnetPoolView = (pool: SubnetPool) => ({
  ...common(pool),
  ip_version: pool.ip_version,
  prefixes: JSON.parse(pool.prefixes),
  default_prefixlen: pool.default_prefixlen,
  min_prefixlen: pool.min_prefixlen,
  max_prefixlen: pool.max_prefixlen,
  shared: pool.shared === 1,
  is_default: pool.is_default === 1,
  default_quota: pool.default_quota,
  address_scope_id: null,
})

const ips = (port: Port) => port.fixedIps.map(({ subnetId, address }) => ({ subnet_id: subnetId, ip_address: address }))

export const portView = (dnsDomain: string) => (port: Port) => ({
  ...common(port),
  network_id: port.network_id,
  mac_address: port.mac_address,
  admin_state_up: port.admin_state_up === 1,
  status: port.status,
  device_id: port.device_id,
  device_owner: port.device_owner,
  fixed_ips: ips(port),
  security_groups: port.securityGroups,
  allowed_address_pairs: JSON.parse(port.allowed_address_pairs),
  extra_dhcp_opts: JSON.parse(port.extra_dhcp_opts),
  port_security_enabled: port.port_security === 1,
  dns_name: port.dns_name,
  dns_assignment: port.fixedIps.map(({ address }) => {
    const hostname = hostnameOf(port, address)
    const domain = port.dnsDomain || dnsDomain
    return { hostname, ip_address: address, fqdn: domain ? `${hostname}.${domain.replace(/\.?$/, '.')}` : hostname }
  }),
  ip_allocation: 'immediate',
  'binding:vnic_type': port.vnic_type,
  'binding:host_id': port.host,
  'binding:profile': JSON.parse(port.profile),
  'binding:vif_type': port.vif_type,
  'binding:vif_details': vifDetails(port.vif_type),
})

export const routerView = (router: Router) => ({
  ...common(router),
  status: router.status,
  admin_state_up: router.admin_state_up === 1,
  external_gateway_info: router.gateway
    ? { network_id: router.gateway_network_id, enable_snat: router.enable_snat === 1, external_fixed_ips: ips(router.gateway) }
    : null,
  routes: JSON.parse(router.routes),
  distributed: false,
  ha: false,
  availability_zone_hints: JSON.parse(router.zone_hints),
  availability_zones: [ZONE],
  flavor_id: null,
})

export const floatingIpView = (floating: FloatingIp) => {
  const { name: _, ...rest } = common(floating)
  return {
    ...rest,
    floating_network_id: floating.floating_network_id,
    floating_ip_address: floating.floating_ip_address,
    fixed_ip_address: floating.fixed_ip_address,
    port_id: floating.port_id,
    router_id: floating.router_id,
    status: floating.status,
    dns_name: floating.dns_name,
    dns_domain: floating.dns_domain,
  }
}

export const ruleView = (rule: SecurityRule) => {
  const { name: _, ...rest } = common(rule)
  return {
    ...rest,
    security_group_id: rule.security_group_id,
    direction: rule.direction,
    ethertype: rule.ethertype,
    protocol: rule.protocol,
    port_range_min: rule.port_range_min,
    port_range_max: rule.port_range_max,
    remote_ip_prefix: rule.remote_ip_prefix,
    remote_group_id: rule.remote_group_id,
  }
}

export const groupView = (group: SecurityGroup) => ({
  ...common(group),
  stateful: group.stateful === 1,
  security_group_rules: group.rules.map(ruleView),
})

/** `2026-11-23 08:30:00`, as agents are listed. */
const spaced = (iso: string) => iso.slice(0, 19).replace('T', ' ')

export const agentView = (agent: Agent) => ({
  id: agent.id,
  agent_type: agent.agent_type,
  binary: agent.binary,
  host: agent.host,
  topic: 'network.control',
  description: agent.description,
  alive: agent.alive,
  admin_state_up: agent.admin_state_up === 1,
  availability_zone: ['DHCP agent', 'L3 agent'].includes(agent.agent_type) ? ZONE : null,
  configurations: JSON.parse(agent.configurations),
  created_at: spaced(agent.created_at),
  started_at: spaced(agent.started_at),
  heartbeat_timestamp: spaced(agent.heartbeat_at),
  resources_synced: null,
})
