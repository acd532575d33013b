import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import { catalogRows } from '../db/directory.ts'
import type { IdentityTables } from '../db/tables.ts'
import { changed, type IdentityContext } from './context.ts'
import { newId, unlessTaken } from './unique.ts'

type Service = IdentityTables['services']
type Endpoint = IdentityTables['endpoints']
type Region = IdentityTables['regions']

const without = <T extends object>(input: T) =>
  Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<T>

export async function createService(
  context: IdentityContext,
  input: { type: string; name?: string; description?: string; enabled?: boolean },
): Promise<Service> {
  const service: Service = {
    id: newId(),
    type: input.type,
    name: input.name ?? '',
    description: input.description ?? '',
    enabled: Number(input.enabled ?? true),
  }
  await context.database.db.insertInto('services').values(service).execute()
  changed(context)
  return service
}
export async function findService(context: IdentityContext, id: string): Promise<Service> {
  const found = await context.database.db.selectFrom('services').selectAll().where('id', '=', id).executeTakeFirst()
  if (!found) throw notFound(`Could not find service: ${id}.`)
  return found
}
export async function listServices(context: IdentityContext, filters: { type?: string; name?: string }): Promise<Service[]> {
  let query = context.database.db.selectFrom('services').selectAll().orderBy('type')
  if (filters.type !== undefined) query = query.where('type', '=', filters.type)
  if (filters.name !== undefined) query = query.where('name', '=', filters.name)
  return await query.execute()
}
export async function updateService(
  context: IdentityContext,
  id: string,
  input: { type?: string; name?: string; description?: string; enabled?: boolean },
): Promise<Service> {
  const before = await findService(context, id)
  const after: Service = {
    ...before,
    ...without({ type: input.type, name: input.name, description: input.description }),
    enabled: input.enabled === undefined ? before.enabled : Number(input.enabled),
  }
  await context.database.db.updateTable('services').set(after).where('id', '=', id).execute()
  changed(context)
  return after
}
export async function deleteService(context: IdentityContext, id: string): Promise<void> {
  await findService(context, id)
  await context.database.transaction(async (trx) => {
    await trx.deleteFrom('endpoints').where('service_id', '=', id).execute()
    await trx.deleteFrom('services').where('id', '=', id).execute()
  })
  changed(context)
}

export async function createEndpoint(
  context: IdentityContext,
  input: { service_id: string; interface: string; url: string; region_id?: string | null; region?: string | null; enabled?: boolean },
): Promise<Endpoint> {
  await findService(context, input.service_id)
  const endpoint: Endpoint = {
    id: newId(),
    service_id: input.service_id,
    region_id: input.region_id ?? input.region ?? null,
    interface: input.interface,
    url: addressOf(input.url),
    enabled: Number(input.enabled ?? true),
  }
  if (endpoint.region_id) await ensureRegion(context, endpoint.region_id)
  await context.database.db.insertInto('endpoints').values(endpoint).execute()
  changed(context)
  return endpoint
}
export async function findEndpoint(context: IdentityContext, id: string): Promise<Endpoint> {
  const found = await context.database.db.selectFrom('endpoints').selectAll().where('id', '=', id).executeTakeFirst()
  if (!found) throw notFound(`Could not find endpoint: ${id}.`)
  return found
}
export async function listEndpoints(
  context: IdentityContext,
  filters: { service_id?: string; interface?: string; region_id?: string },
): Promise<Endpoint[]> {
  let query = context.database.db.selectFrom('endpoints').selectAll()
  for (const key of ['service_id', 'interface', 'region_id'] as const)
    if (filters[key] !== undefined) query = query.where(key, '=', filters[key])
  return await query.execute()
}
export async function updateEndpoint(
  context: IdentityContext,
  id: string,
  input: { service_id?: string; interface?: string; url?: string; region_id?: string | null; region?: string | null; enabled?: boolean },
): Promise<Endpoint> {
  const before = await findEndpoint(context, id)
  const { service_id, interface: side, url, region_id = input.region } = input
  if (service_id !== undefined) await findService(context, service_id)
  if (url !== undefined) addressOf(url)
  if (region_id) await ensureRegion(context, region_id)
  const after = {
    ...before,
    ...without({ service_id, interface: side, url, region_id }),
    enabled: input.enabled === undefined ? before.enabled : Number(input.enabled),
  } as Endpoint
  await context.database.db.updateTable('endpoints').set(after).where('id', '=', id).execute()
  changed(context)
  return after
}
export async function deleteEndpoint(context: IdentityContext, id: string): Promise<void> {
  await findEndpoint(context, id)
  await context.database.db.deleteFrom('endpoints').where('id', '=', id).execute()
  changed(context)
}

