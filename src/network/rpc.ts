import { message } from '../kernel/bus/bus.ts'

/** The typed messages between network's control side and the agents on the hosts (src/host/network). */

export const NETWORK_CONTROL = 'network.control'

export type NetworkType = 'local' | 'flat' | 'vlan' | 'gre' | 'vxlan'

export interface Segment {
  networkId: string
  networkType: NetworkType
  physicalNetwork: string | null
  segmentationId: number | null
  mtu: number
}

export interface FixedIp {
  subnetId: string
  address: string
}

export interface SecurityRule {
  direction: 'ingress' | 'egress'
  etherType: 'IPv4' | 'IPv6'
  /** tcp, udp, icmp, ipv6-icmp, a number, or null for any. */
  protocol: string | null
  portMin: number | null
  portMax: number | null
  /** CIDR, or null for any. */
  remotePrefix: string | null
  /** The members of this group only; their addresses are asked for apart, once for all who name it. */
  remoteGroupId: string | null
}

/** What the L2 agent must know of a port to wire it. */
export interface DeviceDetails {
  portId: string
  segment: Segment
  macAddress: string
  fixedIps: FixedIp[]
  allowedAddressPairs: { address: string; macAddress: string }[]
  adminUp: boolean
  portSecurity: boolean
  securityGroups: string[]
  rules: SecurityRule[]
  /** DHCP server addresses of its subnets: their answers pass the firewall. */
  dhcpServers: string[]
  deviceOwner: string
  deviceId: string
  /** kbit/s, from a QoS policy. */
  bandwidth: { egressKbps: number | null; ingressKbps: number | null }
  /** Where it is bound: while a guest moves, its port is on two hosts and belongs to one. */
  host: string
}

/** A port of a tunnelled network on another host. */
export interface Neighbour {
  macAddress: string
  addresses: string[]
  /** Its host's end of tunnels of the network's type. */
  endpoint: string
}

export interface SubnetDetails {
  id: string
  cidr: string
  ipVersion: 4 | 6
  gateway: string | null
  dnsNameservers: string[]
  hostRoutes: { destination: string; nexthop: string }[]
  enableDhcp: boolean
}

/** A port as it stands in the host file of its network. */
export interface DhcpPort {
  id: string
  createdAt: string
  macAddress: string
  hostname: string
  fixedIps: FixedIp[]
  extraDhcpOptions: { name: string; value: string; ipVersion: 4 | 6 }[]
  deviceId: string
  deviceOwner: string
}

/** One network as the DHCP agent serves it. */
export interface DhcpNetwork {
  segment: Segment
  projectId: string
  subnets: SubnetDetails[]
  /** The server's own port: made by control when the network gets a subnet with DHCP. */
  dhcpPort: { id: string; macAddress: string; fixedIps: FixedIp[] } | null
  /** Every port with an address, in the order of the host file: the older first. */
  ports: DhcpPort[]
  dnsDomain: string
  /** No router serves its subnets: metadata is answered in the DHCP namespace. */
  isolated: boolean
}

export interface RouterPort {
  id: string
  macAddress: string
  segment: Segment
  addresses: {
    address: string
    prefixLength: number
    gateway: string | null
    subnetId: string
    /** What guests are told of the subnet where this address is its gateway. */
    advertised: { mode: 'slaac' | 'dhcpv6-stateless' | 'dhcpv6-stateful'; dns: string[] } | null
  }[]
}

export interface RouterDetails {
  id: string
  name: string
  projectId: string
  adminUp: boolean
  enableSnat: boolean
  gateway: RouterPort | null
  interfaces: RouterPort[]
  floatingIps: { id: string; floatingAddress: string; fixedAddress: string; portId: string }[]
  routes: { destination: string; nexthop: string }[]
  /** Control has not heard that all its floating addresses are in place here. */
  awaited: boolean
}

/** The external network as the machine itself should reach it: br-ex's own address. */
export interface ExternalNetwork {
  segment: Segment
  gatewayCidr: string
}

