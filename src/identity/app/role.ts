import { forbidden, notFound } from '../../kernel/errors/errors.ts'
import { changeSeen } from '../db/seen.ts'
import type { IdentityTables } from '../db/tables.ts'
import { changed, type IdentityContext } from './context.ts'
import { type Extra, extraOf, sentOf } from './extra.ts'
import { deleteMutable, type ResourceOptions, refuseChange, refuseImmutable } from './immutable.ts'
import { optionsOf, type Sent } from './options.ts'
import { newId, unlessTaken, unlessThere } from './unique.ts'

type Role = IdentityTables['roles']
export type Assignment = IdentityTables['assignments']
export interface Grant {
  actor: { kind: 'user' | 'group'; id: string }
  target: { kind: 'project' | 'domain' | 'system'; id: string }
  roleId: string
  inherited?: boolean
}

export async function createRole(
  context: IdentityContext,
  input: { name: string; description?: string | null; domain_id?: string | null; options?: Sent<ResourceOptions>; extra?: Extra },
): Promise<Role> {
  const role: Role = {
    id: newId(),
    name: input.name,
    domain_id: input.domain_id ?? null,
    description: input.description ?? null,
    extra_json: extraOf(null, input.extra),
    options_json: optionsOf(null, input.options),
  }
  await unlessTaken(context.database.db.insertInto('roles').values(role).execute(), taken(role))
  return role
}

const taken = (role: Role) => `Conflict occurred attempting to store role - Duplicate entry found with name ${role.name}.`

export async function findRole(context: IdentityContext, id: string, db = context.database.db): Promise<Role> {
  const found = await db.selectFrom('roles').selectAll().where('id', '=', id).executeTakeFirst()
  if (!found) throw notFound(`Could not find role: ${id}.`)
  return found
}

/** Of the whole cloud, or of one domain. */
export async function listRoles(context: IdentityContext, filters: { name?: string; domain_id?: string }): Promise<Role[]> {
  const all = context.database.db.selectFrom('roles').selectAll().orderBy('name')
  const query = filters.domain_id ? all.where('domain_id', '=', filters.domain_id) : all.where('domain_id', 'is', null)
  return await (filters.name === undefined ? query : query.where('name', '=', filters.name)).execute()
}

export async function updateRole(
  context: IdentityContext,
  id: string,
  input: { name?: string; description?: string | null; options?: Sent<ResourceOptions>; extra?: Extra },
): Promise<Role> {
  const after = await context.database.transaction(async (trx) => {
    const before = await findRole(context, id, trx)
    refuseChange('role', before, input)
    const columns: Partial<Role> = {
      ...sentOf(input, ['name', 'description']),
      extra_json: extraOf(before.extra_json, input.extra),
      options_json: optionsOf(before.options_json, input.options),
    }
    const after: Role = { ...before, ...columns }
    await unlessTaken(changeSeen(trx, 'roles', before, columns), taken(after))
    return after
  })
  changed(context)
  return after
}

export async function deleteRole(context: IdentityContext, id: string): Promise<void> {
  await context.database.transaction(async (trx) => {
    refuseImmutable('role', await findRole(context, id, trx))
    await trx.deleteFrom('assignments').where('role_id', '=', id).execute()
    await trx
      .deleteFrom('implied_roles')
      .where((where) => where.or([where('prior_id', '=', id), where('implied_id', '=', id)]))
      .execute()
    await deleteMutable(trx, 'roles', [id])
  })
  changed(context)
}

/** What a token of an administrator is made with is not handed on by implication. */
const NEVER_IMPLIED = 'admin'

/** @throws Fault 403 for what may not be implied: the administrator's role, and a domain's by one of the whole cloud; 404 */
export async function imply(context: IdentityContext, priorId: string, impliedId: string): Promise<void> {
  const { db } = context.database
  const [prior, implied] = await Promise.all([findRole(context, priorId), findRole(context, impliedId)])
  if (implied.name === NEVER_IMPLIED || (prior.domain_id === null && implied.domain_id !== null))
    throw forbidden(`${implied.id} cannot be an implied role.`)
  if (
    !(await db
      .selectFrom('implied_roles')
      .select('prior_id')
      .where('prior_id', '=', priorId)
      .where('implied_id', '=', impliedId)
      .executeTakeFirst())
  )
    await unlessThere(db.insertInto('implied_roles').values({ prior_id: priorId, implied_id: impliedId }).execute())
  changed(context)
}

/** Whoever has the one has the other: pairs of roles. */
export async function inferences(context: IdentityContext, priorId?: string): Promise<{ prior: Role; implied: Role }[]> {
  const { db } = context.database
  const query = db.selectFrom('implied_roles').selectAll()
  const pairs = await (priorId === undefined ? query : query.where('prior_id', '=', priorId)).execute()
  const roles = new Map((await db.selectFrom('roles').selectAll().execute()).map((role) => [role.id, role]))
  return pairs.map((pair) => ({ prior: roles.get(pair.prior_id)!, implied: roles.get(pair.implied_id)! }))
}

