import { existsSync } from 'node:fs'
import { Fault } from '../../kernel/errors/errors.ts'
import { noteCommand } from '../../kernel/trace/trace.ts'
import type { Bridge, BridgeSpec, DatapathType, InterfaceEvent, Limit, Ovs, Port, PortSpec } from './driver.ts'
import { OfctlFlows } from './openflow.ts'
import { mapOf, named, type Operation, optional, reference, setOf, TransactionError } from './ovsdb.ts'
import type { PortRow, Replica } from './replica.ts'
import { Session } from './session.ts'
import { noBridge, noPort, portFailed, portName, portTimeout, vlan } from './words.ts'

/** Another client may change the same rows between our look and our transaction; a few new looks are enough. */
const ATTEMPTS = 3
const ADDRESS_MS = 1_000

/** Open vSwitch of this machine. Give it the directory that holds db.sock, /run/openvswitch as a rule. */
export class OvsdbOvs implements Ovs {
  readonly flows: OfctlFlows
  private readonly session: Session

  constructor(rundir = '/run/openvswitch') {
    this.session = new Session(rundir)
    this.flows = new OfctlFlows(rundir)
  }

  async ensureBridge(name: string, spec: BridgeSpec): Promise<void> {
    portName(name)
    await this.change((replica) => {
      const bridge = replica.bridges().find((each) => each.name === name)
      const device = replica.ports().get(name)
      if (bridge && device) {
        const row = {
          ...(bridge.datapathType === spec.datapathType ? {} : { datapath_type: spec.datapathType }),
          ...(spec.failMode === undefined || bridge.failMode === spec.failMode ? {} : { fail_mode: spec.failMode }),
        }
        const operations = [
          ...update('Bridge', bridge.uuid, row),
          ...addToMap('Bridge', bridge.uuid, 'external_ids', bridge.externalIds, spec.externalIds),
          ...(spec.mtu === undefined || device.mtuRequest === spec.mtu
            ? []
            : update('Interface', device.interface, { mtu_request: spec.mtu })),
        ]
        return { what: `set-br ${name} ${words(spec)}`, operations }
      }
      const operations: Operation[] = [
        { op: 'insert', table: 'Interface', 'uuid-name': 'device', row: { name, type: 'internal', mtu_request: optional(spec.mtu) } },
        { op: 'insert', table: 'Port', 'uuid-name': 'port', row: { name, interfaces: named('device') } },
        {
          op: 'insert',
          table: 'Bridge',
          'uuid-name': 'bridge',
          row: {
            name,
            ports: named('port'),
            datapath_type: spec.datapathType,
            fail_mode: optional(spec.failMode),
            external_ids: mapOf(spec.externalIds ?? {}),
          },
        },
        { op: 'mutate', table: 'Open_vSwitch', where: [], mutations: [['bridges', 'insert', setOf([named('bridge')])]] },
      ]
      return { what: `add-br ${name} ${words(spec)}`, operations, fresh: true }
    }, name)
  }

  async removeBridge(name: string): Promise<void> {
    portName(name)
    await this.change((replica) => {
      const bridge = replica.bridges().find((each) => each.name === name)
      if (!bridge) return undefined
      const limits = [...replica.ports().values()].filter((port) => port.bridge.uuid === bridge.uuid).flatMap(withoutLimit)
      return {
        what: `del-br ${name}`,
        operations: [
          ...limits,
          { op: 'mutate', table: 'Open_vSwitch', where: [], mutations: [['bridges', 'delete', setOf([reference(bridge.uuid)])]] },
        ],
      }
    })
  }

