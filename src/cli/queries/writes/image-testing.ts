import { eventually } from '../../../compute/sagas/testing.ts'
import type { Ask } from '../counting-testing.ts'
import type { Sown } from '../sown-testing.ts'
import type { Writes } from './writes-testing.ts'

const IMAGES = '/image/v2/images'
const NAMESPACES = '/image/v2/metadefs/namespaces'
const PATCH = { 'content-type': 'application/openstack-images-v2.1-json-patch' }
const DATA = { 'content-type': 'application/octet-stream' }

/** What belongs to an image and to a namespace. */
export async function extendImage(of: Sown, ask: Ask, name: string): Promise<void> {
  await ask('PUT', `${IMAGES}/${of.image}/tags/${name}`)
  await ask('POST', `${IMAGES}/${of.image}/members`, { member: name })
  await ask('PATCH', `${IMAGES}/${of.image}`, [{ op: 'add', path: `/${name}`, value: name }], PATCH)
  await ask('POST', `${NAMESPACES}/${of.namespace}/objects`, { name })
  await ask('POST', `${NAMESPACES}/${of.namespace}/tags/${name}`)
  await ask('POST', `${NAMESPACES}/${of.namespace}/properties`, { name, title: name, type: 'string' })
  await ask('POST', `${NAMESPACES}/${of.namespace}/resource_types`, { name })
}

export const imageWrites: Writes = async (of, { yard, counts: { ask } }) => {
  const { api } = yard.cloud
  const { tags } = await api('GET', `${IMAGES}/${of.image}`)
  await attributes(of, tags, ask)
  await data(ask, async (id) => (await api('GET', `${IMAGES}/${id}`)).status)
  await members(of, ask)
  await namespaces(`new-${of.namespace}`, tags, ask)
}

/** As many properties and tags at once as the image has. */
async function attributes(of: Sown, names: string[], ask: Ask): Promise<void> {
  const properties = names.map((name) => `new-${name}`)
  const added = properties.map((name) => ({ op: 'add', path: `/${name}`, value: name }))
  const tagged = { op: 'replace', path: '/tags', value: [...names, ...properties] }
  await ask('PATCH', `${IMAGES}/${of.image}`, [...added, tagged], PATCH)
  await ask('PUT', `${IMAGES}/${of.image}/tags/one`)
  await ask('DELETE', `${IMAGES}/${of.image}/tags/one`)
  const image = await ask('POST', IMAGES, { tags: names, ...Object.fromEntries(properties.map((name) => [name, name])) })
  await ask('DELETE', `${IMAGES}/${image.id}`)
}

/** Uploaded, and imported, which goes on when it is answered. */
async function data(ask: Ask, statusOf: (id: string) => Promise<string>): Promise<void> {
  const made = async (): Promise<string> => (await ask('POST', IMAGES, { disk_format: 'raw', container_format: 'bare' })).id
  const [uploaded, imported] = [await made(), await made()]
  await ask('PUT', `${IMAGES}/${uploaded}/file`, new Uint8Array(512), DATA)
  await ask('POST', `${IMAGES}/${uploaded}/actions/deactivate`)
  await ask('POST', `${IMAGES}/${uploaded}/actions/reactivate`)
  await ask('PUT', `${IMAGES}/${imported}/stage`, new Uint8Array(512), DATA)
  await ask('POST', `${IMAGES}/${imported}/import`, { method: { name: 'glance-direct' } })
  await eventually(
    () => statusOf(imported),
    (status) => status === 'active',
  )
  for (const id of [uploaded, imported]) await ask('DELETE', `${IMAGES}/${id}`)
}

async function members(of: Sown, ask: Ask): Promise<void> {
  const path = `${IMAGES}/${of.image}/members`
  await ask('POST', path, { member: of.domain })
  await ask('PUT', `${path}/${of.domain}`, { status: 'accepted' })
  await ask('DELETE', `${path}/${of.domain}`)
}

/** With so many definitions of each kind; under a new name they all go along. */
async function namespaces(namespace: string, names: string[], ask: Ask): Promise<void> {
  const named = names.map((name) => ({ name }))
  const property = { title: 'one', type: 'string' }
  const properties = Object.fromEntries(names.map((name) => [name, property]))
  await ask('POST', NAMESPACES, { namespace, objects: named, tags: named, properties, resource_type_associations: named })
  const path = `${NAMESPACES}/${namespace}-2`
  await ask('PUT', `${NAMESPACES}/${namespace}`, { namespace: `${namespace}-2` })
  const [one, another, third] = ['one', 'another', 'third'].map((name) => ({ name }))
  const asks: Parameters<Ask>[] = [
    ['POST', `${path}/objects`, one],
    ['PUT', `${path}/objects/one`, another],
    ['DELETE', `${path}/objects/another`],
    ['POST', `${path}/properties`, { ...one, ...property }],
    ['PUT', `${path}/properties/one`, { ...another, ...property }],
    ['DELETE', `${path}/properties/another`],
    ['POST', `${path}/tags/one`],
    ['PUT', `${path}/tags/one`, another],
    ['DELETE', `${path}/tags/another`],
    ['POST', `${path}/tags`, { tags: named }],
    ['POST', `${path}/tags`, { tags: names.map((name) => ({ name: `new-${name}` })) }, { 'x-openstack-append': 'true' }],
    ['POST', `${path}/resource_types`, third],
    ['DELETE', `${path}/resource_types/third`],
    ['DELETE', `${path}/objects`],
    ['DELETE', `${path}/properties`],
    ['DELETE', `${path}/tags`],
    ['DELETE', path],
  ]
  for (const asked of asks) await ask(...asked)
}
