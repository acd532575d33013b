import type { Port } from '../../drivers/ovs/driver.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { control, type DeviceDetails, events, NETWORK_CONTROL } from '../../network/rpc.ts'
import { type Bridges, ensureBridges, INTEGRATION, TUNNEL } from './bridges.ts'
import { HybridFirewall } from './firewall/firewall.ts'
import { COOKIE, DEAD_VLAN, integrationFlows, isGuarded, type LocalNetwork, providerFlows } from './flows.ts'
import { FullLook } from './full-look.ts'
import { KnownDevices } from './known-devices.ts'
import type { Context } from './machine.ts'
import { LIMIT_IDS, qvbOf, qvoOf } from './names.ts'
import { tunnelFlows } from './tunnel-flows.ts'

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

const LAST_LOCAL_VLAN = 4094

/** The switch's side: gives each device on br-int the VLAN of its network, the flows and the firewall, and tells control when it is up. */
export class L2Agent {
  readonly reconciler: Reconciler
  private readonly context: Context
  private readonly firewall: HybridFirewall
  private readonly known: KnownDevices
  private readonly stops: (() => void)[] = []
  /** What control was told, by port id. */
  private readonly reported = new Map<string, string>()
  /** The device and limits that each port was prepared for. */
  private readonly prepared = new Map<string, string>()
  /** How each port was left by the last run: to be told of that is no news. */
  private readonly own = new Map<string, string>()
  /** The flows that each bridge was given. */
  private readonly given = new Map<string, string>()
  private readonly look: FullLook
  /** What the next run has to see to, beyond what it finds. */
  private news: 'all' | 'members' | 'none' = 'all'
  /** Guests' ports as the last run left them. */
  private guests: DeviceDetails[] = []
  private networks: LocalNetwork[] = []
  /** Of the other hosts, as control told. */
  private endpoints: { type: 'vxlan' | 'gre'; address: string }[] = []
  private doubtsEndpoints = true
  private wired: WiredDevice[] = []
  private unknown: string[] = []
  private notes: string[] = []

  constructor(context: Context) {
    this.context = context
    this.look = new FullLook(context.settings.everyMs)
    this.firewall = new HybridFirewall(context.machine.iptables)
    this.known = new KnownDevices(context.bus, context.settings.host)
    this.reconciler = new Reconciler({
      name: 'l2',
      everyMs: context.settings.everyMs,
      log: context.log,
      run: () => this.look.watching((full) => this.run(full)),
    })
  }

