import type { Port } from '../../drivers/ovs/driver.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { control, type DeviceDetails, events, NETWORK_CONTROL } from '../../network/rpc.ts'
import { type Bridges, ensureBridges, INTEGRATION, TUNNEL } from './bridges.ts'
import { HybridFirewall } from './firewall/firewall.ts'
import { COOKIE, DEAD_VLAN, integrationFlows, isGuarded, type LocalNetwork, providerFlows, tunnelFlows } from './flows.ts'
import type { Context } from './machine.ts'
import { qvbOf, qvoOf } from './names.ts'

interface WiredDevice {
  portId: string
  localVlan: number
  device: string
  ofport: number
}

/** A device that control knows and that may be heard. */
interface Live {
  port: Port
  details: DeviceDetails
  ofport: number
}

/** Ports are asked for in parts of this size. */
const AT_ONCE = 200
const LAST_LOCAL_VLAN = 4094
/** Where a port remembers which network its tag stands for. */
const NETWORK_ID = 'net-uuid'

/** The switch's side: gives each device on br-int the VLAN of its network, the flows and the firewall, and tells control when it is up. */
export class L2Agent {
  readonly reconciler: Reconciler
  private readonly context: Context
  private readonly firewall: HybridFirewall
  private readonly stops: (() => void)[] = []
  /** What control was told, by port id. */
  private readonly reported = new Map<string, string>()
  private readonly shaped = new Map<string, string>()
  private networks: LocalNetwork[] = []
  private wired: WiredDevice[] = []
  private unknown: string[] = []
  private notes: string[] = []

  constructor(context: Context) {
    this.context = context
    this.firewall = new HybridFirewall(context.machine.iptables)
    this.reconciler = new Reconciler({ name: 'l2', everyMs: context.settings.everyMs, log: context.log, run: () => this.run() })
  }

