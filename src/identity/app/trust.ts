import type { Transaction } from 'kysely'
import { badRequest, Fault, forbidden, notFound } from '../../kernel/errors/errors.ts'
import type { Credentials } from '../../kernel/http/context.ts'
import { projectById, type TrustRow, trustById, type UserRow, userById } from '../db/directory.ts'
import { changed, type IdentityContext, type IdentityTables } from './context.ts'
import { effectiveRoles } from './effective-roles.ts'
import { future, micro } from './expiry.ts'
import { listRoles } from './role.ts'
import { newId } from './unique.ts'
import type { Scope, Validated } from './validated.ts'

export interface NewTrust {
  trustor_user_id: string
  trustee_user_id: string
  impersonation: boolean
  project_id?: string | null
  roles?: { id?: string; name?: string }[]
  expires_at?: string | null
  remaining_uses?: number | null
  allow_redelegation?: boolean
  redelegation_count?: number | null
}

/** How often a trust may be passed on, from one to the next. */
const DEEPEST = 3

const unknown = (id: string) => notFound(`Could not find trust: ${id}.`, 'TrustNotFound')
const isOver = ({ expires_at }: TrustRow) => expires_at !== null && Date.parse(expires_at) <= Date.now()

/**
 * One user lets another act with some of the roles that the first has on a project. With a token of a trust that may be passed on the trustee makes a further one, which can do no more.
 * @throws Fault 400, 403, 404
 */
export async function createTrust(context: IdentityContext, by: Credentials, asked: NewTrust): Promise<TrustRow> {
  if (by.restricted)
    throw forbidden(
      "You are not authorized to perform the requested action: Using method 'application_credential' is not allowed for managing trusts.",
    )
  const { db } = context.database
  const { project_id = null, remaining_uses = null, allow_redelegation = false } = asked
  const source = by.trustId ? await trustById(db, by.trustId) : undefined
  const redelegation_count = allow_redelegation ? (asked.redelegation_count ?? (source ? source.redelegation_count - 1 : DEEPEST)) : 0
  if (remaining_uses !== null && allow_redelegation) throw badRequest('remaining_uses must not be set if redelegation is allowed')
  if (!(await userById(db, asked.trustee_user_id))) throw notFound(`Could not find user: ${asked.trustee_user_id}.`)
  if (project_id && !asked.roles?.length) throw forbidden('At least one role should be specified')
  const roles = project_id ? await delegated(context, asked.trustor_user_id, project_id, asked.roles ?? []) : []
  const expires_at = asked.expires_at ? micro(future(asked.expires_at)) : null
  const trust: TrustRow = {
    id: newId(),
    trustor_user_id: asked.trustor_user_id,
    trustee_user_id: asked.trustee_user_id,
    project_id,
    impersonation: Number(asked.impersonation),
    expires_at: source?.expires_at && expires_at === null ? source.expires_at : expires_at,
    remaining_uses,
    redelegation_count,
    redelegated_trust_id: source?.id ?? null,
    roles_json: JSON.stringify(roles),
  }
  if (source) mayPassOn(source, trust)
  else if (by.trustId) throw unknown(by.trustId)
  else if (redelegation_count > DEEPEST)
    throw forbidden(`Requested redelegation depth of ${redelegation_count} is greater than allowed ${DEEPEST}`)
  await db.insertInto('trusts').values(trust).execute()
  return trust
}

/** The ids of these roles. @throws Fault 403 for a trustor who is off the project, 404 for a role that the trustor does not have there */
async function delegated(context: IdentityContext, trustorId: string, projectId: string, asked: NonNullable<NewTrust['roles']>) {
  const project = await projectById(context.database.db, projectId)
  const held = project ? await effectiveRoles(context, trustorId, { kind: 'project', project }) : []
  const known = await listRoles(context, {})
  return asked.map(({ id, name }) => {
    const role = known.find((one) => (id ? one.id === id : one.name === name))
    if (!role || !held.some((one) => one.id === role.id)) throw notFound(`Could not find role: ${id ?? name}.`, 'RoleNotFound')
    return role.id
  })
}

/** One that lends no face is nobody's to pass on: the trustor of the new one would be another. @throws Fault 403 */
function mayPassOn(source: TrustRow, trust: TrustRow): void {
  if (trust.redelegation_count >= source.redelegation_count)
    throw forbidden(`Remaining redelegation depth of ${source.redelegation_count} out of allowed range of [0..${DEEPEST}]`)
  if (trust.trustor_user_id !== source.trustor_user_id || trust.project_id !== source.project_id)
    throw forbidden('A trust is passed on for the same trustor and project.')
  const held: string[] = JSON.parse(source.roles_json)
  if (!(JSON.parse(trust.roles_json) as string[]).every((role) => held.includes(role)))
    throw forbidden('Some of requested roles are not in redelegated trust')
  if (source.expires_at && trust.expires_at! > source.expires_at)
    throw forbidden('Requested expiration time is more than redelegated trust can provide')
}

