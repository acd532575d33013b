import { bring } from '../../drivers/iptables/plan.ts'
import type { AdvertisedLink } from '../../drivers/radv/driver.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { control, events, NETWORK_CONTROL, type RouterDetails, type RouterPort } from '../../network/rpc.ts'
import { contains, familyOf, networkOf } from './addresses.ts'
import { ensureOutside, INTEGRATION } from './bridges.ts'
import { FullLook } from './full-look.ts'
import { ensureInternalPorts } from './internal-port.ts'
import { floatingRulesOf, ownsRouterChain, rulesOf } from './l3-rules.ts'
import type { Context } from './machine.ts'
import { METADATA_PORT, namespaceOwner, qgOf, qrOf, routerNamespace } from './names.ts'
import { OutsideWatch } from './outside-watch.ts'
import { setRoutes } from './routes.ts'

const SYSCTLS = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.conf.all.arp_ignore': '1',
  'net.ipv4.conf.all.arp_announce': '2',
}

interface RouterState {
  routerId: string
  name: string
  interfaces: number
  gateway: string | null
  floatingIps: number
  notes: string[]
}

/** Routes between networks and to the outside: each router in its namespace qrouter-<router>, with translation of floating addresses and the metadata proxy. */
export class L3Agent {
  readonly reconciler: Reconciler
  private readonly context: Context
  private readonly watch: OutsideWatch
  private readonly stops: (() => void)[] = []
  /** What control was told of each router. */
  private readonly reported = new Map<string, string>()
  /** What each router was when it was built: while that stays, it is left alone. */
  private readonly built = new Map<string, string>()
  private readonly look: FullLook
  private wanted = ''
  private outside = ''
  private routers: RouterState[] = []

  constructor(context: Context) {
    this.context = context
    this.look = new FullLook(context.settings.everyMs)
    this.watch = new OutsideWatch(context)
    this.reconciler = new Reconciler({
      name: 'l3',
      everyMs: context.settings.everyMs,
      log: context.log,
      run: () => this.look.watching((full) => this.run(full)),
    })
  }

