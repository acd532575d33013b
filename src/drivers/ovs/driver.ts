/** Open vSwitch as the hosts use it: bridges and ports in its database, flows in its tables. */

/** `system` is the kernel's datapath, `netdev` the one in userspace. */
export type DatapathType = 'system' | 'netdev'

export interface BridgeSpec {
  datapathType: DatapathType
  /** `secure`: no flow, no packet; `standalone`: learns as an ordinary switch while nobody has set flows. */
  failMode?: 'secure' | 'standalone'
  /** Added to those that are there. */
  externalIds?: Record<string, string>
  /** Of the bridge's own device, in bytes. */
  mtu?: number
}

export interface Bridge {
  name: string
  datapathType: DatapathType
  failMode?: 'secure' | 'standalone'
  externalIds: Record<string, string>
}

/** `system`: a device that is there already; `internal`: the switch makes a device. */
export type PortType = 'system' | 'internal' | 'patch' | 'vxlan' | 'gre'

export interface PortSpec {
  /** VLAN of an access port; left as it is when absent. */
  tag?: number
  /** Default `system`. */
  type?: PortType
  /** `peer` of a patch; `remote_ip`, `local_ip`, `key`, `dst_port`, `df_default` of a tunnel. Replaces those that are there. */
  options?: Record<string, string>
  /** Of the interface, where libvirt and Neutron put `iface-id` and `attached-mac`. Added to those that are there. */
  externalIds?: Record<string, string>
  /** Of an internal port. */
  mac?: string
  /** Of an internal port, in bytes. */
  mtu?: number
}

export interface Port {
  name: string
  bridge: string
  tag?: number
  type: string
  /** OpenFlow's number of it; absent until the switch has taken it up, or when it could not. */
  ofport?: number
  externalIds: Record<string, string>
  options: Record<string, string>
  /** In use; absent where there is none, as when the device has gone away. */
  mac?: string
  mtu?: number
  /** Whether the device has a carrier. */
  up?: boolean
  /** Why the switch could not take it up. */
  error?: string
}

export type InterfaceEvent =
  | { kind: 'added' | 'changed' | 'removed'; port: Port }
  /** Anything may have changed unseen, flows included: read everything. The first that each listener hears, and again after either daemon was away. */
  | { kind: 'resync'; why: string }

/** What leaves the port is held to `rate` kbit/s, with bursts of `burst` kbit (a tenth of a second's worth by default). */
export interface Limit {
  rate: number
  burst?: number
}

export interface Flow {
  /** Hexadecimal with 0x. */
  cookie: string
  table: number
  priority: number
  /** Fields in the switch's own words and order, such as `tcp`, `in_port=3`. */
  match: string[]
  actions: string
  packets: number
  bytes: number
  /** The line as the switch gives it. */
  raw: string
}

export interface Flows {
  /**
   * Makes the flows that carry `cookie` exactly these, in one transaction of the switch; others stay, and when nothing differs nothing is touched.
   * Flows are in the words of ovs-ofctl, without a cookie; those that `learn` makes need another cookie than this.
   * @returns how many were added or changed, and removed
   * @throws Fault 400 BadFlow (nothing is changed then), 404 NoSuchBridge
   */
  replaceFlows(bridge: string, cookie: number | bigint, flows: string[]): Promise<{ added: number; removed: number }>
  /** All or none. @throws Fault 400 BadFlow, 404 NoSuchBridge */
  addFlows(bridge: string, flows: string[]): Promise<void>
  /** Those that the match covers, such as `table=21,dl_vlan=1` or `cookie=0x1/-1`; all when it is empty. */
  deleteFlows(bridge: string, match: string): Promise<void>
  /** Sorted as the switch gives them: by table, then falling priority. */
  dumpFlows(bridge: string): Promise<Flow[]>
}

/**
 * Each change is one transaction, and returns when the switch has taken it up. What is so already is not changed again.
 * Every method @throws Fault 503 when the database or the switch does not answer, 400 BadName
 */
export interface Ovs {
  /** @throws Fault 503 PortFailed when the switch cannot make it, for want of the kernel's datapath for example */
  ensureBridge(name: string, spec: BridgeSpec): Promise<void>
  /** With its ports; an absent one is no error. */
  removeBridge(name: string): Promise<void>
  bridges(): Promise<Bridge[]>

  /** A port of another bridge moves. @throws Fault 404 NoSuchBridge, 503 PortFailed when the switch cannot take it up (a new port is taken away again) */
  ensurePort(bridge: string, port: string, spec?: PortSpec): Promise<Port>
  /** Of whichever bridge it is on; an absent one is no error. */
  removePort(port: string): Promise<void>
  /** `undefined` makes it a trunk. @throws Fault 404 NoSuchPort */
  setTag(port: string, tag: number | undefined): Promise<void>
  /** Sorted by name, without the bridges' own devices. @throws Fault 404 NoSuchBridge */
  ports(bridge?: string): Promise<Port[]>
  /** Waits until the port is as `condition` wants it (it gets `undefined` while there is none). @throws Fault 503 PortTimeout, which says how the port is */
  waitForPort(port: string, condition: (port: Port | undefined) => boolean, timeoutMs: number): Promise<Port | undefined>
  /** @returns how to stop listening */
  onInterface(listener: (event: InterfaceEvent) => void): () => void

  /** @throws Fault 404 NoSuchPort */
  limit(port: string): Promise<Limit | undefined>
  /** `undefined` takes it away. @throws Fault 404 NoSuchPort */
  setLimit(port: string, limit: Limit | undefined): Promise<void>

  readonly flows: Flows

  version(): Promise<string>
  /** Those that work here. */
  datapathTypes(): Promise<DatapathType[]>
  /** Lets go of the connection; listeners hear no more. */
  close(): void
}
