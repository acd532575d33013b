import { badRequest } from '../../kernel/errors/errors.ts'
import { blockDevicesOf, findInstance, type InstanceFilter, listInstances } from '../db/instances.ts'
import type { BlockDeviceRow, InstanceRow } from '../db/tables.ts'
import type { ComputeContext } from './context.ts'
import { POWER, statesOf } from './server-state.ts'
import { timeOf } from './time.ts'

export const MAX_LIMIT = 1000

const SORT_KEYS: Record<string, keyof InstanceRow> = {
  created_at: 'created_at',
  updated_at: 'updated_at',
  uuid: 'id',
  display_name: 'name',
  name: 'name',
  host: 'host',
  image_ref: 'image_id',
  vm_state: 'vm_state',
  task_state: 'task_state',
  power_state: 'power_state',
  launched_at: 'launched_at',
  terminated_at: 'terminated_at',
  project_id: 'project_id',
  user_id: 'user_id',
  key_name: 'key_name',
  hostname: 'hostname',
  launch_index: 'launch_index',
  availability_zone: 'zone',
  locked: 'locked',
  display_description: 'description',
  config_drive: 'config_drive',
  progress: 'progress',
  access_ip_v4: 'access_ipv4',
  access_ip_v6: 'access_ipv6',
}

/** Equal to: query name → column; api/server-query.ts says who may ask for what. Those of operators are ignored for others. */
const EQUAL: Record<string, keyof InstanceRow> = {
  image: 'image_id',
  uuid: 'id',
  reservation_id: 'reservation_id',
  key_name: 'key_name',
  availability_zone: 'zone',
  access_ip_v4: 'access_ipv4',
  access_ip_v6: 'access_ipv6',
  launch_index: 'launch_index',
  description: 'description',
  task_state: 'task_state',
  vm_state: 'vm_state',
  user_id: 'user_id',
}
const OPERATORS_ONLY: Record<string, keyof InstanceRow> = {
  host: 'host',
  node: 'node',
  project_id: 'project_id',
  tenant_id: 'project_id',
}

/** What a list may be asked for. */
export const SERVER_QUERY = [
  ...Object.keys({ ...EQUAL, ...OPERATORS_ONLY }),
  ...[
    'name',
    'hostname',
    'flavor',
    'locked',
    'config_drive',
    'power_state',
    'ip',
    'ip6',
    'tags',
    'tags-any',
    'not-tags',
    'not-tags-any',
    'changes-since',
    'changes-before',
  ],
  ...['status', 'all_tenants', 'deleted', 'limit', 'marker', 'sort_key', 'sort_dir'],
]

export interface Viewer {
  projectId: string | null
  isAdmin: boolean
}

type Query = Record<string, string | string[] | undefined>

/** One page, and whether more follow. @throws Fault 400 naming the parameter */
export async function pageOfServers(
  context: ComputeContext,
  viewer: Viewer,
  query: Query,
): Promise<{ servers: InstanceRow[]; more: boolean }> {
  const filter = await filterOf(context, viewer, query)
  if (filter === null) return { servers: [], more: false }
  const rows = await listInstances(context.database.db, { ...filter, limit: filter.limit + 1 })
  return { servers: rows.slice(0, filter.limit), more: rows.length > filter.limit && filter.limit > 0 }
}

