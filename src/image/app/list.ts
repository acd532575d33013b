import { badRequest } from '../../kernel/errors/errors.ts'
import { type Comparison, findImage, type Image, type ImageFilter, listImages, type SortKey } from '../db/images.ts'
import type { ImageRow, MemberStatus, Visibility } from '../db/tables.ts'
import type { ImageContext } from './context.ts'
import type { Viewer } from './image.ts'
import { VISIBILITIES } from './patch.ts'

export const DEFAULT_LIMIT = 25
export const MAX_LIMIT = 1000

const SORT_KEYS: SortKey[] = ['name', 'status', 'container_format', 'disk_format', 'size', 'id', 'created_at', 'updated_at']
const LISTABLE = new Set(['id', 'name', 'status', 'container_format', 'disk_format'])
const TEXT_COLUMNS: Record<string, keyof ImageRow> = {
  id: 'id',
  name: 'name',
  status: 'status',
  container_format: 'container_format',
  disk_format: 'disk_format',
  owner: 'owner',
  checksum: 'checksum',
  os_hash_algo: 'hash_algo',
  os_hash_value: 'hash_value',
}
const NUMBER_FILTERS: Record<string, [keyof ImageRow, Comparison]> = {
  min_ram: ['min_ram', 'eq'],
  min_disk: ['min_disk', 'eq'],
  size: ['size', 'eq'],
  size_min: ['size', 'gte'],
  size_max: ['size', 'lte'],
}
const FLAGS: Record<string, keyof ImageRow> = { protected: 'protected', os_hidden: 'hidden' }
const OWN = new Set(['limit', 'marker', 'sort', 'sort_key', 'sort_dir', 'tag', 'visibility', 'member_status', 'created_at', 'updated_at'])

/** What a list may be asked for, besides properties of images. */
export const IMAGE_QUERY = [...Object.keys({ ...TEXT_COLUMNS, ...NUMBER_FILTERS, ...FLAGS }), ...OWN]

/** One page of the images that the viewer may see, and whether more follow. @throws Fault 400 naming the parameter */
export async function pageOfImages(
  context: ImageContext,
  viewer: Viewer,
  query: Record<string, string | string[]>,
): Promise<{ images: Image[]; more: boolean }> {
  const limit = limitOf(one(query.limit))
  const filter = filterOf(viewer, query, limit)
  const marker = one(query.marker)
  if (marker !== undefined) {
    filter.after = await findImage(context.database.db, marker)
    if (!filter.after) throw badRequest(`Invalid marker: there is no image ${marker}.`)
  }
  const images = await listImages(context.database.db, { ...filter, limit: limit === 0 ? 0 : limit + 1 })
  return { images: images.slice(0, limit), more: limit > 0 && images.length > limit }
}

function filterOf(viewer: Viewer, query: Record<string, string | string[]>, limit: number): ImageFilter {
  const filter: ImageFilter = {
    viewer: viewer.isAdmin ? null : viewer.projectId,
    visibility: choice('visibility', one(query.visibility), [...VISIBILITIES, 'all']) as Visibility | 'all' | undefined,
    memberStatus: (choice('member_status', one(query.member_status), ['pending', 'accepted', 'rejected', 'all']) ??
      'accepted') as MemberStatus,
    columns: [],
    tags: [query.tag ?? []].flat(),
    properties: {},
    sort: sortOf(query),
    limit,
  }
  if (!('os_hidden' in query)) filter.columns.push({ column: 'hidden', is: 'eq', value: 0 })
  for (const [name, given] of Object.entries(query)) {
    const value = one(given)!
    if (Object.hasOwn(NUMBER_FILTERS, name)) {
      const [column, is] = NUMBER_FILTERS[name]!
      filter.columns.push({ column, is, value: whole(name, value) })
    } else if (Object.hasOwn(FLAGS, name)) filter.columns.push({ column: FLAGS[name]!, is: 'eq', value: flagOf(name, value) })
    else if (Object.hasOwn(TEXT_COLUMNS, name)) filter.columns.push(textCondition(name, value))
    else if (name === 'created_at' || name === 'updated_at') filter.columns.push(...timeConditions(name, value))
    else if (!OWN.has(name)) filter.properties[name] = value
  }
  return filter
}

