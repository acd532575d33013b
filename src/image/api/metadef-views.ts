import type { NamespaceRow, Part } from '../app/metadef.ts'

/** Glance prints times to the second. */
const time = (iso: string) => `${iso.slice(0, 19)}Z`
const times = (one: { created_at: string; updated_at: string }) => ({ created_at: time(one.created_at), updated_at: time(one.updated_at) })
const address = (namespace: string) => `/v2/metadefs/namespaces/${encodeURIComponent(namespace)}`

export const objectView = (namespace: string, part: Part) => ({
  name: part.name,
  ...part.body,
  ...times(part),
  self: `${address(namespace)}/objects/${encodeURIComponent(part.name)}`,
  schema: '/v2/schemas/metadefs/object',
})
export const tagView = (part: Part) => ({ name: part.name, ...times(part) })
export const tagListView = (parts: Part[]) => ({ tags: parts.map(({ name }) => ({ name })) })
export const associationView = (part: Part) => ({ name: part.name, ...part.body, ...times(part) })
export const resourceTypeView = (one: { name: string; created_at: string; updated_at: string }) => ({ name: one.name, ...times(one) })

export function objectListView(namespace: string, parts: Part[]) {
  return {
    objects: parts.map((part) => objectView(namespace, part)),
    first: `${address(namespace)}/objects`,
    schema: '/v2/schemas/metadefs/objects',
  }
}

/** With `prefix`, as properties are named on a resource of a type that asks for one. */
export const propertyTable = (parts: Part[], prefix = '') => Object.fromEntries(parts.map(({ name, body }) => [`${prefix}${name}`, body]))

export interface NamespaceParts {
  objects?: Part[]
  properties?: Part[]
  tags?: Part[]
  associations?: Part[]
  prefix?: string
}

export function namespaceView(row: NamespaceRow, parts: NamespaceParts = {}) {
  const { objects, properties, tags, associations, prefix } = parts
  const some = <T>(list: T[] | undefined): list is T[] => list !== undefined && list.length > 0
  return {
    namespace: row.namespace,
    ...(row.display_name === null ? {} : { display_name: row.display_name }),
    ...(row.description === null ? {} : { description: row.description }),
    visibility: row.visibility,
    protected: row.protected === 1,
    owner: row.owner,
    ...times(row),
    self: address(row.namespace),
    schema: '/v2/schemas/metadefs/namespace',
    ...(some(objects) ? { objects: objects.map((part) => objectView(row.namespace, part)) } : {}),
    ...(some(properties) ? { properties: propertyTable(properties, prefix) } : {}),
    ...(some(tags) ? { tags: tags.map(({ name }) => ({ name })) } : {}),
    ...(some(associations) ? { resource_type_associations: associations.map(associationView) } : {}),
  }
}

/** A page; links begin at the version, as the clients expect. */
export function namespaceListView(views: ReturnType<typeof namespaceView>[], more: boolean, rawQuery: string) {
  const query = new URLSearchParams(rawQuery)
  query.delete('marker')
  const first = `/v2/metadefs/namespaces${query.size > 0 ? `?${query}` : ''}`
  if (more) query.set('marker', views.at(-1)!.namespace)
  return {
    namespaces: views,
    first,
    ...(more ? { next: `/v2/metadefs/namespaces?${query}` } : {}),
    schema: '/v2/schemas/metadefs/namespaces',
  }
}
