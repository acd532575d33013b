import type { DhcpEvent, DhcpHost, DhcpOption, DhcpService } from '../../drivers/dnsmasq/driver.ts'
import { optionLine } from '../../drivers/dnsmasq/files.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { control, type DhcpNetwork, type DhcpPort, NETWORK_CONTROL, type SubnetDetails } from '../../network/rpc.ts'
import { familyOf } from './addresses.ts'
import { INTEGRATION } from './bridges.ts'
import { FullLook } from './full-look.ts'
import { ensureInternalPorts } from './internal-port.ts'
import type { Context } from './machine.ts'
import { dhcpNamespace, METADATA_ADDRESS, namespaceOwner, tapOf } from './names.ts'
import { setDefaultRoutes } from './routes.ts'
import { ServedNetworks } from './served-networks.ts'

/** Serves addresses, names and, where no router does, metadata to the networks of this host: each in its namespace qdhcp-<network>. */
export class DhcpAgent {
  readonly reconciler: Reconciler
  private readonly context: Context
  private readonly stops: (() => void)[] = []
  /** Ports that control knows to be in the host file, by network. */
  private readonly ready = new Map<string, Set<string>>()
  /** When a guest began to ask, by network and MAC: ms since the epoch. */
  private readonly asking = new Map<string, number>()
  /** What each network was when its place was made, but for its ports: while that stays, only the server's files are seen to. */
  private readonly built = new Map<string, string>()
  private readonly look: FullLook
  private wanted = ''
  private readonly networks: ServedNetworks
  private served: { networkId: string; ports: number; notes: string[] }[] = []

  constructor(context: Context) {
    this.context = context
    this.networks = new ServedNetworks(context.bus, context.settings.host)
    this.look = new FullLook(context.settings.everyMs)
    this.reconciler = new Reconciler({
      name: 'dhcp',
      everyMs: context.settings.everyMs,
      log: context.log,
      run: () => this.look.watching((full) => this.run(full)),
    })
  }