  start(): void {
    const { machine, bus } = this.context
    const wake = (news: 'all' | 'members' = 'all') => {
      if (this.news !== 'all') this.news = news
      this.reconciler.wake()
    }
    this.stops.push(
      machine.ovs.onInterface((event) => {
        if (event.kind === 'resync') this.look.demand()
        else if (event.kind === 'changed' && this.own.get(event.port.name) === wiringOf(event.port)) return
        if (event.kind === 'resync' || event.port.bridge === INTEGRATION || event.port.bridge === TUNNEL) wake()
      }),
      this.known.follow(wake, () => wake('members')),
      bus.subscribe(events.tunnelsChanged, () => {
        this.doubtsEndpoints = true
        wake()
      }),
    )
    this.reconciler.start()
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0)) stop()
    await this.reconciler.stop()
  }

  /** The next run looks at everything. */
  doubt(): void {
    this.look.demand()
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

  private async run(full: boolean): Promise<string[]> {
    const { machine, bus, settings } = this.context
    const regrouped = this.news === 'members' && !full
    this.news = 'none'
    if (regrouped) return await this.regroup()
    if (full) this.known.doubt()
    if (full || this.doubtsEndpoints) {
      this.doubtsEndpoints = false
      this.endpoints = await this.askEndpoints()
    }
    const bridges = await ensureBridges(this.context, this.endpoints)
    const ports = (await machine.ovs.ports(INTEGRATION)).filter((port) => port.externalIds['iface-id'])
    const details = await this.known.of(ports.map((port) => port.externalIds['iface-id']!))
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

    // the firewall and the checks of sender addresses stand before the device is let onto its network by its tag
    this.guests = live.filter(({ port, details: { portId } }) => port.name === qvoOf(portId)).map((each) => each.details)
    const guarded = live.filter((each) => isGuarded(each.details))
    const [rules, flows] = await Promise.all([this.guard(this.guests, full), this.setFlows(bridges, guarded, dead, full)])
    changes.push(...rules, ...flows)
    const gone = new Set<string>()
    const tags = await Promise.all([
      ...dead.map((port) => this.tag(port, DEAD_VLAN, gone)),
      ...live.map(({ port, details: { segment } }) => this.tag(port, vlanOf.get(segment.networkId)!, gone)),
    ])
    changes.push(...tags.flat())

    this.unknown = dead.map((port) => port.name)
    this.wired = live
      .filter(({ port }) => !gone.has(port.name))
      .map(({ port, details: { portId, segment }, ofport }) => ({
        portId,
        localVlan: vlanOf.get(segment.networkId)!,
        device: port.name,
        ofport,
      }))
    // a port that comes to belong to this host is told again: what was told before did not count
    const toTell = (device: WiredDevice) => JSON.stringify([device, details.get(device.portId)?.host])
    const up = this.wired.filter((device) => this.reported.get(device.portId) !== toTell(device))
    const names = new Set(ports.map((port) => port.name))
    for (const name of this.own.keys()) if (!names.has(name)) this.own.delete(name)
    const present = new Set(this.wired.map((device) => device.portId))
    const down = [...this.reported.keys()].filter((portId) => !present.has(portId))
    if (up.length) await bus.call(NETWORK_CONTROL, control.devicesUp, { host: settings.host, devices: up })
    for (const device of up) this.reported.set(device.portId, toTell(device))
    if (down.length) await bus.call(NETWORK_CONTROL, control.devicesDown, { host: settings.host, portIds: down })
    for (const portId of down) {
      this.reported.delete(portId)
      this.prepared.delete(portId)
    }
    return changes
  }

  /** Only who is in the groups has changed. */
  private async regroup(): Promise<string[]> {
    const joined = this.known.newMembers()
    return (joined && (await this.firewall.admit(joined))) ?? (await this.guard(this.guests, false))
  }

  private async guard(guests: DeviceDetails[], full: boolean): Promise<string[]> {
    return await this.firewall.apply(guests, await this.known.groupsOf(guests), full)
  }

  private async askEndpoints(): Promise<{ type: 'vxlan' | 'gre'; address: string }[]> {
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

  /** What is done once for a device that was not wired yet: checksums and limits. */
  private async prepare(port: Port, details: DeviceDetails): Promise<string[]> {
    const { portId } = details
    const bandwidth = limitsOn(port, details)
    const { ovs, netns } = this.context.machine
    const [qvo, qvb] = [qvoOf(portId), qvbOf(portId)]
    if (port.name !== qvo) return []
    // another number of the port is another device of the same name
    const now = JSON.stringify([port.ofport, bandwidth])
    const before = this.prepared.get(portId)
    if (before === now) return []
    const changes: string[] = []
    const untouched = before === undefined && (port.tag === undefined || port.tag === DEAD_VLAN)
    await Promise.all(
      [qvo, qvb].map(async (device) => {
        if (!untouched && !(await netns.checksumOffload(undefined, device))) return
        // a userspace switch passes on what the kernel left for hardware to fill in: every TCP connection would hang
        await netns.setChecksumOffload(undefined, device, false)
        changes.push(`checksum offload of ${device} off`)
      }),
    )
    const { ingressKbps, egressKbps } = bandwidth
    if (((await ovs.limit(qvo))?.rate ?? null) !== ingressKbps) {
      await ovs.setLimit(qvo, ingressKbps === null ? undefined : { rate: ingressKbps })
      changes.push(`${qvo}: ${inWords(ingressKbps)} to the guest`)
    }
    if (((untouched ? undefined : await netns.shape(undefined, qvb))?.rate ?? null) !== egressKbps) {
      await netns.setShape(undefined, qvb, egressKbps === null ? undefined : { kind: 'htb', rate: egressKbps })
      changes.push(`${qvb}: ${inWords(egressKbps)} from the guest`)
    }
    this.prepared.set(portId, now)
    return changes
  }

  private async setFlows(bridges: Bridges, guarded: Live[], dead: Port[], full: boolean): Promise<string[]> {
    const { flows } = this.context.machine.ovs
    const { networks } = this
    const neighbours = await this.known.neighboursOn(this.context.settings.tunnels.address ? tunnelledIds(networks) : [])
    const changes: string[] = []
    const set = async (bridge: string, wanted: string[]) => {
      const text = wanted.join('\n')
      if (!full && this.given.get(bridge) === text) return
      this.given.delete(bridge)
      const { added, removed } = await flows.replaceFlows(bridge, COOKIE, wanted)
      this.given.set(bridge, text)
      if (added || removed) changes.push(`${bridge}: ${added} flows set, ${removed} removed`)
    }
    // from the far bridges inwards: what has nowhere to go yet is dropped, not sent astray
    await Promise.all([
      ...bridges.providers.map((link) => set(link.bridge, providerFlows(link, networks))),
      set(TUNNEL, tunnelFlows({ patch: bridges.patch, networks, tunnels: bridges.tunnels, neighbours })),
    ])
    await set(
      INTEGRATION,
      integrationFlows({ networks, providers: bridges.providers, guarded, dead: dead.flatMap((port) => port.ofport ?? []) }),
    )
    return changes
  }

  /** Only the tag of a port that is there: one that was unplugged in the meantime must not come back. */
  private async tag(port: Port, vlan: number, gone: Set<string>): Promise<string[]> {
    this.own.set(port.name, wiringOf({ ...port, tag: vlan }))
    if (port.tag === vlan) return []
    try {
      await this.context.machine.ovs.setTag(port.name, vlan)
      return [`${port.name}: tag ${vlan}`]
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'NoSuchPort') throw error
      gone.add(port.name)
      return []
    }
  }
}