/** Agents ask control (topic NETWORK_CONTROL). */
export const control = {
  deviceDetails: message<{ host: string; portIds: string[] }, DeviceDetails[]>('device-details'),
  /** Every address (CIDR) that the ports of these groups have. */
  groupAddresses: message<{ groupIds: string[] }, Record<string, string[]>>('group-addresses'),
  /** Wired and filtered: with the DHCP entry this makes the port ACTIVE and tells compute 'network-vif-plugged'. */
  devicesUp: message<{ host: string; devices: { portId: string; localVlan: number; device: string; ofport: number }[] }, void>(
    'devices-up',
  ),
  devicesDown: message<{ host: string; portIds: string[] }, void>('devices-down'),
  dhcpNetworks: message<{ host: string }, DhcpNetwork[]>('dhcp-networks'),
  /** Of these ports of a network those that are in its host file. */
  dhcpPorts: message<{ networkId: string; portIds: string[] }, DhcpPort[]>('dhcp-ports'),
  /** Step 20: these ports are in the host file of their network's dnsmasq. */
  dhcpReady: message<{ host: string; networkId: string; portIds: string[]; hostFile: string }, void>('dhcp-ready'),
  /** Step 38: the guest has its address. */
  leaseSeen: message<
    { host: string; networkId: string; macAddress: string; address: string; line: string; at: number; startedAt: number | null },
    void
  >('lease-seen'),
  routers: message<{ host: string }, { routers: RouterDetails[]; external: ExternalNetwork[] }>('routers'),
  /** Who has this address on this network, or behind this router: for the metadata proxy. */
  portByAddress: message<
    { networkId?: string; routerId?: string; address: string },
    { portId: string; instanceId: string; projectId: string } | null
  >('port-by-address'),
  /** A router or floating IP is in place (or not): makes router and floating IP ACTIVE; floating: step 41's evidence. */
  routerReady: message<
    { host: string; routerId: string; floatingIps: { id: string; status: 'ACTIVE' | 'ERROR'; rules: string[] }[] },
    void
  >('router-ready'),
  agentReport: message<
    { host: string; binary: string; agentType: string; configurations: Record<string, unknown>; startedAt: string },
    void
  >('agent-report'),
  /** Addresses of tunnel endpoints of all hosts that carry this kind of network. */
  tunnelEndpoints: message<{ host: string; type: 'vxlan' | 'gre'; address: string }, { host: string; address: string }[]>(
    'tunnel-endpoints',
  ),
  /** Who is where on these networks, but for the asking host: by network id. */
  neighbours: message<{ host: string; networkIds: string[] }, Record<string, Neighbour[]>>('neighbours'),
}

export const networkTopic = (host: string) => `network.${host}`

/** Control asks an agent (topic of its host). */
export const agent = {
  /** All that belongs to Yun's networks on this host, by owner: for the leak oracle. */
  audit: message<Record<string, never>, { kind: string; name: string; owner: string | null }[]>('audit'),
}

/** Control tells agents that something changed; they then ask. Losing one delays, it does not break: agents also ask by a timer. */
export const events = {
  portChanged: message<{ portId: string; networkId: string }, void>('network.port-changed'),
  networkChanged: message<{ networkId: string }, void>('network.network-changed'),
  /** A host that serves networks is there: said every second, by all that may be given routers and address services. */
  hostAlive: message<{ host: string }, void>('network.host-alive'),
  /** A host with tunnels is new, or has moved. */
  tunnelsChanged: message<{ host: string }, void>('network.tunnels-changed'),
  routerChanged: message<{ routerId: string }, void>('network.router-changed'),
  /** The rules of these ports are others now. */
  securityGroupChanged: message<{ portIds: string[] }, void>('network.security-group-changed'),
  /** These groups have other ports, or their ports other addresses. `joined`: all that happened is that each has gained these addresses (CIDR), so there is nothing to ask. `by`: the process of control that has taken some away. */
  groupMembersChanged: message<{ groupIds: string[]; joined?: string[]; by?: string }, void>('network.group-members-changed'),
}
