import type { Kysely, Transaction } from 'kysely'
import { prepared, preparedFor } from '../../kernel/db/prepared.ts'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import type { ComputeTables } from '../db/tables.ts'
import type { ComputeContext } from './context.ts'

/** Nova's defaults, which are the article's. -1: no limit. */
export const DEFAULT_LIMITS = {
  instances: 10,
  cores: 20,
  ram: 51200,
  floating_ips: 10,
  fixed_ips: -1,
  metadata_items: 128,
  injected_files: 5,
  injected_file_content_bytes: 10240,
  injected_file_path_bytes: 255,
  key_pairs: 100,
  security_groups: 10,
  security_group_rules: 20,
  server_groups: 10,
  server_group_members: 10,
} as const

export type Resource = keyof typeof DEFAULT_LIMITS
export type Limits = Record<Resource, number>
export const RESOURCES = Object.keys(DEFAULT_LIMITS) as Resource[]

const CLASS = 'class:default'

export function ownerOf(projectId: string, userId?: string | null): string {
  const owner = userId ? `${projectId}/${userId}` : projectId
  if (owner.length > 255) throw badRequest('That is no id of a project or user')
  return owner
}

const quotasOf = preparedFor<ComputeTables['quotas']>((db, owners) => db.selectFrom('quotas').selectAll().where('owner', 'in', owners))

/** A user's own limits over the project's over the default class's over those above. */
export async function limitsOf(db: Handle, projectId: string, userId?: string | null): Promise<Limits> {
  const owners = [CLASS, ownerOf(projectId), ...(userId ? [ownerOf(projectId, userId)] : [])]
  const rows = await quotasOf(db, owners)
  const limits: Limits = { ...DEFAULT_LIMITS }
  for (const owner of owners) for (const row of rows) if (row.owner === owner) limits[row.resource as Resource] = Number(row.hard_limit)
  return limits
}

export const defaultLimits = (context: ComputeContext): Promise<Limits> => limitsOf(context.database.db, '')

export async function setLimits(context: ComputeContext, owner: string, limits: Partial<Limits>): Promise<void> {
  const rows = Object.entries(limits).map(([resource, hard_limit]) => ({ owner, resource, hard_limit }))
  if (rows.length === 0) return
  await context.database.transaction(async (trx) => {
    await trx.deleteFrom('quotas').where('owner', '=', owner).where('resource', 'in', Object.keys(limits)).execute()
    await trx.insertInto('quotas').values(rows).execute()
  })
}

export const setDefaultLimits = (context: ComputeContext, limits: Partial<Limits>) => setLimits(context, CLASS, limits)

export async function forgetLimits(context: ComputeContext, owner: string): Promise<void> {
  await context.database.db.deleteFrom('quotas').where('owner', '=', owner).execute()
}

export interface Usage {
  instances: number
  cores: number
  ram: number
}

const usageIn = (db: Kysely<ComputeTables>, projectId: string) =>
  db
    .selectFrom('instances')
    .select((eb) => [eb.fn.countAll<number>().as('instances'), eb.fn.sum<number>('vcpus').as('cores'), eb.fn.sum<number>('ram').as('ram')])
    .where('project_id', '=', projectId)
    .where('deleted', '=', 0)
const usageOfProject = prepared((db: Kysely<ComputeTables>, { projectId }: { projectId: string }) => usageIn(db, projectId))
const usageOfUser = prepared((db: Kysely<ComputeTables>, { projectId, userId }: { projectId: string; userId: string }) =>
  usageIn(db, projectId).where('user_id', '=', userId),
)

export async function usageOf(db: Handle, projectId: string, userId?: string | null): Promise<Usage> {
  const { rows } = await (userId ? usageOfUser(db, { projectId, userId }) : usageOfProject(db, { projectId }))
  const row = rows[0]!
  return { instances: Number(row.instances), cores: Number(row.cores ?? 0), ram: Number(row.ram ?? 0) }
}

/**
 * Step 6. Takes the project's turn until the transaction ends, counts what there is and compares with the limits: two requests cannot both take the last place.
 * The rows that the caller inserts in the same transaction are the reservation.
 * @throws Fault 403 TooManyInstances naming what would be exceeded
 */
export async function reserve(
  trx: Transaction<ComputeTables>,
  projectId: string,
  wanted: Usage,
): Promise<{ limits: Limits; used: Usage; text: string }> {
  await takeTurn(trx, projectId)
  return withinLimits({ limits: await limitsOf(trx, projectId), used: await usageOf(trx, projectId) }, wanted)
}

function withinLimits({ limits, used }: { limits: Limits; used: Usage }, wanted: Usage): { limits: Limits; used: Usage; text: string } {
  const over = (['instances', 'cores', 'ram'] as const).filter(
    (one) => limits[one] >= 0 && wanted[one] > 0 && used[one] + wanted[one] > limits[one],
  )
  if (over.length > 0) {
    const list = (of: Record<string, number>) => over.map((one) => of[one]).join(', ')
    throw new Fault(
      403,
      'TooManyInstances',
      `Quota exceeded for ${over.join(', ')}: Requested ${list({ ...wanted })}, but already used ${list({ ...used })} of ${list(limits)} ${over.join(', ')}`,
      { details: { over, wanted, used } },
    )
  }
  const text = (['instances', 'cores', 'ram'] as const)
    .map((one) => `${one} ${used[one]}+${wanted[one]} of ${limits[one] < 0 ? 'any' : limits[one]}`)
    .join(', ')
  return { limits, used, text }
}

/** {@link reserve}s for as many servers as there is room for, `least` to `most` of them. @throws Fault 403 when not even `least` fit */
export async function reserveServers(
  trx: Transaction<ComputeTables>,
  projectId: string,
  limits: Limits,
  each: Omit<Usage, 'instances'>,
  { least, most }: { least: number; most: number },
): Promise<{ count: number; text: string }> {
  await takeTurn(trx, projectId)
  const used = await usageOf(trx, projectId)
  const room = (one: keyof Usage, amount: number) =>
    limits[one] < 0 || amount === 0 ? most : Math.floor((limits[one] - used[one]) / amount)
  const count = Math.max(least, Math.min(most, room('instances', 1), room('cores', each.cores), room('ram', each.ram)))
  const { text } = withinLimits({ limits, used }, { instances: count, cores: count * each.cores, ram: count * each.ram })
  return { count, text }
}

/**
 * Transactions that name the same thing (a project, `user:<id>`, `group:<id>`, ...) follow one another: to be called before anything is read. It moves a generation on, so that
 * two of them on two nodes of a cluster collide as well, and the later one runs again.
 */
export async function takeTurn(trx: Transaction<ComputeTables>, of: string): Promise<void> {
  const { numAffectedRows } = await moveOn(trx, { of })
  if (numAffectedRows === 0n) await trx.insertInto('quota_locks').values({ project_id: of, generation: 1 }).execute()
}

const moveOn = prepared((db: Kysely<ComputeTables>, { of }: { of: string }) =>
  db
    .updateTable('quota_locks')
    .set((eb) => ({ generation: eb('generation', '+', 1) }))
    .where('project_id', '=', of),
)