const tunnelledIds = (networks: LocalNetwork[]) =>
  networks.flatMap(({ segment: { networkId, networkType } }) => (networkType === 'vxlan' || networkType === 'gre' ? [networkId] : []))

const wiringOf = ({ ofport, tag, externalIds }: Port): string => `${ofport} ${tag} ${externalIds['iface-id']}`

/** What a QoS policy of the port and its guest's flavor allow: the lower of both. */
function limitsOn({ externalIds }: Port, { bandwidth }: DeviceDetails): DeviceDetails['bandwidth'] {
  const lower = (policy: number | null, flavor: string | undefined) =>
    flavor === undefined ? policy : Math.min(policy ?? Number.POSITIVE_INFINITY, Number(flavor))
  return {
    egressKbps: lower(bandwidth.egressKbps, externalIds[LIMIT_IDS.egress]),
    ingressKbps: lower(bandwidth.ingressKbps, externalIds[LIMIT_IDS.ingress]),
  }
}

const inWords = (kbps: number | null) => (kbps === null ? 'no limit' : `${kbps} kbit/s`)

/** Each network's VLAN on this host: the one its ports have in the switch's database, so that a restart changes none; a new network gets the lowest free one. */
function numbered(live: Live[]): LocalNetwork[] {
  const networks = new Map<string, LocalNetwork>()
  const taken = new Set<number>()
  for (const { port, details } of live) {
    const { tag } = port
    const { segment } = details
    if (tag === undefined || tag === DEAD_VLAN || taken.has(tag) || networks.has(segment.networkId)) continue
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