  start(): void {
    const { bus, machine } = this.context
    const wake = () => this.reconciler.wake()
    this.stops.push(
      machine.ovs.onInterface((event) => {
        if (event.kind !== 'resync' && event.port.type !== 'internal') return
        this.look.demand()
        wake()
      }),
      bus.subscribe(events.routerChanged, wake),
      bus.subscribe(events.networkChanged, wake),
    )
    this.watch.start()
    this.reconciler.start()
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0)) stop()
    await this.watch.stop()
    await this.reconciler.stop()
  }

  /** The next run looks at everything. */
  doubt(): void {
    this.look.demand()
  }

  status() {
    return { ...this.reconciler.status(), routers: this.routers }
  }

  private async run(full: boolean): Promise<string[]> {
    const { bus, settings } = this.context
    const { routers, external } = await bus.call(NETWORK_CONTROL, control.routers, { host: settings.host })
    const wanted = routers.filter((router) => router.adminUp)
    const changes: string[] = []
    const states: RouterState[] = []
    const failures: Error[] = []
    const ids = wanted.map((router) => router.id)
    // first: a host that comes back may hold routers that another has by now
    if (full || this.wanted !== ids.join()) changes.push(...(await this.retire(new Set(ids))))
    this.wanted = ids.join()
    for (const router of wanted) {
      const state: RouterState = {
        routerId: router.id,
        name: router.name,
        interfaces: router.interfaces.length,
        gateway: router.gateway?.addresses[0]?.address ?? null,
        floatingIps: router.floatingIps.length,
        notes: [],
      }
      states.push(state)
      try {
        const text = JSON.stringify({ ...router, awaited: false })
        if (!full && !router.awaited && this.built.get(router.id) === text) continue
        this.built.delete(router.id)
        changes.push(...(await this.route(router)))
        this.built.set(router.id, text)
      } catch (error) {
        // one router that cannot be built must not keep the others waiting
        state.notes.push((error as Error).message)
        failures.push(error as Error)
        await this.report(router, 'ERROR')
      }
    }
    this.routers = states
    this.watch.follow(wanted)
    if (full || this.outside !== JSON.stringify(external)) changes.push(...(await ensureOutside(this.context, external)))
    this.outside = JSON.stringify(external)
    if (failures.length) throw failures[0]
    return changes
  }

  private async route(router: RouterDetails): Promise<string[]> {
    const { machine, settings } = this.context
    const { netns, iptables, haproxy } = machine
    const namespace = routerNamespace(router.id)
    const changes: string[] = []
    if (await netns.ensureNamespace(namespace)) changes.push(`namespace ${namespace}`)
    changes.push(...(await this.forward(namespace)))

    // translation stands before the gateway does: nothing leaves with an address that has no way back
    if (Object.keys(await bring(iptables, namespace, 4, rulesOf(router), ownsRouterChain)).length)
      changes.push(`${namespace}: address translation`)
    changes.push(...(await this.attach(router, namespace)))
    changes.push(...(await setRoutes(netns, namespace, routesOf(router))))

    const proxied = await haproxy.ensure({
      kind: 'router',
      id: router.id,
      namespace,
      listen: [{ address: '0.0.0.0', port: METADATA_PORT }],
      socket: settings.metadataSocket,
    })
    if (proxied !== 'unchanged') changes.push(`metadata proxy of ${namespace} ${proxied}`)
    changes.push(...(await this.advertise(router, namespace)))
    await this.report(router, 'ACTIVE')
    return changes
  }

  /** Guests on IPv6 networks hear from their router what addresses they may give themselves, and that it is their way out. */
  private async advertise(router: RouterDetails, namespace: string): Promise<string[]> {
    const { radv } = this.context.machine
    const links = advertisedLinks(router)
    if (links.length === 0) {
      await radv.stop(router.id)
      return []
    }
    const outcome = await radv.ensure({ routerId: router.id, namespace, links })
    return outcome === 'unchanged' ? [] : [`advertisements of ${namespace} ${outcome}`]
  }

  private async forward(namespace: string): Promise<string[]> {
    const { netns } = this.context.machine
    const set = await netns.sysctl(namespace, Object.keys(SYSCTLS))
    const wrong = Object.entries(SYSCTLS).filter(([name, value]) => set[name] !== undefined && set[name] !== value)
    if (!wrong.length) return []
    await netns.setSysctl(namespace, Object.fromEntries(wrong))
    return [`${namespace}: forwarding on`]
  }

  /** Brings the ports up with their addresses and tells the neighbours of those that are new on them; connections to a floating address that left are cut. */
  private async attach(router: RouterDetails, namespace: string): Promise<string[]> {
    const { machine } = this.context
    const portOf = ({ id, macAddress, segment, addresses }: RouterPort, name: string, more: string[]) => ({
      portId: id,
      name,
      mac: macAddress,
      mtu: segment.mtu,
      addresses: [...addresses.map((each) => `${each.address}/${each.prefixLength}`), ...more],
    })
    const ports = router.interfaces.map((port) => portOf(port, qrOf(port.id), []))
    if (router.gateway)
      ports.push(
        portOf(
          router.gateway,
          qgOf(router.gateway.id),
          router.floatingIps.map((each) => `${each.floatingAddress}/32`),
        ),
      )
    const { changes, before, fresh } = await ensureInternalPorts(machine, namespace, ports, /^q[rg]-/)
    for (const { name, addresses } of ports) {
      const held = new Set(before.find((link) => link.name === name)?.addresses.map((each) => each.address))
      const now = new Set(addresses.map((text) => text.split('/')[0]!))
      for (const address of held)
        if (!now.has(address) && familyOf(address) === 4) await machine.iptables.cut(namespace, { destination: address })
      for (const address of now)
        if (familyOf(address) === 4 && (fresh.has(name) || !held.has(address))) this.announce(namespace, name, address)
    }
    return changes
  }

  /** Not waited for: it takes a second, and only tells those that remember something else. */
  private announce(namespace: string, dev: string, address: string): void {
    const { machine, log } = this.context
    machine.netns
      .announce(namespace, dev, address)
      .catch((error) => log.warn({ err: error, namespace, dev, address }, 'an address could not be announced'))
  }

  private async report(router: RouterDetails, status: 'ACTIVE' | 'ERROR'): Promise<void> {
    const { bus, settings } = this.context
    const floatingIps = router.floatingIps.map((each) => ({
      id: each.id,
      status,
      rules: status === 'ACTIVE' ? floatingRulesOf(router, each.floatingAddress) : [],
    }))
    const message = { host: settings.host, routerId: router.id, floatingIps }
    const text = JSON.stringify({ status, ...message })
    if (!router.awaited && this.reported.get(router.id) === text) return
    await bus.call(NETWORK_CONTROL, control.routerReady, message)
    this.reported.set(router.id, text)
  }

  private async retire(wanted: Set<string>): Promise<string[]> {
    const { netns, haproxy, radv, ovs } = this.context.machine
    const gone = (await netns.namespaces()).flatMap((name) => {
      const owner = namespaceOwner(name)
      return owner?.kind === 'router' && !wanted.has(owner.id) ? [owner.id] : []
    })
    for (const routerId of gone) {
      const namespace = routerNamespace(routerId)
      await haproxy.stop(routerId)
      await radv.stop(routerId)
      const devices = new Set((await netns.links(namespace)).map((link) => link.name))
      for (const port of await ovs.ports(INTEGRATION))
        if (port.type === 'internal' && devices.has(port.name)) await ovs.removePort(port.name)
      await netns.removeNamespace(namespace)
      this.reported.delete(routerId)
      this.built.delete(routerId)
    }
    return gone.map((routerId) => `router ${routerId} is no longer here`)
  }
}

const advertisedLinks = (router: RouterDetails): AdvertisedLink[] =>
  router.interfaces.flatMap(({ id, segment, addresses }) => {
    const prefixes = addresses.flatMap(({ address, prefixLength, advertised }) =>
      advertised ? [{ cidr: networkOf(`${address}/${prefixLength}`), ...advertised }] : [],
    )
    return prefixes.length > 0 ? [{ interface: qrOf(id), mtu: segment.mtu, prefixes }] : []
  })

/** Routes whose next hop is no neighbour (the gateway may have been taken from under them) wait until it is one: the kernel takes none of them. */
function routesOf(router: RouterDetails) {
  const own = [...router.interfaces, ...(router.gateway ? [router.gateway] : [])].flatMap((port) => port.addresses)
  const near = ({ nexthop }: { nexthop: string }) =>
    own.some((each) => contains(`${each.address}/${each.prefixLength}`, nexthop)) && !own.some((each) => each.address === nexthop)
  const gateways = router.gateway?.addresses.flatMap((each) => (each.gateway ? [each.gateway] : [])) ?? []
  const first = [4, 6].flatMap((family) => gateways.find((gateway) => familyOf(gateway) === family) ?? [])
  return [
    ...first.map((via) => ({ to: 'default', via })),
    ...router.routes.filter(near).map((route) => ({ to: route.destination, via: route.nexthop })),
  ]
}