/** @throws Fault 404 */
export async function findInference(context: IdentityContext, priorId: string, impliedId: string): Promise<{ prior: Role; implied: Role }> {
  await Promise.all([findRole(context, priorId), findRole(context, impliedId)])
  const found = (await inferences(context, priorId)).find(({ implied }) => implied.id === impliedId)
  if (!found) throw notFound(`${priorId} does not imply ${impliedId}.`)
  return found
}

/** @throws Fault 404 */
export async function implyNoMore(context: IdentityContext, priorId: string, impliedId: string): Promise<void> {
  await findInference(context, priorId, impliedId)
  await context.database.db.deleteFrom('implied_roles').where('prior_id', '=', priorId).where('implied_id', '=', impliedId).execute()
  changed(context)
}

const rowOf = (grant: Grant): Assignment => ({
  actor_kind: grant.actor.kind,
  actor_id: grant.actor.id,
  target_kind: grant.target.kind,
  target_id: grant.target.id,
  role_id: grant.roleId,
  inherited: Number(grant.inherited ?? false),
})

export async function hasGrant(context: IdentityContext, grant: Grant): Promise<boolean> {
  let query = context.database.db.selectFrom('assignments').select('role_id')
  for (const [column, value] of Object.entries(rowOf(grant))) query = query.where(column as keyof Assignment, '=', value as never)
  return (await query.executeTakeFirst()) !== undefined
}

/** @throws Fault 403 for a domain's role on what is in another domain, 404 */
export async function grant(context: IdentityContext, given: Grant): Promise<void> {
  const role = await findRole(context, given.roleId)
  const domainId = await domainOf(context, given)
  if (role.domain_id !== null && role.domain_id !== domainId)
    throw forbidden(`${given.target.kind} ${given.target.id} must be in the same domain as the role ${role.id} being assigned.`)
  if (!(await hasGrant(context, given))) await unlessThere(context.database.db.insertInto('assignments').values(rowOf(given)).execute())
  changed(context)
}

export async function ungrant(context: IdentityContext, given: Grant): Promise<void> {
  if (!(await hasGrant(context, given)))
    throw notFound(
      `Could not find role assignment with role: ${given.roleId}, user or group: ${given.actor.id}, project, domain, or system: ${given.target.id}.`,
    )
  let query = context.database.db.deleteFrom('assignments')
  for (const [column, value] of Object.entries(rowOf(given))) query = query.where(column as keyof Assignment, '=', value as never)
  await query.execute()
  changed(context)
}

/** @throws Fault 404 when who may have them, or what they are on, is not there */
export async function grantsOf(context: IdentityContext, of: Pick<Grant, 'actor' | 'target' | 'inherited'>): Promise<Role[]> {
  await domainOf(context, of)
  return await context.database.db
    .selectFrom('assignments')
    .innerJoin('roles', 'roles.id', 'assignments.role_id')
    .selectAll('roles')
    .where('actor_id', '=', of.actor.id)
    .where('actor_kind', '=', of.actor.kind)
    .where('target_id', '=', of.target.id)
    .where('target_kind', '=', of.target.kind)
    .where('inherited', '=', Number(of.inherited ?? false))
    .execute()
}

/** Of what the role is given on; both must be there. @throws Fault 404 */
async function domainOf(context: IdentityContext, { actor, target }: Pick<Grant, 'actor' | 'target'>): Promise<string | null> {
  await findActor(context, actor)
  return await domainOfTarget(context, target)
}

/** @throws Fault 404 */
async function findActor({ database: { db } }: IdentityContext, { kind, id }: Grant['actor']): Promise<void> {
  const found =
    kind === 'user'
      ? await db.selectFrom('users').select('id').where('id', '=', id).executeTakeFirst()
      : await db.selectFrom('groups').select('id').where('id', '=', id).executeTakeFirst()
  if (!found) throw notFound(`Could not find ${kind}: ${id}.`)
}

/** @throws Fault 404 */
async function domainOfTarget({ database: { db } }: IdentityContext, { kind, id }: Grant['target']): Promise<string | null> {
  if (kind === 'system') return null
  const place = await db.selectFrom('projects').select(['id', 'domain_id', 'is_domain']).where('id', '=', id).executeTakeFirst()
  if (!place || (kind === 'domain' && !place.is_domain)) throw notFound(`Could not find ${kind}: ${id}.`)
  return place.domain_id ?? place.id
}

/** What a grant names must be there; when it is taken, who has it may have gone. @throws Fault 404 */
export async function findGranted(
  context: IdentityContext,
  { actor, target, roleId }: Pick<Grant, 'actor' | 'target'> & { roleId?: string },
  taken: boolean,
): Promise<void> {
  if (roleId !== undefined) await findRole(context, roleId)
  if (!taken) await findActor(context, actor)
  await domainOfTarget(context, target)
}
