import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import { changeSeen } from '../db/seen.ts'
import type { IdentityTables } from '../db/tables.ts'
import { keepOld, refuseOld, tryPassword } from './compliance.ts'
import { changed, type IdentityContext } from './context.ts'
import { type Extra, extraOf, sentOf } from './extra.ts'
import { optionsIn, optionsOf, type Sent, type UserOptions } from './options.ts'
import { hashPassword } from './password.ts'
import { findProject } from './project.ts'
import { revoke } from './tokens.ts'
import { removeTrustsOf } from './trust.ts'
import { newId, unlessTaken, unlessThere } from './unique.ts'

type Db = IdentityContext['database']['db']
type User = IdentityTables['users']
type Group = IdentityTables['groups']

export interface UserInput {
  name?: string
  domain_id?: string
  default_project_id?: string | null
  description?: string | null
  email?: string | null
  enabled?: boolean
  password?: string | null
  options?: Sent<UserOptions>
  extra?: Extra
}

/** `random`: the password was drawn, not chosen. */
export async function createUser(context: IdentityContext, input: UserInput & { name: string }, { random = false } = {}): Promise<User> {
  const user: User = {
    id: newId(),
    name: input.name,
    domain_id: input.domain_id ?? 'default',
    default_project_id: input.default_project_id ?? null,
    description: input.description ?? null,
    email: input.email ?? null,
    enabled: Number(input.enabled ?? true),
    password_hash: input.password ? await hashPassword(input.password, { random }) : null,
    password_changed_at: input.password ? timestamp() : null,
    failures: 0,
    failed_at: null,
    extra_json: extraOf(null, input.extra),
    options_json: optionsOf(null, input.options),
  }
  await findProject(context, user.domain_id, true)
  await unique(context.database.db, 'users', user)
  await unlessTaken(context.database.db.insertInto('users').values(user).execute(), taken('user', user))
  changed(context)
  return user
}

export async function findUser(context: IdentityContext, id: string, db = context.database.db): Promise<User> {
  const found = await db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst()
  if (!found) throw notFound(`Could not find user: ${id}.`)
  return found
}

export async function listUsers(
  context: IdentityContext,
  filters: { name?: string; domain_id?: string; enabled?: boolean; group_id?: string },
): Promise<User[]> {
  let query = context.database.db.selectFrom('users').selectAll().orderBy('name')
  if (filters.name !== undefined) query = query.where('name', '=', filters.name)
  if (filters.domain_id !== undefined) query = query.where('domain_id', '=', filters.domain_id)
  if (filters.enabled !== undefined) query = query.where('enabled', '=', Number(filters.enabled))
  if (filters.group_id !== undefined)
    query = query.where('id', 'in', (sub) => sub.selectFrom('memberships').select('user_id').where('group_id', '=', filters.group_id!))
  return await query.execute()
}

export async function updateUser(context: IdentityContext, id: string, input: UserInput, { random = false } = {}): Promise<User> {
  const { password, enabled } = input
  const password_hash = password ? await hashPassword(password, { random }) : null
  const { before, after } = await context.database.transaction(async (trx) => {
    const before = await findUser(context, id, trx)
    if (input.domain_id !== undefined && input.domain_id !== before.domain_id) throw badRequest('The domain of a user cannot be changed.')
    const columns: Partial<User> = {
      ...sentOf(input, ['name', 'default_project_id', 'description', 'email']),
      ...(enabled === undefined ? {} : { enabled: Number(enabled) }),
      extra_json: extraOf(before.extra_json, input.extra),
      options_json: optionsOf(before.options_json, input.options),
      ...(password_hash === null ? {} : { password_hash, password_changed_at: timestamp() }),
      // whoever enables a user, or sets the password, lets in whom wrong passwords have locked out
      ...(enabled || password_hash !== null ? { failures: 0, failed_at: null } : {}),
    }
    const after: User = { ...before, ...columns }
    if (after.name !== before.name) await unique(trx, 'users', after)
    await unlessTaken(changeSeen(trx, 'users', before, columns), taken('user', after))
    return { before, after }
  })
  if (password && before.password_hash) await keepOld(context, id, before.password_hash)
  if (password || (before.enabled && !after.enabled)) await revoke(context, { userId: id })
  changed(context)
  return after
}

/** @throws Fault 401 when the old password is wrong, 400 when it is not the user's to change, or the new one was used before and that is against the rules */
export async function changeOwnPassword(context: IdentityContext, id: string, original: string, password: string): Promise<void> {
  const user = await context.database.db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst()
  if (!(await tryPassword(context, user, original)) || !user?.enabled)
    throw new Fault(401, 'Unauthorized', 'The request you have made requires authentication.')
  if (optionsIn(user).lock_password)
    throw badRequest(
      'You cannot change your password at this time due to password policy disallowing password changes. Please contact your administrator to reset your password.',
    )
  await refuseOld(context, user, password)
  await updateUser(context, id, { password })
}

