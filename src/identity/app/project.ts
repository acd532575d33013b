import { badRequest, conflict, forbidden, notFound } from '../../kernel/errors/errors.ts'
import { changeSeen } from '../db/seen.ts'
import type { IdentityTables } from '../db/tables.ts'
import { changed, type IdentityContext } from './context.ts'
import { type Extra, extraOf, sentOf } from './extra.ts'
import { deleteMutable, type ResourceOptions, refuseChange, refuseImmutable } from './immutable.ts'
import { optionsOf, type Sent } from './options.ts'
import { fitsTags, type TagFilters, tagsOf } from './project-tags.ts'
import { refuseBranch, refuseMove, refuseSwitch } from './project-tree.ts'
import { revoke } from './tokens.ts'
import { removeTrustsOf } from './trust.ts'
import { newId, unlessTaken } from './unique.ts'

type Project = IdentityTables['projects']

const kindOf = (project: Project) => (project.is_domain ? 'domain' : 'project')

export interface ProjectInput {
  id?: string
  name?: string
  domain_id?: string
  parent_id?: string
  is_domain?: boolean
  description?: string
  enabled?: boolean
  tags?: string[]
  options?: Sent<ResourceOptions>
  extra?: Extra
}

/** @throws Fault 409 when the name is taken in its domain */
export async function createProject(context: IdentityContext, input: ProjectInput & { name: string }, isDomain: boolean): Promise<Project> {
  const project: Project = {
    id: input.id ?? newId(),
    name: input.name,
    domain_id: isDomain ? null : (input.domain_id ?? 'default'),
    parent_id: isDomain ? null : (input.parent_id ?? input.domain_id ?? 'default'),
    description: input.description ?? '',
    enabled: Number(input.enabled ?? true),
    is_domain: Number(isDomain),
    tags_json: tagsOf(input.tags ?? []),
    extra_json: extraOf(null, input.extra),
    options_json: optionsOf(null, input.options),
  }
  if (!isDomain) await findProject(context, project.domain_id!, true)
  if (project.parent_id !== project.domain_id) {
    const parent = await findProject(context, project.parent_id!, false)
    if (parent.domain_id !== project.domain_id) throw badRequest(`Project ${parent.id} is in another domain: it cannot be the parent.`)
  }
  await refuseBranch(context.database.db, project)
  await unique(context.database.db, project)
  await unlessTaken(context.database.db.insertInto('projects').values(project).execute(), taken(project))
  changed(context)
  return project
}

/** `isDomain` null: one or the other. @throws Fault 404 */
export async function findProject(
  context: IdentityContext,
  id: string,
  isDomain: boolean | null,
  db = context.database.db,
): Promise<Project> {
  const found = await db.selectFrom('projects').selectAll().where('id', '=', id).executeTakeFirst()
  if (!found || (isDomain !== null && found.is_domain !== Number(isDomain)))
    throw notFound(`Could not find ${isDomain ? 'domain' : 'project'}: ${id}.`)
  return found
}

export async function listProjects(
  context: IdentityContext,
  filters: { name?: string; domain_id?: string; parent_id?: string; enabled?: boolean; ids?: string[] } & TagFilters,
  isDomain: boolean,
): Promise<Project[]> {
  let query = context.database.db.selectFrom('projects').selectAll().where('is_domain', '=', Number(isDomain)).orderBy('name')
  if (filters.name !== undefined) query = query.where('name', '=', filters.name)
  if (filters.domain_id !== undefined) query = query.where('domain_id', '=', filters.domain_id)
  if (filters.parent_id !== undefined) query = query.where('parent_id', '=', filters.parent_id)
  if (filters.enabled !== undefined) query = query.where('enabled', '=', Number(filters.enabled))
  if (filters.ids) query = query.where('id', 'in', filters.ids.length > 0 ? filters.ids : [''])
  return (await query.execute()).filter((project) => fitsTags(project, filters))
}

