import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import { type Condition, countOf, type Listed, type Page, pageOf } from '../db/list.ts'
import type { PropertyKind, VolumeTables } from '../db/tables.ts'
import type { Viewer, VolumeContext } from './context.ts'

export type Query = Record<string, string | string[]>

export const MAX_LIMIT = 1000

interface Rules {
  /** Query parameter → column. */
  filters: Record<string, string>
  adminFilters?: Record<string, string>
  flags?: string[]
  /** Query parameter → kind, for dictionaries. */
  properties?: Record<string, PropertyKind>
  sort: string[]
}

const RULES: Record<Listed, Rules> = {
  volumes: {
    filters: {
      name: 'name',
      display_name: 'name',
      status: 'status',
      id: 'id',
      availability_zone: 'availability_zone',
      size: 'size',
      volume_type_id: 'type_id',
      snapshot_id: 'snapshot_id',
      source_volid: 'source_volid',
    },
    adminFilters: { host: 'host', user_id: 'user_id' },
    flags: ['bootable', 'multiattach'],
    properties: { metadata: 'volume', glance_metadata: 'image' },
    sort: 'id name status size availability_zone created_at updated_at bootable project_id host'.split(' '),
  },
  snapshots: {
    filters: { name: 'name', display_name: 'name', status: 'status', volume_id: 'volume_id', id: 'id' },
    adminFilters: { user_id: 'user_id' },
    properties: { metadata: 'snapshot' },
    sort: 'id name status size volume_id created_at updated_at project_id'.split(' '),
  },
  attachments: {
    filters: { volume_id: 'volume_id', instance_id: 'instance_id', status: 'status', id: 'id' },
    sort: 'id volume_id instance_id status created_at updated_at'.split(' '),
  },
  messages: {
    filters: { resource_uuid: 'resource_id', resource_type: 'resource_type', event_id: 'event_id', request_id: 'request_id', id: 'id' },
    sort: 'id event_id resource_type created_at'.split(' '),
  },
  transfers: { filters: { name: 'name', volume_id: 'volume_id', id: 'id' }, sort: 'id name volume_id created_at'.split(' ') },
}

const RENAMED: Record<string, string> = { display_name: 'name', attach_status: 'status' }

/** One page of what the viewer may see. @throws Fault 400 naming the parameter, 404 for an unknown marker */
export async function listRows<T extends Listed>(
  context: VolumeContext,
  viewer: Viewer,
  table: T,
  query: Query,
): Promise<{ rows: VolumeTables[T][]; more: boolean }> {
  const page = pageFor(viewer, table, query)
  const marker = one(query.marker)
  if (marker !== undefined) {
    const [after] = await pageOf(context.database.db, table, {
      ...page,
      conditions: [{ column: 'id', is: '=', value: marker }],
      properties: [],
      offset: 0,
      limit: 1,
    })
    if (!after) throw notFound(`The marker ${marker} could not be found.`, 'MarkerNotFound')
    page.after = after
  }
  const rows = await pageOf(context.database.db, table, { ...page, limit: page.limit + 1 })
  return { rows: rows.slice(0, page.limit), more: page.limit > 0 && rows.length >= page.limit }
}

/** All that fit, regardless of pages. */
export const countRows = (context: VolumeContext, viewer: Viewer, table: Listed, query: Query) =>
  countOf(context.database.db, table, pageFor(viewer, table, query))

function pageFor(viewer: Viewer, table: Listed, query: Query): Page {
  const rules = RULES[table]
  const everybody = viewer.isAdmin && isTrue(one(query.all_tenants))
  const project = viewer.isAdmin ? one(query.project_id) : undefined
  const page: Page = {
    projectId: project ?? (everybody ? null : (viewer.projectId ?? '')),
    conditions: [],
    properties: [],
    sort: sortOf(rules, query),
    limit: Math.min(whole('limit', one(query.limit)) ?? MAX_LIMIT, MAX_LIMIT),
    offset: whole('offset', one(query.offset)) ?? 0,
  }
  const columns = { ...rules.filters, ...(viewer.isAdmin ? rules.adminFilters : {}) }
  for (const [name, given] of Object.entries(query)) {
    const value = one(given)!
    const inexact = name.endsWith('~')
    const column = columns[inexact ? name.slice(0, -1) : name]
    if (name === 'id' && Array.isArray(given)) page.conditions.push({ column: 'id', is: 'in', value: given })
    else if (column && Object.hasOwn(columns, inexact ? name.slice(0, -1) : name)) page.conditions.push(condition(column, value, inexact))
    else if (rules.flags?.includes(name)) page.conditions.push({ column: name, is: '=', value: isTrue(value) ? 1 : 0 })
    else if (rules.properties && Object.hasOwn(rules.properties, name))
      page.properties.push(...dictionary(name, value).map(([key, text]) => ({ kind: rules.properties![name]!, name: key, value: text })))
  }
  return page
}

const condition = (column: string, value: string, inexact: boolean): Condition =>
  inexact ? { column, is: 'like', value: `%${value.replace(/[%_\\]/g, '')}%` } : { column, is: '=', value }

/** The clients send Python's way of writing it: `{'a': 'b'}`. */
function dictionary(name: string, text: string): [string, string][] {
  const pairs = [...text.matchAll(/u?(['"])(.*?)\1\s*:\s*(?:u?(['"])(.*?)\3|([^,}\s]+))/g)]
  if (pairs.length === 0 && text.replace(/[{}\s]/g, '') !== '')
    throw badRequest(`Invalid value '${text}' for filter ${name}: it must be a dictionary like {'key': 'value'}.`)
  return pairs.map((pair) => [pair[2]!, pair[4] ?? pair[5]!])
}

function sortOf(rules: Rules, query: Query): Page['sort'] {
  const keys = [query.sort_key ?? []].flat()
  const directions = [query.sort_dir ?? []].flat()
  const sort = one(query.sort)
  if (sort !== undefined && (keys.length > 0 || directions.length > 0))
    throw badRequest("The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.")
  const asked: (string | undefined)[][] = sort
    ? sort.split(',').map((part) => part.trim().split(':'))
    : (keys.length > 0 ? keys : ['created_at']).map((key, i) => [key, directions[i] ?? directions[0]])
  const order = asked.map(([name = '', direction = 'desc']) => {
    const key = RENAMED[name] ?? name
    if (!rules.sort.includes(key)) throw badRequest(`Invalid input received: sort key ${name} is not one of ${rules.sort.join(', ')}.`)
    if (direction !== 'asc' && direction !== 'desc') throw badRequest(`Invalid input received: sort direction ${direction}.`)
    return { key, direction: direction as 'asc' | 'desc' }
  })
  for (const key of ['created_at', 'id']) if (!order.some((item) => item.key === key)) order.push({ key, direction: order[0]!.direction })
  return order
}

function whole(name: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === '')
    throw badRequest(`Invalid input received: ${name} must be a whole number from 0, not ${text}.`)
  return value
}

export const isTrue = (text: string | undefined) => /^(true|1|yes|on|t|y)$/i.test(text ?? '')
const one = (value: string | string[] | undefined) => (Array.isArray(value) ? value.at(-1) : value)
