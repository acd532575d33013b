/** DHCP and names for one network: a dnsmasq inside the network's namespace, with the files that Neutron's operators know. */
export interface DhcpService {
  networkId: string
  /** `qdhcp-<network id>` */
  namespace: string
  /** The device in the namespace that it listens on. */
  interface: string
  /** Such as `openstacklocal`. */
  domain: string
  subnets: { id: string; cidr: string }[]
  hosts: DhcpHost[]
  options: DhcpOption[]
  /** Name servers that it asks for names that are not the network's own. */
  upstreamDns: string[]
  /** Told to every guest, asked for or not. */
  mtu: number
}

/** Never changed once it is made. */
export interface DhcpHost {
  readonly portId: string
  readonly mac: string
  /** Without the domain. */
  readonly name: string
  readonly addresses: readonly string[]
}

export interface DhcpOption {
  /** All ports of a subnet, or one port. */
  for: { subnetId: string } | { portId: string }
  family: 4 | 6
  /** By dnsmasq's name (`router`, `dns-server`) or by number. */
  option: string | number
  values: string[]
}

export interface Lease {
  mac: string
  address: string
  /** `*` when the guest gave none and none is configured. */
  name: string
  /** Seconds since the epoch; 0 never ends. */
  expiresAt: number
  /** As it stands in the lease file. */
  line: string
}

export interface DhcpEvent {
  networkId: string
  /** `DHCPDISCOVER`, `DHCPOFFER`, `DHCPREQUEST`, `DHCPACK`, `DHCPNAK`, `DHCPRELEASE`, `DHCPDECLINE`, … */
  kind: string
  mac: string
  address?: string
  name?: string
  line: string
  /** When it was seen, ms since the epoch. */
  at: number
}

export type DhcpOutcome = 'unchanged' | 'reloaded' | 'restarted' | 'started'

export interface Dnsmasq {
  /**
   * Makes the files and the process as `service` says and returns when the server has read them. A changed host or option is a reload; another
   * range, device or domain, or a lease that keeps an address from its new owner, is a restart. A server left by an earlier process is adopted.
   * @throws Fault 400 BadDhcpEntry for a name, address or option that would not be one word of its file
   */
  ensure(service: DhcpService): Promise<DhcpOutcome>
  /** Ends the server and removes its files. An absent one is no error. */
  stop(networkId: string): Promise<void>
  /** Networks that have files or a process, running or not. */
  list(): Promise<{ networkId: string; pid: number | undefined }[]>
  leases(networkId: string): Promise<Lease[]>
  /** The path of the host file (step 20's evidence). */
  hostFile(networkId: string): string
  /** Hears what the servers log about their clients, each line once, also across restarts of this process; returns how to stop. */
  follow(listener: (event: DhcpEvent) => void): () => void
  /** Stops following; the servers run on. */
  close(): Promise<void>
}