  start(): void {
    const { bus, machine } = this.context
    const wake = () => this.reconciler.wake()
    this.stops.push(
      machine.ovs.onInterface((event) => {
        if (event.kind === 'resync' || event.port.bridge === INTEGRATION || event.port.bridge === TUNNEL) wake()
      }),
      bus.subscribe(events.portChanged, wake),
      bus.subscribe(events.networkChanged, wake),
      bus.subscribe(events.securityGroupChanged, wake),
    )
    this.reconciler.start()
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0)) stop()
    await this.reconciler.stop()
  }

  status() {
    return {
      ...this.reconciler.status(),
      localVlans: Object.fromEntries(this.networks.map(({ vlan, segment }) => [segment.networkId, vlan])),
      devices: this.wired,
      unknown: this.unknown,
      notes: this.notes,
    }
  }

  private async run(): Promise<string[]> {
    const { machine, bus, settings } = this.context
    const bridges = await ensureBridges(this.context, await this.endpoints())
    const ports = (await machine.ovs.ports(INTEGRATION)).filter((port) => port.externalIds['iface-id'])
    const details = await this.details(ports.map((port) => port.externalIds['iface-id']!))
    const changes = [...bridges.changes]
    const live: Live[] = []
    this.notes = []
    for (const port of ports) {
      const known = details.get(port.externalIds['iface-id']!)
      if (!known?.adminUp || port.ofport === undefined) continue
      try {
        changes.push(...(await this.prepare(port, known)))
        live.push({ port, details: known, ofport: port.ofport })
      } catch (error) {
        // one device that is half plugged must not keep the others waiting
        this.notes.push(`${port.name}: ${(error as Error).message}`)
      }
    }
    const alive = new Set(live.map(({ port }) => port.name))
    const dead = ports.filter((port) => !alive.has(port.name))
    this.networks = numbered(live)
    const vlanOf = new Map(this.networks.map(({ vlan, segment }) => [segment.networkId, vlan]))

    // the firewall and the checks of sender addresses stand before the device is let onto its network
    changes.push(
      ...(await this.firewall.apply(
        live.filter(({ port, details: { portId } }) => port.name === qvoOf(portId)).map((each) => each.details),
      )),
    )
    changes.push(
      ...(await this.setFlows(
        bridges,
        live.filter((each) => isGuarded(each.details)),
        dead,
      )),
    )
    for (const port of dead) changes.push(...(await this.tag(port, DEAD_VLAN)))
    for (const { port, details: known } of live)
      changes.push(...(await this.tag(port, vlanOf.get(known.segment.networkId)!, known.segment.networkId)))

    this.unknown = dead.map((port) => port.name)
    this.wired = live.map(({ port, details: { portId, segment }, ofport }) => ({
      portId,
      localVlan: vlanOf.get(segment.networkId)!,
      device: port.name,
      ofport,
    }))
    const up = this.wired.filter((device) => this.reported.get(device.portId) !== JSON.stringify(device))
    const present = new Set(this.wired.map((device) => device.portId))
    const down = [...this.reported.keys()].filter((portId) => !present.has(portId))
    if (up.length) await bus.call(NETWORK_CONTROL, control.devicesUp, { host: settings.host, devices: up })
    for (const device of up) this.reported.set(device.portId, JSON.stringify(device))
    if (down.length) await bus.call(NETWORK_CONTROL, control.devicesDown, { host: settings.host, portIds: down })
    for (const portId of down) {
      this.reported.delete(portId)
      this.shaped.delete(portId)
    }
    return changes
  }

  private async endpoints(): Promise<{ type: 'vxlan' | 'gre'; address: string }[]> {
    const { bus, settings } = this.context
    const { address, types } = settings.tunnels
    if (!address) return []
    const found = await Promise.all(
      types.map(async (type) =>
        (await bus.call(NETWORK_CONTROL, control.tunnelEndpoints, { host: settings.host, type, address }))
          .filter((each) => each.host !== settings.host && each.address !== address)
          .map((each) => ({ type, address: each.address })),
      ),
    )
    return found.flat()
  }

  private async details(portIds: string[]): Promise<Map<string, DeviceDetails>> {
    const { bus, settings } = this.context
    const found = new Map<string, DeviceDetails>()
    for (let i = 0; i < portIds.length; i += AT_ONCE)
      for (const each of await bus.call(NETWORK_CONTROL, control.deviceDetails, {
        host: settings.host,
        portIds: portIds.slice(i, i + AT_ONCE),
      }))
        found.set(each.portId, each)
    return found
  }

  /** What is done once for a device that was not wired yet: checksums and limits. */
  private async prepare(port: Port, { portId, bandwidth }: DeviceDetails): Promise<string[]> {
    const { ovs, netns } = this.context.machine
    if (port.name !== qvoOf(portId)) return []
    const limits = JSON.stringify(bandwidth)
    const before = this.shaped.get(portId)
    if (before === limits) return []
    const changes: string[] = []
    if (before === undefined)
      for (const device of [port.name, qvbOf(portId)])
        if (await netns.checksumOffload(undefined, device)) {
          // a userspace switch passes on what the kernel left for hardware to fill in: every TCP connection would hang
          await netns.setChecksumOffload(undefined, device, false)
          changes.push(`checksum offload of ${device} off`)
        }
    const { ingressKbps, egressKbps } = bandwidth
    if (((await ovs.limit(port.name))?.rate ?? null) !== ingressKbps) {
      await ovs.setLimit(port.name, ingressKbps === null ? undefined : { rate: ingressKbps })
      changes.push(`${port.name}: ${ingressKbps === null ? 'no limit' : `${ingressKbps} kbit/s`} to the guest`)
    }
    if (((await netns.shape(undefined, qvbOf(portId)))?.rate ?? null) !== egressKbps) {
      await netns.setShape(undefined, qvbOf(portId), egressKbps === null ? undefined : { kind: 'htb', rate: egressKbps })
      changes.push(`${qvbOf(portId)}: ${egressKbps === null ? 'no limit' : `${egressKbps} kbit/s`} from the guest`)
    }
    this.shaped.set(portId, limits)
    return changes
  }

  private async setFlows(bridges: Bridges, guarded: Live[], dead: Port[]): Promise<string[]> {
    const { flows } = this.context.machine.ovs
    const { networks } = this
    const all: [string, string[]][] = [
      // from the far bridges inwards: what has nowhere to go yet is dropped, not sent astray
      ...bridges.providers.map((link): [string, string[]] => [link.bridge, providerFlows(link, networks)]),
      [TUNNEL, tunnelFlows({ patch: bridges.patch, networks, tunnels: bridges.tunnels })],
      [INTEGRATION, integrationFlows({ networks, providers: bridges.providers, guarded, dead: dead.flatMap((port) => port.ofport ?? []) })],
    ]
    const changes: string[] = []
    for (const [bridge, wanted] of all) {
      const { added, removed } = await flows.replaceFlows(bridge, COOKIE, wanted)
      if (added || removed) changes.push(`${bridge}: ${added} flows set, ${removed} removed`)
    }
    return changes
  }

  private async tag(port: Port, vlan: number, networkId?: string): Promise<string[]> {
    if (port.tag === vlan && (networkId === undefined || port.externalIds[NETWORK_ID] === networkId)) return []
    await this.context.machine.ovs.ensurePort(INTEGRATION, port.name, {
      type: port.type as 'system' | 'internal',
      tag: vlan,
      ...(networkId === undefined ? {} : { externalIds: { [NETWORK_ID]: networkId } }),
    })
    return [`${port.name}: tag ${vlan}`]
  }
}

/** Each network's VLAN on this host: the one its ports have in the switch's database, so that a restart changes none; a new network gets the lowest free one. */
function numbered(live: Live[]): LocalNetwork[] {
  const networks = new Map<string, LocalNetwork>()
  const taken = new Set<number>()
  for (const { port, details } of live) {
    const { tag } = port
    const { segment } = details
    if (
      tag === undefined ||
      tag === DEAD_VLAN ||
      taken.has(tag) ||
      networks.has(segment.networkId) ||
      port.externalIds[NETWORK_ID] !== segment.networkId
    )
      continue
    networks.set(segment.networkId, { vlan: tag, segment })
    taken.add(tag)
  }
  for (const { details } of live) {
    if (networks.has(details.segment.networkId)) continue
    let vlan = 1
    while (taken.has(vlan) && vlan < LAST_LOCAL_VLAN) vlan++
    taken.add(vlan)
    networks.set(details.segment.networkId, { vlan, segment: details.segment })
  }
  return [...networks.values()].sort((a, b) => a.vlan - b.vlan)
}
