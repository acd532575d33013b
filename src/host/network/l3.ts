import { bring } from '../../drivers/iptables/plan.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { control, type ExternalNetwork, events, NETWORK_CONTROL, type RouterDetails, type RouterPort } from '../../network/rpc.ts'
import { familyOf } from './addresses.ts'
import { ensureOutside, INTEGRATION } from './bridges.ts'
import { ensureInternalPort } from './internal-port.ts'
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
  private routers: RouterState[] = []

  constructor(context: Context) {
    this.context = context
    this.watch = new OutsideWatch(context)
    this.reconciler = new Reconciler({ name: 'l3', everyMs: context.settings.everyMs, log: context.log, run: () => this.run() })
  }

  start(): void {
    const { bus, machine } = this.context
    const wake = () => this.reconciler.wake()
    this.stops.push(
      machine.ovs.onInterface((event) => {
        if (event.kind === 'resync' || event.port.type === 'internal') wake()
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

  status() {
    return { ...this.reconciler.status(), routers: this.routers }
  }

  private async run(): Promise<string[]> {
    const { bus, settings } = this.context
    const { routers, external } = await bus.call(NETWORK_CONTROL, control.routers, { host: settings.host })
    const wanted = routers.filter((router) => router.adminUp)
    const changes: string[] = []
    const states: RouterState[] = []
    const failures: Error[] = []
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
        changes.push(...(await this.route(router)))
      } catch (error) {
        // one router that cannot be built must not keep the others waiting
        state.notes.push((error as Error).message)
        failures.push(error as Error)
        await this.report(router, 'ERROR')
      }
    }
    this.routers = states
    this.watch.follow(wanted)
    changes.push(
      ...(await this.retire(new Set(wanted.map((router) => router.id)))),
      ...(await ensureOutside(this.context, external as ExternalNetwork[])),
    )
    if (failures.length) throw failures[0]
    return changes
  }

  private async route(router: RouterDetails): Promise<string[]> {
    const { machine, settings } = this.context
    const { netns, iptables, haproxy } = machine
    const namespace = routerNamespace(router.id)
    const changes: string[] = []
    if (await netns.ensureNamespace(namespace)) changes.push(`namespace ${namespace}`)
    const set = await netns.sysctl(namespace, Object.keys(SYSCTLS))
    const wrong = Object.entries(SYSCTLS).filter(([name, value]) => set[name] !== undefined && set[name] !== value)
    if (wrong.length) {
      await netns.setSysctl(namespace, Object.fromEntries(wrong))
      changes.push(`${namespace}: forwarding on`)
    }

    // translation stands before the gateway does: nothing leaves with an address that has no way back
    if (Object.keys(await bring(iptables, namespace, 4, rulesOf(router), ownsRouterChain)).length)
      changes.push(`${namespace}: address translation`)
    const floating = router.floatingIps.map((each) => `${each.floatingAddress}/32`)
    const ports = [
      ...router.interfaces.map((port) => ({ port, name: qrOf(port.id), more: [] as string[] })),
      ...(router.gateway ? [{ port: router.gateway, name: qgOf(router.gateway.id), more: floating }] : []),
    ]
    const names = new Set(ports.map(({ name }) => name))
    for (const { name } of await netns.links(namespace))
      if (/^q[rg]-/.test(name) && !names.has(name)) {
        await machine.ovs.removePort(name)
        changes.push(`port ${name} removed`)
      }
    for (const { port, name, more } of ports) changes.push(...(await this.attach(namespace, port, name, more)))
    changes.push(...(await setRoutes(netns, namespace, routesOf(router))))

    const proxied = await haproxy.ensure({
      kind: 'router',
      id: router.id,
      namespace,
      listen: [{ address: '0.0.0.0', port: METADATA_PORT }],
      socket: settings.metadataSocket,
    })
    if (proxied !== 'unchanged') changes.push(`metadata proxy of ${namespace} ${proxied}`)
    await this.report(router, 'ACTIVE')
    return changes
  }

  /** Brings a port up with its addresses and tells the neighbours of those that are new on it; connections to a floating address that left are cut. */
  private async attach(namespace: string, port: RouterPort, name: string, more: string[]): Promise<string[]> {
    const { machine } = this.context
    const before = new Set((await machine.netns.links(namespace)).find((link) => link.name === name)?.addresses.map((each) => each.address))
    const addresses = [...port.addresses.map((each) => `${each.address}/${each.prefixLength}`), ...more]
    const changes = await ensureInternalPort(machine, {
      portId: port.id,
      name,
      mac: port.macAddress,
      mtu: port.segment.mtu,
      namespace,
      addresses,
    })
    const now = new Set(addresses.map((text) => text.split('/')[0]!))
    for (const address of before)
      if (!now.has(address) && familyOf(address) === 4) await machine.iptables.cut(namespace, { destination: address })
    const fresh = [...now].filter(
      (address) => familyOf(address) === 4 && (!before.has(address) || changes.some((change) => change.includes(' into '))),
    )
    for (const address of fresh) this.announce(namespace, name, address)
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
    if (this.reported.get(router.id) === text) return
    await bus.call(NETWORK_CONTROL, control.routerReady, message)
    this.reported.set(router.id, text)
  }

  private async retire(wanted: Set<string>): Promise<string[]> {
    const { netns, haproxy, ovs } = this.context.machine
    const gone = (await netns.namespaces()).flatMap((name) => {
      const owner = namespaceOwner(name)
      return owner?.kind === 'router' && !wanted.has(owner.id) ? [owner.id] : []
    })
    for (const routerId of gone) {
      const namespace = routerNamespace(routerId)
      await haproxy.stop(routerId)
      const devices = new Set((await netns.links(namespace)).map((link) => link.name))
      for (const port of await ovs.ports(INTEGRATION))
        if (port.type === 'internal' && devices.has(port.name)) await ovs.removePort(port.name)
      await netns.removeNamespace(namespace)
      this.reported.delete(routerId)
    }
    return gone.map((routerId) => `router ${routerId} is no longer here`)
  }
}

function routesOf(router: RouterDetails) {
  const gateways = router.gateway?.addresses.flatMap((each) => (each.gateway ? [each.gateway] : [])) ?? []
  const first = [4, 6].flatMap((family) => gateways.find((gateway) => familyOf(gateway) === family) ?? [])
  return [...first.map((via) => ({ to: 'default', via })), ...router.routes.map((route) => ({ to: route.destination, via: route.nexthop }))]
}
