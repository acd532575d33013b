import type { Kysely } from 'kysely'
import { fromJson } from '../../../kernel/db/columns.ts'
import { prepared, preparedFor } from '../../../kernel/db/prepared.ts'
import type { Candidates } from '../../../placement/client.ts'
import type { ComputeTables, HostRow } from '../../db/tables.ts'
import type { HostState } from '../../rpc.ts'
import { type Aggregate, listAggregates, zoneOfHost } from '../aggregate.ts'
import type { ComputeContext } from '../context.ts'
import type { RequestSpec } from './request-spec.ts'

/** A host as filters and weighers see it. */
export interface Candidate {
  host: string
  node: string
  providerId: string
  state: HostState
  enabled: boolean
  disabledReason: string | null
  up: boolean
  /** s since it was heard of. */
  silentS: number
  zone: string
  aggregates: Aggregate[]
  /** By placement's books, overcommit included; null: placement has no room on it, and `lacks` says of what. */
  fits: boolean
  free: { vcpus: number; memoryMiB: number; diskGiB: number }
  servers: number
  /** Servers being built, resized, snapshotted: I/O heavy. */
  ioOps: number
  /** Servers of the request's group here. */
  groupMembers: number
  /** Ids of servers that hints name and that live here. */
  hinted: string[]
}

export const isUp = (context: ComputeContext, row: Pick<HostRow, 'forced_down' | 'seen_at'>): boolean =>
  !row.forced_down && Date.now() - Date.parse(row.seen_at) < context.settings.serviceDownMs

const HEAVY = [
  'scheduling',
  'networking',
  'block_device_mapping',
  'spawning',
  'resize_migrating',
  'rebuild_spawning',
  'image_uploading',
  'image_snapshot',
]
const parsed = new WeakMap<HostRow, HostState>()
const latest = new Map<string, HostRow>()

/** Reports are parsed once, however often they are looked at. */
export function stateOf(row: HostRow): HostState {
  const known = latest.get(row.host)
  const same = known && known.state_json === row.state_json ? known : row
  if (same === row) latest.set(row.host, row)
  const state = parsed.get(same) ?? fromJson<HostState>(row.state_json)
  parsed.set(same, state)
  return state
}

/** A cloud of so many hosts is looked at as a whole. */
const FEW = 50
/** In a larger one a decision looks at so many that have room, drawn by lot. */
export const DRAWN = 10
/** When none of them will do at so many more, and only then at all. */
export const DRAWN_AGAIN = [80, 640]

export interface Gathered {
  hosts: Candidate[]
  /** How many there are; among many, how many there were lately. */
  total: number
  /** These are not all. */
  drawn: boolean
}

/**
 * Step 12: the hosts' own reports, the aggregates, what lives where, and placement's room, in a handful of queries whatever their number. `draw`: how many
 * of them.
 */
export async function gatherHosts(context: ComputeContext, spec: RequestSpec, draw: number | 'all' = DRAWN): Promise<Gathered> {
  const { database, placement } = context
  const hosts = database.db.selectFrom('hosts').selectAll().orderBy('number')
  const { resources } = spec
  if (draw === 'all' || !(await areMany(context))) {
    const [rows, room] = await Promise.all([hosts.execute(), placement.candidates({ resources })])
    return { total: rows.length, drawn: false, hosts: await lookAt(context, spec, rows, room) }
  }
  const total = await countHosts(context)
  const named = await namedHosts(context, spec)
  if (named) {
    const rows = await hosts.where('host', 'in', named).execute()
    const rooms = await Promise.all(rows.map((row) => placement.candidates({ resources, inTree: row.provider_id })))
    const summaries = Object.assign({}, ...rooms.map((room) => room.summaries))
    return { total, drawn: true, hosts: await lookAt(context, spec, rows, { requests: rooms.flatMap((room) => room.requests), summaries }) }
  }
  const room = await placement.candidates({ resources, limit: draw })
  const rows = await hostsOfProviders(database.db, Object.keys(room.summaries))
  return { total, drawn: true, hosts: await lookAt(context, spec, rows, room) }
}

/** By their own reports alone: placement had room on them when they were drawn. */
export async function theseHosts(context: ComputeContext, spec: RequestSpec, names: string[]): Promise<Candidate[]> {
  const rows = await context.database.db.selectFrom('hosts').selectAll().where('host', 'in', names).orderBy('number').execute()
  return await lookAt(context, spec, rows, { requests: [], summaries: {} })
}

const afterFew = prepared((db: Kysely<ComputeTables>) => db.selectFrom('hosts').select('host').orderBy('host').limit(1).offset(FEW))
const areMany = async ({ database: { db } }: ComputeContext): Promise<boolean> => (await afterFew(db, {})).rows.length > 0

const hostsOfProviders: (db: Kysely<ComputeTables>, ids: string[]) => Promise<HostRow[]> = preparedFor((db: Kysely<ComputeTables>, ids) =>
  db.selectFrom('hosts').selectAll().where('provider_id', 'in', ids).orderBy('number'),
)