/** @throws Fault 400, 403, 404, and 409 when the name is taken in its domain */
export async function updateProject(context: IdentityContext, id: string, input: ProjectInput, isDomain: boolean | null): Promise<Project> {
  const { before, after } = await context.database.transaction(async (trx) => {
    const before = await findProject(context, id, isDomain, trx)
    refuseChange(kindOf(before), before, input)
    refuseMove(before, input)
    if (input.enabled !== undefined) await refuseSwitch(trx, before, input.enabled)
    const columns: Partial<Project> = {
      ...sentOf(input, ['name', 'description']),
      ...(input.enabled === undefined ? {} : { enabled: Number(input.enabled) }),
      ...(input.tags === undefined ? {} : { tags_json: tagsOf(input.tags) }),
      extra_json: extraOf(before.extra_json, input.extra),
      options_json: optionsOf(before.options_json, input.options),
    }
    const after: Project = { ...before, ...columns }
    if (after.name !== before.name) await unique(trx, after)
    await unlessTaken(changeSeen(trx, 'projects', before, columns), taken(after))
    return { before, after }
  })
  if (before.enabled && !after.enabled) await revoke(context, { projectId: id })
  changed(context)
  return after
}

/** A domain goes with all that is in it. @throws Fault 403 for a domain that is enabled, a project with others below it, and what is immutable or has such in it */
export async function deleteProject(context: IdentityContext, id: string, kind: boolean | null): Promise<void> {
  await context.database.transaction(async (trx) => {
    const project = await findProject(context, id, kind, trx)
    refuseImmutable(kindOf(project), project)
    const isDomain = project.is_domain === 1
    if (isDomain && project.enabled) throw forbidden('Cannot delete a domain that is enabled, please disable it first.')
    const inside = await trx
      .selectFrom('projects')
      .select(['id', 'options_json'])
      .where(isDomain ? 'domain_id' : 'parent_id', '=', id)
      .execute()
    if (!isDomain && inside.length > 0) throw forbidden(`Cannot delete project ${id}, it has child projects.`)
    for (const each of inside) refuseImmutable('project', each)
    const ids = [id, ...inside.map((each) => each.id)]
    if (isDomain) {
      const users = (await trx.selectFrom('users').select('id').where('domain_id', '=', id).execute()).map((row) => row.id)
      const groups = (await trx.selectFrom('groups').select('id').where('domain_id', '=', id).execute()).map((row) => row.id)
      if (users.length + groups.length > 0)
        await trx
          .deleteFrom('assignments')
          .where('actor_id', 'in', [...users, ...groups])
          .execute()
      if (users.length > 0)
        for (const table of ['memberships', 'application_credentials', 'old_passwords', 'credentials'] as const)
          await trx.deleteFrom(table).where('user_id', 'in', users).execute()
      if (users.length > 0) await removeTrustsOf(trx, users)
      await trx.deleteFrom('users').where('domain_id', '=', id).execute()
      await trx.deleteFrom('groups').where('domain_id', '=', id).execute()
    }
    await trx.deleteFrom('assignments').where('target_id', 'in', ids).execute()
    await trx.deleteFrom('application_credentials').where('project_id', 'in', ids).execute()
    await trx.deleteFrom('credentials').where('project_id', 'in', ids).execute()
    await trx.deleteFrom('trusts').where('project_id', 'in', ids).execute()
    await deleteMutable(trx, 'projects', ids)
  })
  changed(context)
}

async function unique(db: IdentityContext['database']['db'], project: Project): Promise<void> {
  const other = await db
    .selectFrom('projects')
    .select('id')
    .where('name', '=', project.name)
    .where('is_domain', '=', project.is_domain)
    .where('domain_id', project.domain_id === null ? 'is' : '=', project.domain_id)
    .where('id', '!=', project.id)
    .executeTakeFirst()
  if (other) throw conflict(taken(project))
}

const taken = (project: Project) =>
  `Conflict occurred attempting to store ${project.is_domain ? 'domain' : 'project'} - it is not permitted to have two with either the same name or same id in the same domain: name ${project.name}.`
