import { badRequest } from '../../kernel/errors/errors.ts'
import { noteCommand } from '../../kernel/trace/trace.ts'
import type { SimulatedNetNs } from '../netns/simulated.ts'
import { remembered } from '../remembered.ts'
import type { BridgeSpec, DatapathType, Flow, Flows, InterfaceEvent, Limit, Ovs, Port, PortSpec } from './driver.ts'
import { cookieText, noBridge, noPort, oneLine, parseFlow, portFailed, portName, portTimeout, vlan } from './words.ts'

type StoredFlow = NonNullable<ReturnType<typeof parseFlow>>

interface World {
  bridges: Record<
    string,
    {
      datapathType: DatapathType
      failMode?: 'secure' | 'standalone'
      externalIds: Record<string, string>
      mtu?: number
      nextOfport: number
      flows: StoredFlow[]
    }
  >
  ports: Record<string, Port & { macRequest?: string; limit?: Limit }>
}

export interface SimulatedOvsOptions {
  /** Where a simulated switch is kept that outlives the process. */
  file?: string
  /** The machine whose devices it plugs: internal ports appear there, and a system port whose device is not there fails. Without it every device exists. */
  netns?: SimulatedNetNs
  /** Default both. */
  datapathTypes?: DatapathType[]
}

/** The twin of Open vSwitch; what tests may do to it besides. */
export interface SimulatedOvs extends Ovs {
  /** How many calls changed something so far: equal before and after a run that had nothing to do. */
  changes(): number
  /** What a restart of ovs-vswitchd does: flows are gone, internal ports of the userspace datapath are made anew in the machine's own namespace, listeners hear of it. */
  restart(): Promise<void>
}

const PATIENCE_STEP_MS = 5

