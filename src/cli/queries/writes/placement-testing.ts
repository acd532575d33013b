import { randomUUID } from 'node:crypto'
import type { Ask } from '../counting-testing.ts'
import type { Sown } from '../sown-testing.ts'
import type { Writes } from './writes-testing.ts'

export const PLACEMENT = { 'openstack-api-version': 'placement 1.39' }
const PROVIDERS = '/placement/resource_providers'
const OWNER = { project_id: 'demo', user_id: 'admin', consumer_type: 'INSTANCE' }

/** What belongs to a provider: an inventory of a class of its own. */
export async function extendProvider(of: Sown, ask: Ask, name: string): Promise<void> {
  const resource_class = `CUSTOM_${name.replace('-', '_').toUpperCase()}`
  await ask('PUT', `/placement/resource_classes/${resource_class}`, undefined, PLACEMENT)
  await ask('POST', `${PROVIDERS}/${of.provider}/inventories`, { resource_class, total: 100 }, PLACEMENT)
}

export const placementWrites: Writes = async (of, { yard, counts }) => {
  const ask: Ask = (method, path, body, headers = PLACEMENT) => counts.ask(method, path, body, headers)
  const show = (path: string) => yard.cloud.api('GET', `${PROVIDERS}/${path}`, undefined, PLACEMENT)
  const classes = Object.keys((await show(`${of.provider}/inventories`)).inventories)
  await names(of, ask)
  const { uuid } = await ask('POST', PROVIDERS, { name: `new-${of.namespace}` })
  await tree(uuid, of.provider, classes, ask)
  await provider(uuid, classes, ask, async () => ({ resource_provider_generation: (await show(uuid)).generation }))
  await allocations([of.provider, uuid], classes, ask)
  await ask('DELETE', `${PROVIDERS}/${uuid}`)
  for (const name of classes) await ask('DELETE', `/placement/traits/${name}`)
}

async function names(of: Sown, ask: Ask): Promise<void> {
  await ask('POST', '/placement/resource_classes', { name: `${of.trait}_1` })
  const older = { 'openstack-api-version': 'placement 1.6' }
  await ask('PUT', `/placement/resource_classes/${of.trait}_1`, { name: `${of.trait}_2` }, older)
  await ask('DELETE', `/placement/resource_classes/${of.trait}_2`)
}

/** As many below it as there are classes go along when it gets a parent. */
async function tree(uuid: string, parent: string, classes: string[], ask: Ask): Promise<void> {
  const below: string[] = []
  for (const name of classes) below.push((await ask('POST', PROVIDERS, { name: `${uuid}-${name}`, parent_provider_uuid: uuid })).uuid)
  await ask('PUT', `${PROVIDERS}/${uuid}`, { name: `moved-${uuid}`, parent_provider_uuid: parent })
  for (const one of below) await ask('DELETE', `${PROVIDERS}/${one}`)
}

/** What it has is set, taken away, and set again. */
async function provider(uuid: string, classes: string[], ask: Ask, generation: () => Promise<object>): Promise<void> {
  const path = `${PROVIDERS}/${uuid}`
  const inventories = Object.fromEntries(classes.map((name) => [name, { total: 100 }]))
  const set = async (what: string, body: object) => await ask('PUT', `${path}/${what}`, { ...(await generation()), ...body })
  for (const name of classes) await ask('PUT', `/placement/traits/${name}`)
  await set('traits', { traits: classes })
  await ask('DELETE', `${path}/traits`)
  await set('traits', { traits: classes })
  await set('aggregates', { aggregates: classes.map(() => randomUUID()) })
  await set('inventories', { inventories })
  await ask('POST', `${path}/inventories`, { resource_class: 'VCPU', total: 1 })
  await set('inventories/VCPU', { total: 2 })
  await ask('DELETE', `${path}/inventories/VCPU`)
  await ask('DELETE', `${path}/inventories`)
  await set('inventories', { inventories })
}

/** As many consumers as there are classes, and one more, hold something of each class of each provider. */
async function allocations(providers: string[], classes: string[], ask: Ask): Promise<void> {
  const path = '/placement/allocations'
  const [first, ...others] = ['first', ...classes].map(() => randomUUID())
  const resources = Object.fromEntries(classes.map((name) => [name, 1]))
  const held = Object.fromEntries(providers.map((uuid) => [uuid, { resources }]))
  const claim = (allocations: object, consumer_generation: number | null) => ({ allocations, ...OWNER, consumer_generation })
  const claims = (allocations: object, generation: number | null) =>
    Object.fromEntries(others.map((uuid) => [uuid, claim(allocations, generation)]))
  await ask('PUT', `${path}/${first}`, claim(held, null))
  await ask('PUT', `${path}/${first}`, claim(held, 1))
  await ask('DELETE', `${path}/${first}`)
  await ask('POST', path, claims(held, null))
  await ask('POST', path, claims(held, 1))
  await ask('POST', path, claims({}, 2))
}