  start(): void {
    const { machine } = this.context
    const wake = () => this.reconciler.wake()
    this.stops.push(
      machine.ovs.onInterface((event) => {
        if (event.kind !== 'resync' && event.port.type !== 'internal') return
        this.look.demand()
        wake()
      }),
      machine.dnsmasq.follow((event) => this.hear(event)),
      this.networks.follow(wake),
    )
    this.reconciler.start()
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0)) stop()
    await this.reconciler.stop()
    await this.context.machine.dnsmasq.close()
  }

  /** The next run looks at everything. */
  doubt(): void {
    this.look.demand()
  }

  status() {
    return { ...this.reconciler.status(), networks: this.served }
  }

  private async run(full: boolean): Promise<string[]> {
    if (full) this.networks.doubt()
    const networks = (await this.networks.all()).filter(isServed)
    const served: typeof this.served = []
    const changes: string[] = []
    const failures: Error[] = []
    for (const network of networks) {
      try {
        const { changed, notes } = await this.serve(network, full)
        changes.push(...changed)
        served.push({ networkId: network.segment.networkId, ports: network.ports.length, notes })
      } catch (error) {
        // one network that cannot be served must not keep the others waiting
        served.push({ networkId: network.segment.networkId, ports: network.ports.length, notes: [(error as Error).message] })
        failures.push(error as Error)
      }
    }
    this.served = served
    const wanted = networks.map((network) => network.segment.networkId)
    if (full || this.wanted !== wanted.join()) changes.push(...(await this.retire(new Set(wanted))))
    this.wanted = wanted.join()
    if (failures.length) throw failures[0]
    return changes
  }

  private async serve(network: DhcpNetwork, full: boolean): Promise<{ changed: string[]; notes: string[] }> {
    const { machine, settings, bus } = this.context
    const { networkId } = network.segment
    const changed: string[] = []
    const place = JSON.stringify({ ...network, ports: [] })
    const build = full || this.built.get(networkId) !== place
    this.built.delete(networkId)
    if (build) changed.push(...(await this.build(network)))
    const { service, notes } = serviceOf(network, settings)
    const outcome = await machine.dnsmasq.ensure(service)
    if (outcome !== 'unchanged') changed.push(`dnsmasq of ${networkId} ${outcome}`)
    if (build) changed.push(...(await this.proxy(network)))
    this.built.set(networkId, place)

    const before = this.ready.get(networkId)
    const now = new Set(network.ports.map((port) => port.id))
    const fresh = [...now].filter((id) => !before?.has(id))
    if (fresh.length)
      await bus.call(NETWORK_CONTROL, control.dhcpReady, {
        host: settings.host,
        networkId,
        portIds: fresh,
        hostFile: machine.dnsmasq.hostFile(networkId),
      })
    this.ready.set(networkId, now)
    return { changed, notes }
  }

  /** The namespace with its device, addresses and routes. */
  private async build({ segment, dhcpPort, subnets, isolated }: DhcpNetwork): Promise<string[]> {
    const { machine } = this.context
    const namespace = dhcpNamespace(segment.networkId)
    const changed = (await machine.netns.ensureNamespace(namespace)) ? [`namespace ${namespace}`] : []
    const addresses = dhcpPort!.fixedIps.flatMap(({ subnetId, address }) => {
      const subnet = subnets.find((each) => each.id === subnetId)
      return subnet ? [`${address}/${subnet.cidr.split('/')[1]}`] : []
    })
    const metadata = isolated ? [`${METADATA_ADDRESS}/32`] : []
    const port = {
      portId: dhcpPort!.id,
      name: tapOf(dhcpPort!.id),
      mac: dhcpPort!.macAddress,
      mtu: segment.mtu,
      addresses: [...addresses, ...metadata],
    }
    const plugged = await ensureInternalPorts(machine, namespace, [port], /^tap/)
    const gateways = subnets.flatMap((subnet) => (subnet.gateway && subnet.enableDhcp ? [subnet.gateway] : []))
    return [...changed, ...plugged.changes, ...(await setDefaultRoutes(machine.netns, namespace, gateways))]
  }

  /** Where no router is, the namespace answers for the metadata service. */
  private async proxy({ segment: { networkId }, isolated }: DhcpNetwork): Promise<string[]> {
    const { machine, settings } = this.context
    if (isolated) {
      const listen = [{ address: METADATA_ADDRESS, port: 80 }]
      const outcome = await machine.haproxy.ensure({
        kind: 'network',
        id: networkId,
        namespace: dhcpNamespace(networkId),
        listen,
        socket: settings.metadataSocket,
      })
      return outcome === 'unchanged' ? [] : [`metadata proxy of ${networkId} ${outcome}`]
    }
    if (!(await machine.haproxy.list()).some((proxy) => proxy.id === networkId)) return []
    await machine.haproxy.stop(networkId)
    return [`metadata proxy of ${networkId} stopped`]
  }

  /** Takes down what no network asks for any more. */
  private async retire(wanted: Set<string>): Promise<string[]> {
    const { netns, dnsmasq, haproxy, ovs } = this.context.machine
    const namespaces = (await netns.namespaces()).flatMap((name) => {
      const owner = namespaceOwner(name)
      return owner?.kind === 'network' && !wanted.has(owner.id) ? [owner.id] : []
    })
    const servers = (await dnsmasq.list()).flatMap(({ networkId }) => (wanted.has(networkId) ? [] : [networkId]))
    const gone = new Set([...namespaces, ...servers])
    for (const networkId of gone) {
      const namespace = dhcpNamespace(networkId)
      await dnsmasq.stop(networkId)
      await haproxy.stop(networkId)
      if (namespaces.includes(networkId)) {
        const devices = new Set((await netns.links(namespace)).map((link) => link.name))
        for (const port of await ovs.ports(INTEGRATION))
          if (port.type === 'internal' && devices.has(port.name)) await ovs.removePort(port.name)
        await netns.removeNamespace(namespace)
      }
      this.ready.delete(networkId)
      this.built.delete(networkId)
    }
    return [...gone].map((networkId) => `network ${networkId} is no longer served`)
  }

  /** Step 38, seen where it happens: the server's own word that a guest has its address. */
  private hear({ networkId, kind, mac, address, line, at }: DhcpEvent): void {
    const { bus, settings, log } = this.context
    const key = `${networkId} ${mac}`
    if (kind === 'DHCPDISCOVER' || (kind === 'DHCPREQUEST' && !this.asking.has(key))) this.asking.set(key, at)
    if (kind !== 'DHCPACK' || !address) return
    const startedAt = this.asking.get(key) ?? null
    this.asking.delete(key)
    bus
      .call(NETWORK_CONTROL, control.leaseSeen, { host: settings.host, networkId, macAddress: mac, address, line, at, startedAt })
      .catch((error) => log.warn({ err: error, networkId, mac }, 'a lease could not be reported'))
  }
}