export async function ensureRegion(context: IdentityContext, id: string): Promise<void> {
  if (!(await context.database.db.selectFrom('regions').select('id').where('id', '=', id).executeTakeFirst()))
    await createRegion(context, { id })
}
export async function createRegion(
  context: IdentityContext,
  input: { id?: string; description?: string; parent_region_id?: string | null },
): Promise<Region> {
  const region: Region = { id: input.id || newId(), description: input.description ?? '', parent_id: input.parent_region_id ?? null }
  if (region.parent_id) await findRegion(context, region.parent_id)
  await unlessTaken(
    context.database.db.insertInto('regions').values(region).execute(),
    `Conflict occurred attempting to store region - Duplicate ID, ${region.id}.`,
  )
  return region
}
export async function findRegion(context: IdentityContext, id: string): Promise<Region> {
  const found = await context.database.db.selectFrom('regions').selectAll().where('id', '=', id).executeTakeFirst()
  if (!found) throw notFound(`Could not find region: ${id}.`)
  return found
}
export async function listRegions(context: IdentityContext, parentId?: string): Promise<Region[]> {
  const query = context.database.db.selectFrom('regions').selectAll().orderBy('id')
  return await (parentId === undefined ? query : query.where('parent_id', '=', parentId)).execute()
}
export async function updateRegion(
  context: IdentityContext,
  id: string,
  input: { description?: string; parent_region_id?: string | null },
): Promise<Region> {
  const before = await findRegion(context, id)
  const after = { ...before, description: input.description ?? before.description, parent_id: input.parent_region_id ?? before.parent_id }
  await context.database.db.updateTable('regions').set(after).where('id', '=', id).execute()
  return after
}
export async function deleteRegion(context: IdentityContext, id: string): Promise<void> {
  await findRegion(context, id)
  await context.database.db.deleteFrom('regions').where('id', '=', id).execute()
}

/** What an endpoint's address may leave open: `%(project_id)s` or `$(project_id)s`. */
const OPEN = /[$%]\((\w*)\)s/g
const KNOWN = ['project_id', 'tenant_id', 'user_id']

/** @throws Fault 400 for an address that leaves open what nobody knows */
function addressOf(url: string): string {
  for (const [, name] of url.matchAll(OPEN))
    if (!KNOWN.includes(name!)) throw badRequest(`Cannot create an endpoint with an invalid URL: ${url}`, 'URLValidationError')
  return url
}

/** As a token of this user and project shows it: endpoints that need a project are left out of one that has none. */
export async function catalog(context: IdentityContext, by: { userId: string; projectId: string | null }) {
  const rows = await catalogRows(context.database.db)
  const services = Map.groupBy(rows, (row) => row.service_id)
  const filled = (url: string) => url.replaceAll(OPEN, (_, name) => (name === 'user_id' ? by.userId : (by.projectId ?? '')))
  return [...services].map(([id, endpoints]) => ({
    id,
    type: endpoints[0]!.type,
    name: endpoints[0]!.name,
    endpoints: endpoints
      .filter((one) => by.projectId !== null || !/[$%]\((project|tenant)_id\)s/.test(one.url))
      .map((one) => ({ id: one.id, interface: one.interface, region: one.region_id, region_id: one.region_id, url: filled(one.url) })),
  }))
}
