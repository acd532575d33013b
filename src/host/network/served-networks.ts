import type { Bus } from '../../kernel/bus/bus.ts'
import { control, type DhcpNetwork, type DhcpPort, events, NETWORK_CONTROL } from '../../network/rpc.ts'

/**
 * The networks whose addresses this host serves, as control describes them: asked for as a whole when anything of them may have changed, and after that port by port, so that
 * a port that comes or goes costs the same whether its network has ten or a thousand.
 */
export class ServedNetworks {
  private readonly bus: Bus
  private readonly host: string
  /** By network; null: all is in doubt. */
  private known: Map<string, DhcpNetwork> | null = null
  /** Ports of known networks that changed since, by network. */
  private readonly changed = new Map<string, Set<string>>()
  /** Of listening to each network's ports. */
  private readonly heard = new Map<string, () => void>()
  private hear: ((networkId: string) => () => void) | undefined
  /** Something was heard of which the answer that is under way may not know. */
  private doubted = false

  constructor(bus: Bus, host: string) {
    this.bus = bus
    this.host = host
  }

  /** Listens to what changes, and calls `wake` when it may be any of these networks. Returns how to stop. */
  follow(wake: () => void): () => void {
    const { bus } = this
    const doubtful = () => {
      this.doubt()
      wake()
    }
    const portNews = ({ portId, networkId }: { portId: string; networkId: string }) => {
      if (!this.known) return doubtful()
      if (!this.known.has(networkId)) return
      this.changed.set(networkId, (this.changed.get(networkId) ?? new Set()).add(portId))
      wake()
    }
    this.hear = (networkId) => bus.subscribe(events.portChanged, portNews, networkId)
    this.listenTo([...(this.known?.keys() ?? [])])
    const stops = [
      bus.subscribe(events.networkChanged, doubtful),
      bus.subscribe(events.routerChanged, () => this.known?.size !== 0 && doubtful()),
    ]
    return () => {
      this.hear = undefined
      this.listenTo([])
      for (const stop of stops) stop()
    }
  }

  /** Answers whether any of these networks was not listened to before. */
  private listenTo(networkIds: string[]): boolean {
    for (const [id, stop] of this.heard) {
      if (networkIds.includes(id)) continue
      stop()
      this.heard.delete(id)
    }
    const { hear } = this
    const fresh = hear ? networkIds.filter((id) => !this.heard.has(id)) : []
    for (const id of fresh) this.heard.set(id, hear!(id))
    return fresh.length > 0
  }

  /** Events may have been missed: everything is asked for again. */
  doubt(): void {
    this.known = null
    this.changed.clear()
    this.doubted = true
  }

  async all(): Promise<DhcpNetwork[]> {
    for (const [networkId, portIds] of [...this.changed]) {
      this.changed.delete(networkId)
      await this.amend(networkId, [...portIds])
    }
    return [...(this.known ?? (await this.ask())).values()]
  }

  private async ask(): Promise<Map<string, DhcpNetwork>> {
    const ask = async () => {
      this.doubted = false
      const all = await this.bus.call(NETWORK_CONTROL, control.dhcpNetworks, { host: this.host })
      return new Map(all.map((network) => [network.segment.networkId, network]))
    }
    let networks = await ask()
    // what happened to the ports of a new one meanwhile was not heard
    while (this.listenTo([...networks.keys()])) networks = await ask()
    if (!this.doubted) this.known = networks
    return networks
  }

  private async amend(networkId: string, portIds: string[]): Promise<void> {
    const network = this.known?.get(networkId)
    if (!network) return
    const now = await this.bus.call(NETWORK_CONTROL, control.dhcpPorts, { networkId, portIds }).catch((error) => {
      this.doubt()
      throw error
    })
    const before = network.ports.filter((port) => portIds.includes(port.id))
    // with a port of the network's own (its router, its address service) more of it changes
    if ([...before, ...now].some((port) => port.deviceOwner.startsWith('network:'))) return this.doubt()
    const ports = [...network.ports.filter((port) => !portIds.includes(port.id)), ...now].sort(inOrder)
    if (this.known?.get(networkId) === network) this.known.set(networkId, { ...network, ports })
  }
}

/** The order of the host file. */
const inOrder = (a: DhcpPort, b: DhcpPort) => (a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id) ? -1 : 1)