async function filterOf(context: ComputeContext, viewer: Viewer, query: Query): Promise<InstanceFilter | null> {
  const everyProject = viewer.isAdmin && truth('all_tenants', one(query.all_tenants))
  const named = one(query.project_id) ?? one(query.tenant_id)
  const filter: InstanceFilter = {
    projectId: everyProject ? null : viewer.projectId,
    deleted: viewer.isAdmin && truth('deleted', one(query.deleted)),
    columns: [],
    like: [],
    lacks: [],
    matches: [],
    sort: sortOf(query),
    limit: limitOf(one(query.limit)),
  }
  if (everyProject && named) filter.projectId = named
  for (const [name, value] of Object.entries(query)) {
    const text = one(value)
    if (text === undefined) continue
    if (Object.hasOwn(EQUAL, name)) filter.columns.push({ column: EQUAL[name]!, is: '=', value: text })
    else if (viewer.isAdmin && Object.hasOwn(OPERATORS_ONLY, name) && !/^(project|tenant)_id$/.test(name))
      filter.columns.push({ column: OPERATORS_ONLY[name]!, is: '=', value: text })
    else if (name === 'name' || name === 'hostname') filter.matches.push({ column: name, pattern: patternOf(name, text) })
    else if (name === 'flavor') filter.like.push({ column: 'flavor_json', oneOf: [`"id":${JSON.stringify(text)}`] })
    else if (name === 'locked') filter.columns.push({ column: 'locked', is: '=', value: truth(name, text) ? 1 : 0 })
    else if (name === 'config_drive') filter.columns.push({ column: 'config_drive', is: '=', value: truth(name, text) ? 1 : 0 })
    else if (name === 'power_state') filter.columns.push({ column: 'power_state', is: '=', value: powerOf(text) })
    else if (name === 'ip' || name === 'ip6') filter.like.push({ column: 'network_info_json', oneOf: [text.replace(/[\^$\\]/g, '')] })
    else if (name === 'tags')
      filter.like.push(...text.split(',').map((tag) => ({ column: 'tags_json' as const, oneOf: [JSON.stringify(tag)] })))
    else if (name === 'tags-any') filter.like.push({ column: 'tags_json', oneOf: text.split(',').map((tag) => JSON.stringify(tag)) })
    else if (name === 'not-tags') filter.lacks.push({ column: 'tags_json', oneOf: text.split(',').map((tag) => JSON.stringify(tag)) })
    else if (name === 'not-tags-any')
      filter.lacks.push(...text.split(',').map((tag) => ({ column: 'tags_json' as const, oneOf: [JSON.stringify(tag)] })))
    else if (name === 'changes-since' || name === 'changes-before') {
      filter.columns.push({ column: 'updated_at', is: name === 'changes-since' ? '>=' : '<=', value: timeOf(name, text) })
      if (name === 'changes-since' && query.deleted === undefined) filter.deleted = null
    }
  }
  const statuses = [query.status ?? []].flat()
  if (statuses.length > 0) {
    const states = statuses.flatMap((status) => statesOf(status)?.vmStates ?? [])
    if (states.length === 0) return null
    filter.columns.push({ column: 'vm_state', is: 'in', value: [...new Set(states)] })
    if (states.includes('deleted')) filter.deleted = viewer.isAdmin
  }
  const marker = one(query.marker)
  if (marker !== undefined) {
    filter.after = await findInstance(context.database.db, marker)
    if (!filter.after || (!viewer.isAdmin && filter.after.project_id !== viewer.projectId)) throw badRequest(`marker [${marker}] not found`)
  }
  return filter
}

const one = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value.at(-1) : value)

function truth(name: string, text: string | undefined): boolean {
  if (text === undefined) return false
  if (/^(1|t|true|yes|on|y|)$/i.test(text)) return true
  if (/^(0|f|false|no|off|n)$/i.test(text)) return false
  throw badRequest(`Invalid value '${text}' for '${name}': a boolean is needed`)
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return MAX_LIMIT
  if (!/^\d+$/.test(text)) throw badRequest(`Invalid input for query parameters limit. Value: ${text}. It must be a non-negative integer`)
  return Math.min(Number(text), MAX_LIMIT)
}

function sortOf(query: Query): InstanceFilter['sort'] {
  const keys = [query.sort_key ?? []].flat()
  const directions = [query.sort_dir ?? []].flat()
  const sort = keys.map((key, i) => {
    const column = Object.hasOwn(SORT_KEYS, key) ? SORT_KEYS[key] : undefined
    if (!column)
      throw badRequest(
        `Invalid input for query parameters sort_key. Value: ${key}. '${key}' is not one of ${Object.keys(SORT_KEYS).join(', ')}`,
      )
    const direction = directions[i] ?? directions[0] ?? 'desc'
    if (direction !== 'asc' && direction !== 'desc')
      throw badRequest(`Invalid input for query parameters sort_dir. Value: ${direction}. asc or desc is needed`)
    return { key: column, direction: direction as 'asc' | 'desc' }
  })
  const first = directions[0] === 'asc' ? 'asc' : 'desc'
  const has = (column: keyof InstanceRow) => sort.some(({ key }) => key === column)
  if (!has('created_at')) sort.push({ key: 'created_at', direction: first })
  if (!has('id')) sort.push({ key: 'id', direction: first })
  return sort
}

function powerOf(text: string): number {
  if (Object.hasOwn(POWER, text)) return POWER[text as keyof typeof POWER]
  if (!/^\d$/.test(text)) throw badRequest(`Invalid input for query parameters power_state. Value: ${text}. It is no power state`)
  return Number(text)
}

function patternOf(name: string, text: string): string {
  try {
    return new RegExp(text).source
  } catch {
    throw badRequest(`Invalid filter '${name}': ${text} is no regular expression`)
  }
}

export async function devicesByServer(context: ComputeContext, servers: InstanceRow[]): Promise<Map<string, BlockDeviceRow[]>> {
  const devices = await blockDevicesOf(
    context.database.db,
    servers.map((row) => row.id),
  )
  return Map.groupBy(devices, (device) => device.server_id)
}