export async function listTrusts(
  { database }: IdentityContext,
  filters: { trustor_user_id?: string; trustee_user_id?: string },
): Promise<TrustRow[]> {
  let query = database.db.selectFrom('trusts').selectAll().orderBy('id')
  for (const side of ['trustor_user_id', 'trustee_user_id'] as const)
    if (filters[side] !== undefined) query = query.where(side, '=', filters[side])
  return (await query.execute()).filter((trust) => !isOver(trust))
}

/** @throws Fault 404, also when it has expired */
export async function findTrust({ database }: IdentityContext, id: string): Promise<TrustRow> {
  const trust = await trustById(database.db, id)
  if (!trust || isOver(trust)) throw unknown(id)
  return trust
}

/** Its tokens end with it, and the trusts that were made with it. */
export async function deleteTrust(context: IdentityContext, id: string): Promise<void> {
  await findTrust(context, id)
  await context.database.transaction((trx) => removeWithChains(trx, [id]))
  changed(context)
}

/** Of users who go: what they lent, what was lent to them, and what they passed on of that. */
export async function removeTrustsOf(trx: Transaction<IdentityTables>, userIds: string[]): Promise<void> {
  const theirs = await trx
    .selectFrom('trusts')
    .select('id')
    .where((where) => where.or([where('trustor_user_id', 'in', userIds), where('trustee_user_id', 'in', userIds)]))
    .execute()
  await removeWithChains(
    trx,
    theirs.map((one) => one.id),
  )
}

async function removeWithChains(trx: Transaction<IdentityTables>, trusts: string[]): Promise<void> {
  for (let ids = trusts; ids.length > 0; ) {
    await trx.deleteFrom('trusts').where('id', 'in', ids).execute()
    ids = (await trx.selectFrom('trusts').select('id').where('redelegated_trust_id', 'in', ids).execute()).map((one) => one.id)
  }
}

/**
 * The trustee comes with a trust: as whom, where and with which roles the token is. Counts the use.
 * @throws Fault 403 when it is not this user's, or the trustor cannot do any more what it lends; 404
 */
export async function openTrust(
  context: IdentityContext,
  id: string,
  trustee: UserRow,
): Promise<Pick<Validated, 'user' | 'scope' | 'roles'> & { trust: TrustRow }> {
  const { db } = context.database
  const trust = await findTrust(context, id)
  if (trust.trustee_user_id !== trustee.id) throw forbidden('User is not a trustee.')
  const trustor = await userById(db, trust.trustor_user_id)
  if (!trustor?.enabled || !trustor.domain_enabled) throw forbidden('Trustor is disabled.')
  const project = trust.project_id ? await projectById(db, trust.project_id) : undefined
  if (trust.project_id && (!project?.enabled || !project.domain_enabled))
    throw new Fault(401, 'Unauthorized', 'The project of the trust is disabled.')
  const scope: Scope = project ? { kind: 'project', project } : { kind: 'unscoped' }
  const roles = await trustHolds(context, trust, scope)
  if (!roles) throw forbidden('Trustee has no delegated roles.')
  if (trust.remaining_uses !== null) {
    const used = await db
      .updateTable('trusts')
      .set((eb) => ({ remaining_uses: eb('remaining_uses', '-', 1) }))
      .where('id', '=', id)
      .where('remaining_uses', '>', 0)
      .executeTakeFirst()
    if (used.numUpdatedRows === 0n) throw forbidden(`The trust ${id} was for so many uses, and they are consumed.`)
  }
  return { user: trust.impersonation ? trustor : trustee, scope, roles, trust }
}

/** What the trust lends, with what that implies; null when it is over, or its trustor or trustee is gone or disabled, or the trustor has a role of it no longer. */
export async function trustHolds(context: IdentityContext, trust: TrustRow, scope: Scope): Promise<{ id: string; name: string }[] | null> {
  if (isOver(trust)) return null
  const { db } = context.database
  for (const id of [trust.trustor_user_id, trust.trustee_user_id]) {
    const user = await userById(db, id)
    if (!user?.enabled || !user.domain_enabled) return null
  }
  const lent: string[] = JSON.parse(trust.roles_json)
  const roles = await effectiveRoles(context, trust.trustor_user_id, scope, lent)
  return lent.every((id) => roles.some((role) => role.id === id)) ? roles : null
}