/** ms for which a number of hosts is remembered: it is told, and decides nothing. */
const COUNTED_MS = 5_000
const counted = new WeakMap<ComputeContext, { at: number; count: number }>()

async function countHosts(context: ComputeContext): Promise<number> {
  const known = counted.get(context)
  if (known && performance.now() - known.at < COUNTED_MS) return known.count
  const { count } = await context.database.db
    .selectFrom('hosts')
    .select((eb) => eb.fn.count<number>('host').as('count'))
    .executeTakeFirstOrThrow()
  counted.set(context, { at: performance.now(), count: Number(count) })
  return Number(count)
}

/** The few that alone may have it: one that was named, those of an affinity group. Null for any. */
async function namedHosts(context: ComputeContext, { forcedHost, group, serverId }: RequestSpec): Promise<string[] | null> {
  if (forcedHost) return [forcedHost]
  if (group?.policy !== 'affinity') return null
  const members = (await serversAt(context, 'group_id', [group.id])).filter((one) => one.id !== serverId)
  return members.length > 0 ? [...new Set(members.map((one) => one.host!))] : null
}

async function lookAt(
  context: ComputeContext,
  spec: RequestSpec,
  rows: HostRow[],
  { summaries, requests }: Candidates,
): Promise<Candidate[]> {
  if (rows.length === 0) return []
  const { db } = context.database
  const few = rows.length <= DRAWN_AGAIN[0]! ? rows.map((row) => row.host) : null
  const [aggregates, loads, group, hinted] = await Promise.all([
    listAggregates(db),
    few ? loadOfFew(db, few) : loadByHost(db).execute(),
    spec.group ? serversAt(context, 'group_id', [spec.group.id]) : [],
    serversAt(context, 'id', hintedIds(context, spec)),
  ])
  const load = new Map(loads.map((one) => [one.host, one]))
  const fitting = new Set(requests.flatMap((one) => Object.keys(one)))
  return rows.map((row) => {
    const state = stateOf(row)
    const { ratios } = context.settings
    const own = aggregates.filter((one) => one.hosts.includes(row.host))
    const books = summaries[row.provider_id]?.resources
    const left = (name: string, total: number, used: number) =>
      books?.[name] ? books[name].capacity - books[name].used : Math.floor(total) - used
    return {
      host: row.host,
      node: state.hypervisorHostname,
      providerId: row.provider_id,
      state,
      enabled: !row.disabled,
      disabledReason: row.disabled_reason,
      up: isUp(context, row),
      silentS: Math.round((Date.now() - Date.parse(row.seen_at)) / 1000),
      zone: zoneOfHost(aggregates, row.host, context.settings.defaultZone),
      aggregates: own,
      fits: fitting.has(row.provider_id),
      free: {
        vcpus: left('VCPU', state.vcpus * ratios.cpu, state.vcpusUsed),
        memoryMiB: left('MEMORY_MB', state.memoryMiB * ratios.ram, state.memoryMiBUsed),
        diskGiB: left('DISK_GB', state.diskGiB * ratios.disk, state.diskGiBUsed),
      },
      servers: Number(load.get(row.host)?.servers ?? 0),
      ioOps: Number(load.get(row.host)?.heavy ?? 0),
      groupMembers: group.filter((one) => one.host === row.host && one.id !== spec.serverId).length,
      hinted: hinted.filter((one) => one.host === row.host).map((one) => one.id),
    }
  })
}

const loadByHost = (db: Kysely<ComputeTables>) =>
  db
    .selectFrom('instances')
    .select((eb) => [
      'host',
      eb.fn.countAll<number>().as('servers'),
      eb.fn.sum<number>(eb.case().when('task_state', 'in', HEAVY).then(1).else(0).end()).as('heavy'),
    ])
    .where('deleted', '=', 0)
    .where('host', 'is not', null)
    .groupBy('host')

const loadOfFew = preparedFor<{ host: string | null; servers: number; heavy: number | null }>((db, hosts) =>
  loadByHost(db).where('host', 'in', hosts),
)

async function serversAt(
  context: ComputeContext,
  column: 'id' | 'group_id',
  values: string[],
): Promise<{ id: string; host: string | null }[]> {
  if (values.length === 0) return []
  return await context.database.db
    .selectFrom('instances')
    .select(['id', 'host'])
    .where('deleted', '=', 0)
    .where('host', 'is not', null)
    .where(column, 'in', values)
    .execute()
}

/** Nobody looks where these are while the filters that would are off. */
function hintedIds({ settings }: ComputeContext, { hints }: RequestSpec): string[] {
  const { enabledFilters } = settings.scheduler
  return [
    ...(enabledFilters.includes('SameHostFilter') ? hintList(hints.same_host) : []),
    ...(enabledFilters.includes('DifferentHostFilter') ? hintList(hints.different_host) : []),
  ]
}

export const hintList = (hint: unknown): string[] => (hint === undefined || hint === null ? [] : [hint].flat().map(String))