export function simulatedOvs(options: SimulatedOvsOptions = {}): SimulatedOvs {
  const memory = remembered<World>(options.file, { bridges: {}, ports: {} })
  const world = memory.state
  const datapathTypes = options.datapathTypes ?? ['system', 'netdev']
  const listeners = new Set<(event: InterfaceEvent) => void>()
  let changes = 0
  let lookedAt = -1

  const tell = (event: InterfaceEvent) => {
    for (const listener of listeners) listener(event)
  }

  function changed(what: string | undefined, event?: InterfaceEvent): void {
    changes++
    memory.save()
    if (what) noteCommand({ what: `ovsdb: ${what}`, ms: 0 })
    if (event) tell(event)
  }

  function bridge(name: string) {
    const found = world.bridges[portName(name)]
    if (!found) throw noBridge(name)
    return found
  }

  function port(name: string) {
    const found = world.ports[name]
    if (!found) throw noPort(name)
    return found
  }

  const shown = ({ macRequest: _, limit: __, ...seen }: World['ports'][string]): Port => ({
    ...seen,
    externalIds: { ...seen.externalIds },
    options: { ...seen.options },
  })

  function makeDevice(name: string, datapathType: DatapathType, mac?: string): void {
    options.netns?.addLink(name, datapathType === 'netdev' ? 'tun' : 'openvswitch', { mac })
  }

  /** A device that came or went changes its port, as the switch itself notices: the port stays, without an address. */
  async function lookAtDevices(): Promise<void> {
    const { netns } = options
    if (!netns || netns.version() === lookedAt) return
    lookedAt = netns.version()
    const devices = new Map((await netns.links()).map((link) => [link.name, link.mac]))
    for (const each of Object.values(world.ports)) {
      const mac = devices.get(each.name)
      if (each.type !== 'system' || each.mac === mac) continue
      if (mac === undefined) delete each.mac
      else each.mac = mac
      changed(undefined, { kind: 'changed', port: shown(each) })
    }
  }

  function drop(name: string): void {
    const gone = world.ports[name]!
    if (gone.type === 'internal') options.netns?.dropLink(name)
    delete world.ports[name]
    changed(`del-port ${gone.bridge} ${name}`, { kind: 'removed', port: shown(gone) })
  }

  function wanted(name: string, spec: PortSpec): Port & { macRequest?: string } {
    const there = world.ports[name]
    const type = spec.type ?? 'system'
    const mac = spec.mac ?? there?.macRequest
    const tag = spec.tag ?? there?.tag
    return {
      ...there,
      name,
      bridge: '',
      type,
      externalIds: { ...there?.externalIds, ...spec.externalIds },
      options: spec.options ?? there?.options ?? {},
      ...(tag !== undefined && { tag }),
      ...(mac !== undefined && { macRequest: mac, mac }),
      ...(spec.mtu !== undefined && { mtu: spec.mtu }),
    }
  }

  const flows: Flows = {
    async replaceFlows(name, cookie, texts) {
      const mark = cookieText(cookie)
      const held = bridge(name)
      const known = new Map(held.flows.map((flow) => [flow.raw, flow]))
      const flowOf = (line: string) => known.get(line) ?? parse(line)
      const wanted = new Map(texts.map((text) => flowOf(`cookie=${mark},${oneLine(text)}`)).map((flow) => [identity(flow), flow]))
      const there = new Map(held.flows.map((flow) => [identity(flow), flow]))
      const added = [...wanted].filter(([key, flow]) => !same(there.get(key), flow))
      const removed = [...there].filter(([key, flow]) => flow.cookie === mark && !wanted.has(key))
      for (const [key] of removed) there.delete(key)
      for (const [key, flow] of added) there.set(key, flow)
      if (added.length + removed.length > 0) {
        held.flows = [...there.values()]
        changed(undefined)
      }
      return { added: added.length, removed: removed.length }
    },
    async addFlows(name, texts) {
      const held = bridge(name)
      const fresh = texts.map((text) => parse(oneLine(text)))
      if (fresh.length === 0) return
      held.flows = [...new Map([...held.flows, ...fresh].map((flow) => [identity(flow), flow])).values()]
      changed(undefined)
    },
    async deleteFlows(name, match) {
      const held = bridge(name)
      const covers = covering(oneLine(match))
      const left = held.flows.filter((flow) => !covers(flow))
      if (left.length === held.flows.length) return
      held.flows = left
      changed(undefined)
    },
    async dumpFlows(name) {
      return bridge(name)
        .flows.map(({ timeouts: _, ...flow }): Flow => structuredClone(flow))
        .sort((a, b) => a.table - b.table || b.priority - a.priority)
    },
  }

  return {
    flows,
    changes: () => changes,

    async ensureBridge(name: string, spec: BridgeSpec) {
      portName(name)
      if (!datapathTypes.includes(spec.datapathType)) throw portFailed(name)
      const there = world.bridges[name]
      const { nextOfport = 1, flows = [] } = there ?? {}
      const settings = {
        datapathType: spec.datapathType,
        failMode: spec.failMode ?? there?.failMode,
        externalIds: { ...there?.externalIds, ...spec.externalIds },
        mtu: spec.mtu ?? there?.mtu,
      }
      const { nextOfport: _, flows: __, ...before } = there ?? { nextOfport, flows }
      if (there && JSON.stringify(sorted(settings)) === JSON.stringify(sorted(before))) return
      world.bridges[name] = { ...settings, nextOfport, flows }
      if (!there) makeDevice(name, spec.datapathType)
      changed(`${there ? 'set-br' : 'add-br'} ${name}`)
    },
    async removeBridge(name) {
      if (!world.bridges[portName(name)]) return
      for (const each of Object.values(world.ports)) if (each.bridge === name) drop(each.name)
      delete world.bridges[name]
      options.netns?.dropLink(name)
      changed(`del-br ${name}`)
    },
    async bridges() {
      return Object.entries(world.bridges)
        .map(([name, { datapathType, failMode, externalIds }]) => ({
          name,
          datapathType,
          ...(failMode && { failMode }),
          externalIds: { ...externalIds },
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    },

    async ensurePort(bridgeName, name, spec = {}) {
      portName(name)
      if (spec.tag !== undefined) vlan(spec.tag)
      const on = bridge(bridgeName)
      await lookAtDevices()
      const there = world.ports[name]
      const next = { ...wanted(name, spec), bridge: bridgeName }
      if (next.type === 'system' && options.netns && there?.mac === undefined) {
        const device = options.netns.device(name)
        if (!device) throw portFailed(name, `could not open network device ${name} (No such device)`)
        Object.assign(next, { mac: device.mac, mtu: spec.mtu ?? device.mtu })
      }
      if (there && JSON.stringify(sorted(next)) === JSON.stringify(sorted(there))) return shown(there)
      if (there?.bridge !== bridgeName) next.ofport = on.nextOfport++
      if (there?.type === 'internal' && next.type !== 'internal') options.netns?.dropLink(name)
      if (next.type === 'internal' && there?.type !== 'internal') makeDevice(name, on.datapathType, spec.mac)
      world.ports[name] = next
      const tag = spec.tag === undefined ? '' : ` tag=${spec.tag}`
      changed(`${there ? 'set-port' : 'add-port'} ${bridgeName} ${name}${tag}`, { kind: there ? 'changed' : 'added', port: shown(next) })
      return shown(next)
    },
    async removePort(name) {
      if (world.ports[portName(name)]) drop(name)
    },
    async setTag(name, tag) {
      if (tag !== undefined) vlan(tag)
      const each = port(name)
      if (each.tag === tag) return
      if (tag === undefined) delete each.tag
      else each.tag = tag
      changed(`set-port ${each.bridge} ${name} tag=${tag ?? '-'}`, { kind: 'changed', port: shown(each) })
    },
    async ports(bridgeName) {
      if (bridgeName !== undefined) bridge(bridgeName)
      await lookAtDevices()
      return Object.values(world.ports)
        .filter((each) => bridgeName === undefined || each.bridge === bridgeName)
        .map(shown)
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    },
    async waitForPort(name, condition, timeoutMs) {
      const end = performance.now() + timeoutMs
      for (;;) {
        await lookAtDevices()
        const there = world.ports[name]
        const seen = there && shown(there)
        if (condition(seen)) return seen
        if (performance.now() > end) throw portTimeout(name, timeoutMs, seen)
        await new Promise((resolve) => setTimeout(resolve, PATIENCE_STEP_MS))
      }
    },
    onInterface(listener) {
      listeners.add(listener)
      queueMicrotask(() => listeners.has(listener) && listener({ kind: 'resync', why: 'listening begins' }))
      return () => listeners.delete(listener)
    },

    limit: async (name) => structuredClone(port(name).limit),
    async setLimit(name, limit) {
      const each = port(name)
      const next = limit && { rate: limit.rate, burst: limit.burst ?? Math.ceil(limit.rate / 10) }
      if (each.limit?.rate === next?.rate && each.limit?.burst === next?.burst) return
      if (next) each.limit = next
      else delete each.limit
      changed(next ? `set-qos ${name} linux-htb rate=${next.rate}kbit burst=${next.burst}kbit` : `clear-qos ${name}`)
    },

    version: async () => 'simulated',
    datapathTypes: async () => [...datapathTypes],
    async restart() {
      for (const each of Object.values(world.bridges)) each.flows = []
      for (const each of Object.values(world.ports)) {
        const { datapathType } = world.bridges[each.bridge]!
        if (each.type !== 'internal' || datapathType !== 'netdev') continue
        options.netns?.dropLink(each.name)
        makeDevice(each.name, datapathType, each.macRequest)
      }
      changed(undefined, { kind: 'resync', why: 'ovs-vswitchd was started again' })
    },
    close: () => listeners.clear(),
  }
}

function parse(text: string): StoredFlow {
  const flow = parseFlow(text)
  if (!flow || flow.actions === '') throw badRequest(`the switch refuses the flow '${text}': must specify an action`, 'BadFlow')
  return { ...flow, match: flow.match.sort() }
}

const identity = (flow: StoredFlow): string => `${flow.table} ${flow.priority} ${flow.match.join(',')}`
const same = (a: StoredFlow | undefined, b: StoredFlow): boolean =>
  a !== undefined && a.cookie === b.cookie && a.actions === b.actions && a.timeouts === b.timeouts

/** Whether a flow has all the fields that a match asks for. */
function covering(text: string): (flow: StoredFlow) => boolean {
  const asked = parseFlow(`${text.replace(/\bcookie=[^\s,]*/, '')} actions=any`)!
  const cookie = /(?:^|[\s,])cookie=(\w+)(?:\/(-?\w+))?/.exec(text)
  const mask = BigInt.asUintN(64, BigInt(cookie?.[2] ?? -1))
  const inTable = /(?:^|[\s,])table=/.test(text)
  return (flow) =>
    (!inTable || flow.table === asked.table) &&
    (!cookie || (BigInt(flow.cookie) & mask) === (BigInt(cookie[1]!) & mask)) &&
    asked.match.every((field) => flow.match.includes(field))
}

const sorted = (record: object): unknown =>
  Object.entries(record)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
