/** The kernel's network as `ip`, `tc` and `ethtool` see it: namespaces, links, addresses, routes. `undefined` as a namespace is the one this process runs in. */
export type Namespace = string | undefined

export interface Address {
  family: 4 | 6
  /** Without the prefix length. */
  address: string
  prefix: number
}

export interface Link {
  name: string
  index: number
  /** `bridge`, `veth`, `tun` (tap devices and Open vSwitch's userspace internal ports), `openvswitch`, `loopback`, or `other` for what has hardware behind it. */
  kind: string
  mac: string
  /** Bytes. */
  mtu: number
  up: boolean
  /** Set by hand or by a program that listens. */
  promisc: boolean
  master?: string
  addresses: Address[]
}

export interface Route {
  /** `default` or a prefix such as `10.1.0.0/24` (a single address has no `/32`). */
  to: string
  via?: string
  dev: string
  /** `kernel` for those that come with an address. */
  protocol: string
}

export interface Neighbour {
  address: string
  mac?: string
  dev: string
  state: string
}

/** One change of a batch; a batch is carried out in order and stops at the first change that the kernel refuses. */
export type Change =
  | { do: 'add-bridge'; name: string; mac?: string }
  /** The second end may be born in another namespace. */
  | { do: 'add-veth'; name: string; peer: string; peerNamespace?: string }
  | { do: 'add-dummy'; name: string }
  | { do: 'delete-link'; name: string }
  /** `master: null` takes the link out of its bridge. `namespace` moves it: to be done last. */
  | {
      do: 'set-link'
      name: string
      up?: boolean
      mtu?: number
      mac?: string
      promisc?: boolean
      master?: string | null
      namespace?: string
    }
  /** Seconds for both times. */
  | { do: 'set-bridge'; name: string; forwardDelay?: number; ageing?: number; stp?: boolean; multicastSnooping?: boolean }
  /** Done again it changes nothing. */
  | { do: 'set-address'; dev: string; cidr: string }
  | { do: 'delete-address'; dev: string; cidr: string }
  /** Replaces the route to the same destination. */
  | { do: 'set-route'; to: string; via?: string; dev?: string }
  | { do: 'delete-route'; to: string; via?: string; dev?: string }
  | { do: 'set-neighbour'; dev: string; address: string; mac: string }

/** A limit on what leaves the device: HTB is a class that may burst to its ceiling, TBF a plain bucket. Rates in kbit/s, bursts in kbit. */
export type Shape = { kind: 'htb'; rate: number; ceil?: number; burst?: number } | { kind: 'tbf'; rate: number; burst?: number }

export interface NetNs {
  /** Names of the named namespaces of this machine. */
  namespaces(): Promise<string[]>
  /** Makes it where it is not there, with its loopback up. @returns whether it was made */
  ensureNamespace(name: string): Promise<boolean>
  /** With everything in it (programs that run inside must have ended). An absent one is no error. */
  removeNamespace(name: string): Promise<void>

  /** Sorted by index. @throws Fault 404 NoSuchNamespace */
  links(namespace?: string): Promise<Link[]>
  /** @throws Fault 404 NoSuchNamespace, NoSuchLink or NoSuchEntry, 409 LinkExists or UnreachableGateway, 400 BadName, BadAddress or BadNumber; the message names the change that failed */
  apply(namespace: Namespace, changes: Change[]): Promise<void>
  routes(namespace: Namespace, family: 4 | 6): Promise<Route[]>
  neighbours(namespace: Namespace, dev: string): Promise<Neighbour[]>

  /** Values by dotted name, as sysctl prints them; a name this kernel does not have is left out. */
  sysctl(namespace: Namespace, names: string[]): Promise<Record<string, string>>
  setSysctl(namespace: Namespace, values: Record<string, string | number>): Promise<void>

  /** Whether the kernel may leave the checksum of outgoing packets to hardware: must be false on both ends of a veth that touches a userspace datapath. */
  checksumOffload(namespace: Namespace, dev: string): Promise<boolean>
  setChecksumOffload(namespace: Namespace, dev: string, on: boolean): Promise<void>

  /** Tells the neighbours on `dev` that `address` (IPv4) is here now: gratuitous ARP. */
  announce(namespace: Namespace, dev: string, address: string): Promise<void>

  shape(namespace: Namespace, dev: string): Promise<Shape | undefined>
  /** `undefined` takes the limit away. */
  setShape(namespace: Namespace, dev: string, shape: Shape | undefined): Promise<void>
}