const isServed = (network: DhcpNetwork) => network.dhcpPort !== null && network.subnets.some((subnet) => subnet.enableDhcp)

const hosts = new WeakMap<DhcpPort, { served: string; host: DhcpHost | undefined }>()

/** With those of its addresses that are in `served` subnets (ids between commas). The same description of a port is the same host. */
function hostOf(port: DhcpPort, served: string): DhcpHost | undefined {
  const known = hosts.get(port)
  if (known?.served === served) return known.host
  const addresses = port.fixedIps.flatMap(({ subnetId, address }) => (served.includes(`,${subnetId},`) ? [address] : []))
  const [first] = addresses
  const host = first === undefined ? undefined : { portId: port.id, mac: port.macAddress, name: nameOf(port.hostname, first), addresses }
  hosts.set(port, { served, host })
  return host
}

/** The network in dnsmasq's terms. Options that cannot be written are left out and noted, so that one port's mistake is not the network's. */
export function serviceOf(
  network: DhcpNetwork,
  settings: { dnsDomain: string; upstreamDns: string[] },
): { service: DhcpService; notes: string[] } {
  const notes: string[] = []
  const subnets = network.subnets.filter((subnet) => subnet.enableDhcp)
  const served = `,${subnets.map((subnet) => subnet.id).join(',')},`
  const own = network.dhcpPort!.fixedIps
  const hosts: DhcpHost[] = []
  const extra: DhcpOption[] = []
  for (const port of network.ports) {
    const host = hostOf(port, served)
    if (host) hosts.push(host)
    for (const { name, value, ipVersion } of port.extraDhcpOptions) {
      const option: DhcpOption = { for: { portId: port.id }, family: ipVersion, option: name, values: [value] }
      try {
        optionLine(option)
        extra.push(option)
      } catch (error) {
        notes.push(`port ${port.id}: ${(error as Error).message}`)
      }
    }
  }
  return {
    notes,
    service: {
      networkId: network.segment.networkId,
      namespace: dhcpNamespace(network.segment.networkId),
      interface: tapOf(network.dhcpPort!.id),
      domain: network.dnsDomain || settings.dnsDomain,
      subnets: subnets.map(({ id, cidr }) => ({ id, cidr })),
      hosts,
      options: [
        ...subnets.flatMap((subnet) => subnetOptions(subnet, own.find((each) => each.subnetId === subnet.id)?.address, network.isolated)),
        ...extra,
      ],
      upstreamDns: settings.upstreamDns,
      mtu: network.segment.mtu,
    },
  }
}

function subnetOptions(subnet: SubnetDetails, server: string | undefined, isolated: boolean): DhcpOption[] {
  const family = subnet.ipVersion
  const of = (option: string | number, values: string[]): DhcpOption => ({ for: { subnetId: subnet.id }, family, option, values })
  const dns = subnet.dnsNameservers.length ? subnet.dnsNameservers : server ? [server] : []
  if (family === 6)
    return dns.length
      ? [
          of(
            'dns-server',
            dns.map((address) => `[${address}]`),
          ),
        ]
      : []
  const routes = [
    ...(isolated && server ? [{ destination: `${METADATA_ADDRESS}/32`, nexthop: server }] : []),
    ...subnet.hostRoutes.filter((route) => familyOf(route.nexthop) === 4),
  ]
  // a client that takes classless routes ignores the router option (RFC 3442)
  const all = routes.length && subnet.gateway ? [...routes, { destination: '0.0.0.0/0', nexthop: subnet.gateway }] : routes
  const words = all.flatMap((route) => [route.destination, route.nexthop])
  return [
    ...(dns.length ? [of('dns-server', dns)] : []),
    ...(words.length ? [of('classless-static-route', words), of(249, words)] : []),
    // without a value: dnsmasq would name itself as the router
    of('router', subnet.gateway ? [subnet.gateway] : []),
  ]
}

const nameOf = (hostname: string, address: string) =>
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(hostname) ? hostname : `host-${address.replace(/[.:]+/g, '-').replace(/^-|-$/g, '')}`