function textCondition(name: string, value: string): ImageFilter['columns'][number] {
  const column = TEXT_COLUMNS[name]!
  if (value.startsWith('in:') && LISTABLE.has(name)) return { column, is: 'in', value: splitList(value.slice(3)) }
  return { column, is: 'eq', value: value.startsWith('eq:') ? value.slice(3) : value }
}

/** `a,"b,c"` → a and b,c */
function splitList(text: string): string[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|([^,]+)/g)].map((match) => match[1]?.replaceAll('\\"', '"') ?? match[2]!)
}

/** Times are given to the second: equal means within that second. */
function timeConditions(name: 'created_at' | 'updated_at', value: string): ImageFilter['columns'] {
  const [, operator = 'eq', text = ''] = /^(?:(eq|neq|lt|lte|gt|gte):)?(.*)$/.exec(value) ?? []
  const at = new Date(/[Zz]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`)
  if (Number.isNaN(at.getTime())) throw badRequest(`Invalid value for ${name}: ${text} is no time such as 2026-11-23T08:30:00Z.`)
  const begin = at.toISOString()
  const end = new Date(at.getTime() + 1000).toISOString()
  const condition = (is: Comparison, moment: string) => ({ column: name, is, value: moment })
  switch (operator) {
    case 'lt':
      return [condition('lt', begin)]
    case 'lte':
      return [condition('lt', end)]
    case 'gt':
      return [condition('gte', end)]
    case 'gte':
      return [condition('gte', begin)]
    case 'eq':
      return [condition('gte', begin), condition('lt', end)]
    default:
      throw badRequest(`Filter operator ${operator} is not supported for ${name}.`)
  }
}

function sortOf(query: Record<string, string | string[]>): ImageFilter['sort'] {
  if (query.sort !== undefined && (query.sort_key !== undefined || query.sort_dir !== undefined))
    throw badRequest('Old and new sorting syntax cannot be combined')
  const keys = [query.sort_key ?? []].flat()
  const directions = [query.sort_dir ?? []].flat()
  const asked: [string, string | undefined][] =
    query.sort === undefined
      ? (keys.length > 0 ? keys : ['created_at']).map((key, i) => [key, directions[i] ?? directions[0]])
      : one(query.sort)!
          .split(',')
          .map((part) => part.trim().split(':') as [string, string | undefined])
  const sort = asked.map(([key, direction = 'desc']) => ({
    key: choice('sort key', key, SORT_KEYS) as SortKey,
    direction: choice('sort direction', direction, ['asc', 'desc']) as 'asc' | 'desc',
  }))
  for (const key of ['created_at', 'id'] as const)
    if (!sort.some((item) => item.key === key)) sort.push({ key, direction: sort[0]!.direction })
  return sort
}

export function limitOf(text: string | undefined): number {
  return text === undefined ? DEFAULT_LIMIT : Math.min(whole('limit', text), MAX_LIMIT)
}

function whole(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === '')
    throw badRequest(`Invalid value for ${name}: ${text} is no whole number from 0.`)
  return value
}

function flagOf(name: string, text: string): number {
  if (/^(true|1|yes|on|t|y)$/i.test(text)) return 1
  if (/^(false|0|no|off|f|n)$/i.test(text)) return 0
  throw badRequest(`Invalid value '${text}' for '${name}' filter: it must be true or false.`)
}

function choice(name: string, value: string | undefined, allowed: string[]): string | undefined {
  if (value !== undefined && !allowed.includes(value))
    throw badRequest(`Invalid ${name}: ${value}. It must be one of ${allowed.join(', ')}.`)
  return value
}

export const one = (value: string | string[] | undefined) => (Array.isArray(value) ? value.at(-1) : value)
