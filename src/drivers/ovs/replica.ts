import type { DatapathType, Limit, Port } from './driver.ts'
import { decode, type Row, type TableUpdates, type Uuid, type Value } from './ovsdb.ts'

/** The columns that are followed. */
export const MONITORED = {
  Open_vSwitch: { columns: ['bridges', 'cur_cfg', 'next_cfg', 'ovs_version', 'datapath_types'] },
  Bridge: { columns: ['name', 'ports', 'datapath_type', 'fail_mode', 'external_ids'] },
  Port: { columns: ['name', 'interfaces', 'tag', 'qos'] },
  Interface: {
    columns: ['name', 'type', 'ofport', 'options', 'external_ids', 'mac', 'mac_in_use', 'mtu', 'mtu_request', 'link_state', 'error'],
  },
  QoS: { columns: ['type', 'queues', 'other_config'] },
  Queue: { columns: ['other_config'] },
}

export interface BridgeRow {
  uuid: string
  name: string
  datapathType: DatapathType
  failMode?: 'secure' | 'standalone'
  externalIds: Record<string, string>
  ports: string[]
}

export interface PortRow {
  uuid: string
  bridge: BridgeRow
  interface: string
  /** As asked for, not as it is. */
  macRequest?: string
  mtuRequest?: number
  qos?: string
  queues: string[]
  limit?: Limit
  seen: Port
}

/** The database's rows as its monitor reports them, and what they mean. */
export class Replica {
  private tables = new Map<string, Map<string, Row>>()

  load(everything: TableUpdates): void {
    this.tables = new Map()
    this.apply(everything)
  }

  apply(updates: TableUpdates): void {
    for (const [name, rows] of Object.entries(updates)) {
      const table = this.table(name)
      for (const [uuid, change] of Object.entries(rows)) {
        if (change.new) table.set(uuid, Object.fromEntries(Object.entries(change.new).map(([column, value]) => [column, decode(value)])))
        else table.delete(uuid)
      }
    }
  }

  get root(): { uuid: string; currentConfig: number; version?: string; datapathTypes: string[] } {
    const [uuid, row] = [...this.table('Open_vSwitch')][0]!
    return {
      uuid,
      currentConfig: row.cur_cfg as number,
      version: one(row.ovs_version) as string | undefined,
      datapathTypes: many(row.datapath_types) as string[],
    }
  }

  bridges(): BridgeRow[] {
    return [...this.table('Bridge')].map(([uuid, row]) => ({
      uuid,
      name: row.name as string,
      datapathType: row.datapath_type === 'netdev' ? 'netdev' : 'system',
      failMode: one(row.fail_mode) as BridgeRow['failMode'],
      externalIds: record(row.external_ids),
      ports: many(row.ports).map((port) => (port as Uuid).uuid),
    }))
  }

  /** By name, the bridges' own devices included. */
  ports(): Map<string, PortRow> {
    const found = new Map<string, PortRow>()
    for (const bridge of this.bridges()) {
      for (const uuid of bridge.ports) {
        const row = this.port(uuid, bridge)
        if (row) found.set(row.seen.name, row)
      }
    }
    return found
  }

  private port(uuid: string, bridge: BridgeRow): PortRow | undefined {
    const port = this.table('Port').get(uuid)
    const reference = (one(port?.interfaces) as Uuid | undefined)?.uuid
    const device = reference && this.table('Interface').get(reference)
    if (!port || !reference || !device) return undefined
    const ofport = one(device.ofport) as number | undefined
    const linkState = one(device.link_state)
    const qos = (one(port.qos) as Uuid | undefined)?.uuid
    const queues = (qos ? this.table('QoS').get(qos)?.queues : undefined) as Map<number, Uuid> | undefined
    return {
      uuid,
      bridge,
      interface: reference,
      macRequest: one(device.mac) as string | undefined,
      mtuRequest: one(device.mtu_request) as number | undefined,
      qos,
      queues: [...(queues?.values() ?? [])].map((queue) => queue.uuid),
      limit: qos && queues ? this.limit(qos, queues) : undefined,
      seen: {
        name: port.name as string,
        bridge: bridge.name,
        ...given('tag', one(port.tag) as number | undefined),
        type: (device.type as string) || 'system',
        ...given('ofport', ofport !== undefined && ofport > 0 ? ofport : undefined),
        externalIds: record(device.external_ids),
        options: record(device.options),
        ...given('mac', one(device.mac_in_use) as string | undefined),
        ...given('mtu', one(device.mtu) as number | undefined),
        ...given('up', linkState === undefined ? undefined : linkState === 'up'),
        ...given('error', one(device.error) as string | undefined),
      },
    }
  }

  private limit(qos: string, queues: Map<number, Uuid>): Limit | undefined {
    const rate = record(this.table('QoS').get(qos)?.other_config)['max-rate']
    const queue = queues.get(0)
    const burst = queue && record(this.table('Queue').get(queue.uuid)?.other_config).burst
    return rate === undefined
      ? undefined
      : { rate: Number(rate) / 1000, ...given('burst', burst === undefined ? undefined : Number(burst) / 1000) }
  }

  private table(name: string): Map<string, Row> {
    const table = this.tables.get(name) ?? new Map<string, Row>()
    this.tables.set(name, table)
    return table
  }
}

/** A set as an array: the wire has a set of one as the value itself. */
const many = (value: Value | undefined): Value[] => (value === undefined ? [] : Array.isArray(value) ? value : [value])
const one = (value: Value | undefined): Value | undefined => many(value)[0]
const record = (value: Value | undefined): Record<string, string> => Object.fromEntries((value as Map<string, string> | undefined) ?? [])
const given = <K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } =>
  value === undefined ? {} : ({ [key]: value } as { [P in K]?: V })
