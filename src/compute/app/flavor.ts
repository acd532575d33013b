import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { fromJson, timestamp, toJson } from '../../kernel/db/columns.ts'
import { prepared } from '../../kernel/db/prepared.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import type { ComputeTables, FlavorRow } from '../db/tables.ts'
import type { FlavorSpec } from '../rpc.ts'
import type { ComputeContext } from './context.ts'

export interface Flavor extends Omit<FlavorRow, 'extra_specs_json'> {
  extraSpecs: Record<string, string>
}

export interface NewFlavor {
  id?: string | number | null
  name: string
  vcpus: number
  ram: number
  disk: number
  ephemeral?: number
  swap?: number
  rxtxFactor?: number
  isPublic?: boolean
  description?: string | null
}

const dress = ({ extra_specs_json, ...row }: FlavorRow): Flavor => ({ ...row, extraSpecs: fromJson(extra_specs_json) })

/** @throws Fault 409 when id or name is taken */
export async function createFlavor(context: ComputeContext, wanted: NewFlavor): Promise<Flavor> {
  const id = wanted.id === undefined || wanted.id === null || wanted.id === 'auto' ? randomUUID() : String(wanted.id)
  if (!/^[\w. -]{1,255}$/.test(id) || id.trim() !== id)
    throw badRequest(`id '${id}' may hold letters, digits, periods, underscores, hyphens and spaces only.`)
  const row: FlavorRow = {
    id,
    name: wanted.name,
    vcpus: wanted.vcpus,
    ram: wanted.ram,
    disk: wanted.disk,
    ephemeral: wanted.ephemeral ?? 0,
    swap: wanted.swap ?? 0,
    rxtx_factor: wanted.rxtxFactor ?? 1,
    is_public: wanted.isPublic === false ? 0 : 1,
    disabled: 0,
    description: wanted.description ?? null,
    extra_specs_json: '{}',
    created_at: timestamp(),
  }
  await context.database.transaction(async (trx) => {
    const taken = await trx
      .selectFrom('flavors')
      .select(['id', 'name'])
      .where((eb) => eb.or([eb('id', '=', row.id), eb('name', '=', row.name)]))
      .executeTakeFirst()
    if (taken?.id === row.id) throw conflict(`Flavor with ID ${row.id} already exists.`, 'FlavorIdExists')
    if (taken) throw conflict(`Flavor with name ${row.name} already exists.`, 'FlavorExists')
    await trx.insertInto('flavors').values(row).execute()
  })
  return dress(row)
}

export interface FlavorFilter {
  /** null: public and not; true or false: only these. For others than administrators: their project, of whose flavors those not public are seen too. */
  isPublic: boolean | null
  accessOf: string | null
  minDisk?: number
  minRam?: number
  sortKey?: string
  sortDir?: 'asc' | 'desc'
  marker?: string
  limit: number
}

const SORT_KEYS: Record<string, keyof FlavorRow> = {
  flavorid: 'id',
  name: 'name',
  memory_mb: 'ram',
  vcpus: 'vcpus',
  root_gb: 'disk',
  ephemeral_gb: 'ephemeral',
  swap: 'swap',
  created_at: 'created_at',
  id: 'id',
}

export async function listFlavors(context: ComputeContext, filter: FlavorFilter): Promise<Flavor[]> {
  let query = context.database.db.selectFrom('flavors').selectAll()
  const { accessOf } = filter
  if (accessOf !== null)
    query = query.where((eb) =>
      eb.or([
        eb('is_public', '=', 1),
        eb('id', 'in', eb.selectFrom('flavor_access').select('flavor_id').where('project_id', '=', accessOf)),
      ]),
    )
  else if (filter.isPublic !== null) query = query.where('is_public', '=', filter.isPublic ? 1 : 0)
  if (filter.minDisk) query = query.where('disk', '>=', filter.minDisk)
  if (filter.minRam) query = query.where('ram', '>=', filter.minRam)
  const wanted = filter.sortKey ?? 'flavorid'
  const key = Object.hasOwn(SORT_KEYS, wanted) ? SORT_KEYS[wanted] : undefined
  if (!key) throw badRequest(`Invalid sort key '${filter.sortKey}'. Valid ones: ${Object.keys(SORT_KEYS).join(', ')}`)
  const rows = await query
    .orderBy(key, filter.sortDir ?? 'asc')
    .orderBy('id', filter.sortDir ?? 'asc')
    .execute()
  const from = filter.marker === undefined ? 0 : rows.findIndex((row) => row.id === filter.marker) + 1
  if (filter.marker !== undefined && from === 0) throw badRequest(`marker [${filter.marker}] not found`)
  return rows.slice(from, from + filter.limit).map(dress)
}

