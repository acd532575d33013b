import type { ApiRequest } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import type { Viewer } from '../app/context.ts'
import type { Noun } from '../app/noun.ts'
import { policies } from './policies.ts'

export const viewerOf = (request: ApiRequest): Viewer => ({
  projectId: request.context.projectId ?? '',
  isAdmin: request.allowed('context_is_admin'),
  requestId: request.context.globalRequestId ?? request.context.requestId,
})

/** Attributes that have a rule of their own when they are given or shown. */
const RULED = new Set(Object.keys(policies))
export const hasRule = (rule: string): boolean => RULED.has(rule)
/** By noun: `get_port:binding:host_id` rules an attribute of ports. */
const RULED_WHEN_SHOWN = new Map<string, string[]>()
for (const rule of RULED) {
  const [, noun, name] = /^get_(\w+):(.*)$/.exec(rule) ?? []
  if (noun) RULED_WHEN_SHOWN.set(noun, [...(RULED_WHEN_SHOWN.get(noun) ?? []), name!])
}

/** What the caller may see of a document and asked for: `fields`, repeated or with commas. */
export function shown(request: ApiRequest, noun: string, document: Record<string, unknown>): Record<string, unknown> {
  const fields = [request.query.fields ?? []].flat().flatMap((text: string) => String(text).split(','))
  const target = { project_id: document.project_id, tenant_id: document.project_id }
  const hidden = (RULED_WHEN_SHOWN.get(noun) ?? []).filter((name) => !request.allowed(`get_${noun}:${name}`, target))
  if (fields.length === 0 && hidden.length === 0) return document
  return Object.fromEntries(
    Object.entries(document).filter(([name]) => !hidden.includes(name) && (fields.length === 0 || fields.includes(name))),
  )
}

/** Ways to the neighbouring pages. */
export function pageLinks(request: ApiRequest, path: string, plural: string, ids: string[], more: boolean) {
  const backwards = String(request.query.page_reverse ?? '').toLowerCase() === 'true'
  const href = (marker: string, reverse: boolean) => {
    const query = new URLSearchParams(request.rawQuery)
    query.set('marker', marker)
    query.delete('page_reverse')
    if (reverse) query.set('page_reverse', 'True')
    return request.link(`/${path}?${query}`)
  }
  const links: { rel: string; href: string }[] = []
  if (ids.length > 0 && (backwards || more)) links.push({ rel: 'next', href: href(ids.at(-1)!, false) })
  if (ids.length > 0 && (backwards ? more : request.query.marker !== undefined)) links.push({ rel: 'previous', href: href(ids[0]!, true) })
  return links.length > 0 ? { [`${plural}_links`]: links } : {}
}

/** Which attributes to show; whatever else a client asks for is overlooked, as Neutron does. */
export const Fields = queryOf('fields')

/** A query by these attributes. */
export const filteredBy = (names: readonly string[]) => queryOf(...names, 'fields')

/** Filters, order and pages of a list. */
export const listQuery = ({ columns, filters = {} }: Pick<Noun<any, any>, 'columns' | 'filters'>) =>
  filteredBy([
    ...new Set([...Object.keys(columns), ...Object.keys(filters)]),
    ...['tags', 'tags-any', 'not-tags', 'not-tags-any'],
    ...['sort_key', 'sort_dir', 'limit', 'marker', 'page_reverse'],
  ])
