import { badRequest, conflict, forbidden } from '../../kernel/errors/errors.ts'
import type { Image } from '../db/images.ts'

/** One change of a PATCH in application/openstack-images-v2.1-json-patch. */
export interface Change {
  op: 'add' | 'replace' | 'remove'
  path: string
  value?: unknown
}

const READ_ONLY = new Set([
  'created_at',
  'updated_at',
  'status',
  'checksum',
  'size',
  'virtual_size',
  'direct_url',
  'self',
  'file',
  'schema',
  'id',
  'os_hash_algo',
  'os_hash_value',
  'stores',
])
const RESERVED = new Set(['deleted', 'deleted_at', 'is_public', 'created_by', 'locations'])

/** Whether clients may not name this attribute in a creation or a patch. */
export const isReserved = (name: string) => RESERVED.has(name) || name.startsWith('os_glance_')

type Setter = { check: (value: unknown) => boolean; must: string; set: (image: Image, value: any) => void }

const optionalText = (value: unknown) => value === null || (typeof value === 'string' && value.length <= 255)
const count = (value: unknown) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 2_147_483_647

export const DISK_FORMATS = ['ami', 'ari', 'aki', 'vhd', 'vhdx', 'vmdk', 'raw', 'qcow2', 'vdi', 'iso', 'ploop']
export const CONTAINER_FORMATS = ['ami', 'ari', 'aki', 'bare', 'ovf', 'ova', 'docker', 'compressed']
export const VISIBILITIES = ['community', 'public', 'private', 'shared']

const oneOf = (list: string[]) => (value: unknown) => value === null || list.includes(value as string)

const BASE: Record<string, Setter> = {
  name: { check: optionalText, must: 'a text of at most 255 characters', set: (image, value) => (image.name = value) },
  owner: { check: optionalText, must: 'a project id', set: (image, value) => (image.owner = value) },
  visibility: {
    check: (value) => VISIBILITIES.includes(value as string),
    must: `one of ${VISIBILITIES.join(', ')}`,
    set: (image, value) => (image.visibility = value),
  },
  protected: {
    check: (value) => typeof value === 'boolean',
    must: 'true or false',
    set: (image, value) => (image.protected = Number(value)),
  },
  os_hidden: { check: (value) => typeof value === 'boolean', must: 'true or false', set: (image, value) => (image.hidden = Number(value)) },
  disk_format: {
    check: oneOf(DISK_FORMATS),
    must: `one of ${DISK_FORMATS.join(', ')}`,
    set: (image, value) => (image.disk_format = value),
  },
  container_format: {
    check: oneOf(CONTAINER_FORMATS),
    must: `one of ${CONTAINER_FORMATS.join(', ')}`,
    set: (image, value) => (image.container_format = value),
  },
  min_ram: { check: count, must: 'a whole number of MiB', set: (image, value) => (image.min_ram = value) },
  min_disk: { check: count, must: 'a whole number of GiB', set: (image, value) => (image.min_disk = value) },
  tags: {
    check: (value) => Array.isArray(value) && value.every((tag) => typeof tag === 'string' && tag.length <= 255),
    must: 'a list of texts of at most 255 characters',
    set: (image, value) => (image.tags = [...new Set<string>(value)]),
  },
}

/** What the changes make of the image, in their order; nothing is kept yet. @throws Fault 400, 403 or 409, naming the attribute */
export function applyPatch(image: Image, changes: Change[]): Image {
  const result: Image = { ...image, tags: [...image.tags], properties: { ...image.properties } }
  for (const change of changes) applyOne(result, change)
  return result
}

function applyOne(image: Image, change: Change): void {
  const name = attributeOf(change.path)
  if (READ_ONLY.has(name)) throw forbidden(`Attribute '${name}' is read-only.`)
  if (name === 'locations') throw forbidden("It's not allowed to add, replace or remove locations: they are invisible.")
  if (isReserved(name)) throw forbidden(`Attribute '${name}' is reserved.`)
  const base = Object.hasOwn(BASE, name) ? BASE[name] : undefined
  const known = Object.hasOwn(image.properties, name)
  if (change.op === 'remove') {
    if (base) throw forbidden(`Property ${name} may not be removed.`)
    if (!known) throw conflict(`Property ${name} does not exist.`)
    delete image.properties[name]
    return
  }
  if (change.value === undefined) throw badRequest(`Operation "${change.op}" requires a member named "value".`)
  if (base) {
    if (!base.check(change.value)) throw badRequest(`Invalid value for ${name}: it must be ${base.must}.`)
    base.set(image, change.value)
    return
  }
  if (change.op === 'replace' && !known) throw conflict(`Property ${name} does not exist.`)
  if (typeof change.value !== 'string' && change.value !== null) throw badRequest(`Invalid value for ${name}: it must be a text.`)
  Object.defineProperty(image.properties, name, { value: change.value, enumerable: true, configurable: true, writable: true })
}

/** `/a~1b` names `a/b`. Attributes have no parts that could be named. */
function attributeOf(path: string): string {
  if (!path.startsWith('/')) throw badRequest(`Pointer \`${path}\` does not start with "/".`)
  if (path.length < 2 || /\/\/|\/$|~(?![01])/.test(path)) throw badRequest(`Pointer \`${path}\` does not name an attribute.`)
  const parts = path.slice(1).split('/')
  if (parts.length > 1) throw badRequest(`Pointer \`${path}\` has too many parts: attributes are changed whole.`)
  const name = parts[0]!.replaceAll('~1', '/').replaceAll('~0', '~')
  if (name.length > 255) throw badRequest('The name of an attribute has at most 255 characters.')
  return name
}