  async bridges(): Promise<Bridge[]> {
    const replica = await this.session.current()
    return replica
      .bridges()
      .map(({ name, datapathType, failMode, externalIds }) => ({ name, datapathType, ...(failMode && { failMode }), externalIds }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async ensurePort(bridgeName: string, name: string, spec: PortSpec = {}): Promise<Port> {
    portName(name)
    if (spec.tag !== undefined) vlan(spec.tag)
    const type = spec.type ?? 'system'
    await this.change((replica) => {
      const bridge = replica.bridges().find((each) => each.name === bridgeName)
      if (!bridge) throw noBridge(bridgeName)
      const there = replica.ports().get(name)
      const text = `${bridgeName} ${name} ${words(spec)}`
      if (there)
        return {
          what: there.bridge === bridge || there.bridge.uuid === bridge.uuid ? `set-port ${text}` : `move-port ${text}`,
          operations: adapt(there, bridge.uuid, spec),
        }
      const device = {
        name,
        type: type === 'system' ? '' : type,
        options: mapOf(spec.options ?? {}),
        external_ids: mapOf(spec.externalIds ?? {}),
        mac: optional(spec.mac),
        mtu_request: optional(spec.mtu),
      }
      const operations: Operation[] = [
        { op: 'insert', table: 'Interface', 'uuid-name': 'device', row: device },
        { op: 'insert', table: 'Port', 'uuid-name': 'port', row: { name, interfaces: named('device'), tag: optional(spec.tag) } },
        { op: 'mutate', table: 'Bridge', where: is(bridge.uuid), mutations: [['ports', 'insert', setOf([named('port')])]] },
      ]
      return { what: `add-port ${text}`, operations, fresh: true }
    }, name)
    return found(this.session.replica, name).seen
  }

  async removePort(name: string): Promise<void> {
    portName(name)
    await this.change((replica) => {
      const port = replica.ports().get(name)
      if (!port || port.bridge.name === name) return undefined
      return { what: `del-port ${port.bridge.name} ${name}`, operations: [...withoutLimit(port), takeOff(port)] }
    })
  }

  async setTag(name: string, tag: number | undefined): Promise<void> {
    if (tag !== undefined) vlan(tag)
    await this.change((replica) => {
      const port = found(replica, name)
      const operations = port.seen.tag === tag ? [] : update('Port', port.uuid, { tag: optional(tag) })
      return { what: `set-port ${port.bridge.name} ${name} tag=${tag ?? '-'}`, operations }
    })
  }

  async ports(bridge?: string): Promise<Port[]> {
    const replica = await this.session.current()
    if (bridge !== undefined && !replica.bridges().some((each) => each.name === bridge)) throw noBridge(bridge)
    return [...replica.ports().values()]
      .map(({ seen }) => seen)
      .filter((port) => port.name !== port.bridge && (bridge === undefined || port.bridge === bridge))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async waitForPort(name: string, condition: (port: Port | undefined) => boolean, timeoutMs: number): Promise<Port | undefined> {
    await this.session.current()
    const look = () => this.session.replica.ports().get(name)?.seen
    if (await this.session.until(() => condition(look()), timeoutMs)) return look()
    throw portTimeout(name, timeoutMs, look())
  }

  onInterface(listener: (event: InterfaceEvent) => void): () => void {
    return this.session.listen(listener)
  }

  async limit(name: string): Promise<Limit | undefined> {
    return found(await this.session.current(), name).limit
  }

  async setLimit(name: string, limit: Limit | undefined): Promise<void> {
    await this.change((replica) => {
      const port = found(replica, name)
      if (!limit) return { what: `clear-qos ${name}`, operations: withoutLimit(port) }
      const burst = limit.burst ?? Math.ceil(limit.rate / 10)
      if (port.limit?.rate === limit.rate && port.limit.burst === burst) return undefined
      const config = { 'max-rate': String(limit.rate * 1000), burst: String(burst * 1000) }
      const operations: Operation[] = [
        ...withoutLimit(port),
        { op: 'insert', table: 'Queue', 'uuid-name': 'queue', row: { other_config: mapOf(config) } },
        {
          op: 'insert',
          table: 'QoS',
          'uuid-name': 'qos',
          row: { type: 'linux-htb', queues: ['map', [[0, named('queue')]]], other_config: mapOf({ 'max-rate': config['max-rate'] }) },
        },
        ...update('Port', port.uuid, { qos: named('qos') }),
      ]
      return { what: `set-qos ${name} linux-htb rate=${limit.rate}kbit burst=${burst}kbit`, operations }
    })
  }

  async version(): Promise<string> {
    return (await this.session.current()).root.version ?? 'unknown'
  }

  async datapathTypes(): Promise<DatapathType[]> {
    const { datapathTypes } = (await this.session.current()).root
    // The switch lists `system` also where the kernel has no such datapath.
    return (['system', 'netdev'] as const).filter(
      (type) => datapathTypes.includes(type) && (type === 'netdev' || existsSync('/sys/module/openvswitch')),
    )
  }

  close(): void {
    this.session.close()
  }

  /**
   * Looks, decides, and carries it out as one transaction; looks again when another client was quicker. Nothing is sent where there is nothing to do.
   * With `device` it then makes sure that the switch took that device up; what was `fresh` is taken away again if it could not.
   */
  private async change(
    decide: (replica: Replica) => { what: string; operations: Operation[]; fresh?: boolean } | undefined,
    device?: string,
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const decision = decide(await this.session.current())
      const pending = device !== undefined && this.session.replica.ports().get(device)?.seen.ofport === undefined
      if (!decision || (decision.operations.length === 0 && !pending)) return
      const started = performance.now()
      try {
        await this.session.commit(decision.operations)
      } catch (error) {
        if (error instanceof TransactionError && error.reason === 'constraint violation' && attempt < ATTEMPTS) continue
        throw error instanceof TransactionError ? new Fault(503, error.code, `${decision.what}: ${error.message}`) : error
      }
      const row = () => (device === undefined ? undefined : this.session.replica.ports().get(device))
      if (decision.fresh) await this.session.until(() => hasItsAddress(row()), ADDRESS_MS)
      const seen = row()?.seen
      if (decision.operations.length > 0)
        noteCommand({
          what: `ovsdb: ${decision.what}`,
          ms: performance.now() - started,
          output: seen?.ofport === undefined ? '' : `ofport ${seen.ofport}`,
        })
      if (device === undefined || seen?.ofport !== undefined) return
      if (decision.fresh) await (seen?.bridge === device ? this.removeBridge(device) : this.removePort(device))
      throw portFailed(device, seen?.error)
    }
  }
}

/** The switch reports an address that it was asked to set a moment after the port. */
const hasItsAddress = (row: PortRow | undefined): boolean =>
  row?.macRequest === undefined || row.seen.ofport === undefined || row.seen.mac === row.macRequest.toLowerCase()

function found(replica: Replica, name: string): PortRow {
  const port = replica.ports().get(name)
  if (!port) throw noPort(name)
  return port
}

/** What makes a port that is there the wanted one. */
function adapt(there: PortRow, bridge: string, spec: PortSpec): Operation[] {
  const { seen } = there
  const type = spec.type ?? 'system'
  const device = {
    ...(seen.type === type ? {} : { type: type === 'system' ? '' : type }),
    ...(spec.options === undefined || sameMap(seen.options, spec.options) ? {} : { options: mapOf(spec.options) }),
    ...(spec.mac === undefined || there.macRequest === spec.mac ? {} : { mac: spec.mac }),
    ...(spec.mtu === undefined || there.mtuRequest === spec.mtu ? {} : { mtu_request: spec.mtu }),
  }
  return [
    ...(there.bridge.uuid === bridge
      ? []
      : [
          takeOff(there),
          { op: 'mutate', table: 'Bridge', where: is(bridge), mutations: [['ports', 'insert', setOf([reference(there.uuid)])]] },
        ]),
    ...update('Interface', there.interface, device),
    ...addToMap('Interface', there.interface, 'external_ids', seen.externalIds, spec.externalIds),
    ...(spec.tag === undefined || spec.tag === seen.tag ? [] : update('Port', there.uuid, { tag: spec.tag })),
  ]
}

const takeOff = (port: PortRow): Operation => ({
  op: 'mutate',
  table: 'Bridge',
  where: is(port.bridge.uuid),
  mutations: [['ports', 'delete', setOf([reference(port.uuid)])]],
})

/** QoS and Queue rows stay when nothing refers to them any more, so they are removed by name. */
const withoutLimit = (port: PortRow): Operation[] =>
  port.qos === undefined
    ? []
    : [
        ...update('Port', port.uuid, { qos: setOf([]) }),
        { op: 'delete', table: 'QoS', where: is(port.qos) },
        ...port.queues.map((queue) => ({ op: 'delete', table: 'Queue', where: is(queue) })),
      ]

const is = (uuid: string): unknown => [['_uuid', '==', reference(uuid)]]

const update = (table: string, uuid: string, row: Record<string, unknown>): Operation[] =>
  Object.keys(row).length === 0 ? [] : [{ op: 'update', table, where: is(uuid), row }]

function addToMap(
  table: string,
  uuid: string,
  column: string,
  there: Record<string, string>,
  wanted: Record<string, string> = {},
): Operation[] {
  const missing = Object.fromEntries(Object.entries(wanted).filter(([key, value]) => there[key] !== value))
  if (Object.keys(missing).length === 0) return []
  // An insert leaves keys that are there as they are.
  const mutations = [
    [column, 'delete', setOf(Object.keys(missing))],
    [column, 'insert', mapOf(missing)],
  ]
  return [{ op: 'mutate', table, where: is(uuid), mutations }]
}

const sameMap = (a: Record<string, string>, b: Record<string, string>): boolean =>
  Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([key, value]) => b[key] === value)

/** A specification as one would type it. */
function words(spec: BridgeSpec | PortSpec): string {
  return Object.entries(spec)
    .filter(([, value]) => value !== undefined)
    .flatMap(([key, value]) =>
      typeof value === 'object' ? Object.entries(value).map(([name, each]) => `${key}:${name}=${each}`) : [`${key}=${value}`],
    )
    .join(' ')
}
