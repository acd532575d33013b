import type { Dnsmasq } from '../../drivers/dnsmasq/driver.ts'
import type { HaProxy } from '../../drivers/haproxy/driver.ts'
import type { IpTables } from '../../drivers/iptables/driver.ts'
import type { NetNs } from '../../drivers/netns/driver.ts'
import type { Ovs } from '../../drivers/ovs/driver.ts'
import type { Radv } from '../../drivers/radv/driver.ts'
import type { Bus } from '../../kernel/bus/bus.ts'
import type { Log } from '../../kernel/log/log.ts'

/** What the agent works on: the real things of this machine, or their twins. */
export interface Machine {
  ovs: Ovs
  netns: NetNs
  iptables: IpTables
  dnsmasq: Dnsmasq
  haproxy: HaProxy
  radv: Radv
}

export interface NetworkHostSettings {
  /** This host's name. */
  host: string
  /** Whether address services and routers may live here; guests' ports are wired on every host. */
  serves: { dhcp: boolean; l3: boolean }
  /** Physical networks and the bridges that lead to them. */
  bridgeMappings: Record<string, string>
  /** This host's end of tunnels to other hosts; without an address there are none. */
  tunnels: { address: string | null; types: ('vxlan' | 'gre')[] }
  /** Whether this machine itself is given the gateway's address of the external network, and whether it lends its own address to what goes out through it. */
  external: { hostAddress: boolean; masquerade: boolean }
  /** Of names in a network that has none of its own. */
  dnsDomain: string
  /** Name servers that the networks' own server asks. */
  upstreamDns: string[]
  /** Where the metadata proxies reach the metadata server. */
  metadataSocket: string
  /** ms between runs that nothing woke. */
  everyMs: number
}

export interface Context {
  machine: Machine
  settings: NetworkHostSettings
  bus: Bus
  log: Log
}
