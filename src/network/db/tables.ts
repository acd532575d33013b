import type { NetworkType } from '../rpc.ts'

/** What every resource has. Times are ISO text, flags 0 or 1, lists and objects JSON text. */
export interface StandardRow {
  id: string
  /** Empty for ports that belong to the cloud itself: gateways and floating addresses. */
  project_id: string
  name: string
  description: string
  tags: string
  revision: number
  created_at: string
  updated_at: string
}

export interface NetworkRow extends StandardRow {
  admin_state_up: number
  shared: number
  external: number
  is_default: number
  network_type: NetworkType
  physical_network: string | null
  segmentation_id: number | null
  mtu: number
  port_security: number
  dns_domain: string
  zone_hints: string
}

/** One row for each segment in use: the key keeps two networks from sharing one. `physical_network` is empty for tunnels, `segmentation_id` 0 for flat ones. */
export interface SegmentRow {
  network_type: NetworkType
  physical_network: string
  segmentation_id: number
  network_id: string
}

export interface SubnetRow extends StandardRow {
  network_id: string
  ip_version: 4 | 6
  cidr: string
  gateway_ip: string | null
  enable_dhcp: number
  allocation_pools: string
  dns_nameservers: string
  host_routes: string
  service_types: string
  ipv6_ra_mode: string | null
  ipv6_address_mode: string | null
  /** From which its addresses came. */
  subnetpool_id: string | null
}

export interface SubnetPoolRow extends StandardRow {
  ip_version: 4 | 6
  /** JSON: a list of CIDRs. */
  prefixes: string
  default_prefixlen: number
  min_prefixlen: number
  max_prefixlen: number
  shared: number
  is_default: number
  /** Addresses (IPv4) or /64 prefixes (IPv6) that one project may take; null: as many as there are. */
  default_quota: number | null
}

export type PortStatus = 'ACTIVE' | 'DOWN' | 'BUILD' | 'N/A'

export interface PortRow extends StandardRow {
  network_id: string
  mac_address: string
  admin_state_up: number
  status: PortStatus
  device_id: string
  device_owner: string
  dns_name: string
  port_security: number
  allowed_address_pairs: string
  extra_dhcp_opts: string
  host: string
  vif_type: string
  vnic_type: string
  profile: string
  /** The switch of its host carries it. */
  wired: number
  /** Its network's DHCP server knows it. */
  dhcp_ready: number
}

/** An address in use; the key (subnet, address) keeps two ports from having one. */
export interface AllocationRow {
  subnet_id: string
  address: string
  port_id: string
  network_id: string
  position: number
}

export interface RouterRow extends StandardRow {
  admin_state_up: number
  status: string
  enable_snat: number
  gateway_network_id: string | null
  gateway_port_id: string | null
  routes: string
  zone_hints: string
  /** Whose L3 agent has it; empty while none has. */
  host: string
}

export interface FloatingIpRow extends StandardRow {
  floating_network_id: string
  floating_ip_address: string
  /** The port that holds the address on the external network. */
  own_port_id: string
  port_id: string | null
  fixed_ip_address: string | null
  router_id: string | null
  status: 'ACTIVE' | 'DOWN' | 'ERROR'
  associated_at: string | null
  /** For a name server outside; empty: none. */
  dns_name: string
  dns_domain: string
}

export interface SecurityGroupRow extends StandardRow {
  stateful: number
  /** The project whose default group it is: one for each. */
  default_of: string | null
}

export interface SecurityRuleRow extends StandardRow {
  security_group_id: string
  direction: 'ingress' | 'egress'
  ethertype: 'IPv4' | 'IPv6'
  protocol: string | null
  port_range_min: number | null
  port_range_max: number | null
  remote_ip_prefix: string | null
  remote_group_id: string | null
  /** All that makes a rule what it is, in one text: unique in its group. */
  fingerprint: string
}

export interface AgentRow {
  id: string
  host: string
  binary: string
  agent_type: string
  configurations: string
  description: string
  admin_state_up: number
  started_at: string
  created_at: string
  heartbeat_at: string
}

/** Word for compute that is not delivered yet. */
export interface NoticeRow {
  id: string
  name: string
  server_uuid: string
  tag: string
  status: string | null
  created_at: string
}

/** What a project was given that asked for a network: one for each. */
export interface AutoAllocatedTopologyRow {
  project_id: string
  network_id: string
  router_id: string
}

export interface NetworkTables {
  auto_allocated_topologies: AutoAllocatedTopologyRow
  subnetpools: SubnetPoolRow
  networks: NetworkRow
  segments: SegmentRow
  subnets: SubnetRow
  ports: PortRow
  allocations: AllocationRow
  port_security_groups: { port_id: string; security_group_id: string }
  routers: RouterRow
  floatingips: FloatingIpRow
  security_groups: SecurityGroupRow
  security_group_rules: SecurityRuleRow
  agents: AgentRow
  tunnel_endpoints: { host: string; type: string; address: string }
  quotas: { project_id: string; resource: string; amount: number }
  locks: { name: string; generation: number }
  notices: NoticeRow
}