export async function deleteUser(context: IdentityContext, id: string): Promise<void> {
  await findUser(context, id)
  await context.database.transaction(async (trx) => {
    await trx.deleteFrom('assignments').where('actor_id', '=', id).execute()
    await trx.deleteFrom('memberships').where('user_id', '=', id).execute()
    await trx.deleteFrom('application_credentials').where('user_id', '=', id).execute()
    await trx.deleteFrom('old_passwords').where('user_id', '=', id).execute()
    await trx.deleteFrom('credentials').where('user_id', '=', id).execute()
    await removeTrustsOf(trx, [id])
    await trx.deleteFrom('users').where('id', '=', id).execute()
  })
  changed(context)
}

export interface GroupInput {
  name?: string
  description?: string | null
  extra?: Extra
}

const described = (description: string, isNull: boolean) => ({ description, description_is_null: Number(isNull) })

export async function createGroup(context: IdentityContext, input: GroupInput & { name: string; domain_id?: string }): Promise<Group> {
  const group: Group = {
    id: newId(),
    name: input.name,
    domain_id: input.domain_id ?? 'default',
    ...described(input.description ?? '', input.description === null),
    extra_json: extraOf(null, input.extra),
  }
  await findProject(context, group.domain_id, true)
  await unique(context.database.db, 'groups', group)
  await unlessTaken(context.database.db.insertInto('groups').values(group).execute(), taken('group', group))
  return group
}

export async function findGroup(context: IdentityContext, id: string, db = context.database.db): Promise<Group> {
  const found = await db.selectFrom('groups').selectAll().where('id', '=', id).executeTakeFirst()
  if (!found) throw notFound(`Could not find group: ${id}.`)
  return found
}

export async function listGroups(
  context: IdentityContext,
  filters: { name?: string; domain_id?: string; user_id?: string },
): Promise<Group[]> {
  let query = context.database.db.selectFrom('groups').selectAll().orderBy('name')
  if (filters.name !== undefined) query = query.where('name', '=', filters.name)
  if (filters.domain_id !== undefined) query = query.where('domain_id', '=', filters.domain_id)
  if (filters.user_id !== undefined)
    query = query.where('id', 'in', (sub) => sub.selectFrom('memberships').select('group_id').where('user_id', '=', filters.user_id!))
  return await query.execute()
}

export async function updateGroup(context: IdentityContext, id: string, input: GroupInput): Promise<Group> {
  return await context.database.transaction(async (trx) => {
    const before = await findGroup(context, id, trx)
    const columns: Partial<Group> = {
      ...sentOf(input, ['name']),
      ...(input.description === undefined ? {} : described(input.description ?? '', input.description === null)),
      extra_json: extraOf(before.extra_json, input.extra),
    }
    const after: Group = { ...before, ...columns }
    if (after.name !== before.name) await unique(trx, 'groups', after)
    await unlessTaken(changeSeen(trx, 'groups', before, columns), taken('group', after))
    return after
  })
}

export async function deleteGroup(context: IdentityContext, id: string): Promise<void> {
  await findGroup(context, id)
  await context.database.transaction(async (trx) => {
    await trx.deleteFrom('assignments').where('actor_id', '=', id).execute()
    await trx.deleteFrom('memberships').where('group_id', '=', id).execute()
    await trx.deleteFrom('groups').where('id', '=', id).execute()
  })
  changed(context)
}

export async function isMember(context: IdentityContext, groupId: string, userId: string): Promise<boolean> {
  return (
    (await context.database.db
      .selectFrom('memberships')
      .select('user_id')
      .where('group_id', '=', groupId)
      .where('user_id', '=', userId)
      .executeTakeFirst()) !== undefined
  )
}

export async function setMember(context: IdentityContext, groupId: string, userId: string, member: boolean): Promise<void> {
  await Promise.all([findGroup(context, groupId), findUser(context, userId)])
  const there = await isMember(context, groupId, userId)
  if (member && !there)
    await unlessThere(context.database.db.insertInto('memberships').values({ group_id: groupId, user_id: userId }).execute())
  if (!member && !there) throw notFound(`User ${userId} not found in group ${groupId}.`)
  if (!member) await context.database.db.deleteFrom('memberships').where('group_id', '=', groupId).where('user_id', '=', userId).execute()
  changed(context)
}

async function unique(db: Db, table: 'users' | 'groups', row: { id: string; name: string; domain_id: string }): Promise<void> {
  const other = await db
    .selectFrom(table)
    .select('id')
    .where('name', '=', row.name)
    .where('domain_id', '=', row.domain_id)
    .where('id', '!=', row.id)
    .executeTakeFirst()
  if (other) throw conflict(taken(table === 'users' ? 'user' : 'group', row))
}

const taken = (what: 'user' | 'group', row: { name: string; domain_id: string }) =>
  `Conflict occurred attempting to store ${what} - Duplicate entry found with name ${row.name} at domain ID ${row.domain_id}.`