const byId = prepared((db: Kysely<ComputeTables>, { id }: { id: string }) => db.selectFrom('flavors').selectAll().where('id', '=', id))

/** @throws Fault 404 also when `project` may not know of it */
export async function findFlavor(context: ComputeContext, id: string, project: string | null): Promise<Flavor> {
  const [row] = (await byId(context.database.db, { id })).rows
  const missing = notFound(`Flavor ${id} could not be found.`, 'FlavorNotFound')
  if (!row) throw missing
  if (!row.is_public && project !== null && !(await accessList(context, id)).includes(project)) throw missing
  return dress(row)
}

export async function deleteFlavor(context: ComputeContext, id: string): Promise<void> {
  await findFlavor(context, id, null)
  await context.database.transaction(async (trx) => {
    await trx.deleteFrom('flavor_access').where('flavor_id', '=', id).execute()
    await trx.deleteFrom('flavors').where('id', '=', id).execute()
  })
}

export async function updateFlavor(context: ComputeContext, id: string, description: string | null): Promise<Flavor> {
  await context.database.db.updateTable('flavors').set({ description }).where('id', '=', id).execute()
  return await findFlavor(context, id, null)
}

/** `null` takes a key away. */
export async function changeExtraSpecs(
  context: ComputeContext,
  id: string,
  changes: Record<string, string | null>,
): Promise<Record<string, string>> {
  return await context.database.transaction(async (trx) => {
    const row = await trx.selectFrom('flavors').select('extra_specs_json').where('id', '=', id).executeTakeFirst()
    if (!row) throw notFound(`Flavor ${id} could not be found.`, 'FlavorNotFound')
    const after = { ...fromJson<Record<string, string | null>>(row.extra_specs_json), ...changes }
    const kept = Object.fromEntries(Object.entries(after).filter(([, value]) => value !== null)) as Record<string, string>
    await trx
      .updateTable('flavors')
      .set({ extra_specs_json: toJson(kept) })
      .where('id', '=', id)
      .execute()
    return kept
  })
}

export async function accessList(context: ComputeContext, id: string): Promise<string[]> {
  const rows = await context.database.db.selectFrom('flavor_access').select('project_id').where('flavor_id', '=', id).execute()
  return rows.map((row) => row.project_id)
}

export async function grantAccess(context: ComputeContext, id: string, projectId: string): Promise<void> {
  if ((await accessList(context, id)).includes(projectId))
    throw conflict(`Flavor access already exists for flavor ${id} and project ${projectId} combination.`, 'FlavorAccessExists')
  await context.database.db.insertInto('flavor_access').values({ flavor_id: id, project_id: projectId }).execute()
}

export async function revokeAccess(context: ComputeContext, id: string, projectId: string): Promise<void> {
  const gone = await context.database.db
    .deleteFrom('flavor_access')
    .where('flavor_id', '=', id)
    .where('project_id', '=', projectId)
    .executeTakeFirst()
  if (gone.numDeletedRows === 0n) throw notFound(`Flavor access not found for ${id} and ${projectId} combination.`, 'FlavorAccessNotFound')
}

export const specOfFlavor = (flavor: Flavor): FlavorSpec => ({
  id: flavor.id,
  name: flavor.name,
  vcpus: Number(flavor.vcpus),
  ramMiB: Number(flavor.ram),
  rootGiB: Number(flavor.disk),
  ephemeralGiB: Number(flavor.ephemeral),
  swapMiB: Number(flavor.swap),
  extraSpecs: flavor.extraSpecs,
})
