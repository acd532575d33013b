import type { IdentityContext, IdentityTables } from './context.ts'
import { withImplied } from './implied.ts'

type Assignment = IdentityTables['assignments']

export interface AssignmentFilters {
  'user.id'?: string
  'group.id'?: string
  'role.id'?: string
  'scope.project.id'?: string
  'scope.domain.id'?: string
  'scope.system'?: string
  /** What comes of them: for users, through groups, on the projects that inherit, with the roles that are implied. */
  effective?: boolean
}

/** One assignment, or what comes of one. */
export interface Effect extends Assignment {
  /** That which was given. */
  given: Assignment
  /** The role that brings this one with it. */
  priorId: string | null
}

/** With the names of all it mentions, in one query for each kind of thing. */
export async function listAssignments(context: IdentityContext, filters: AssignmentFilters) {
  const { db } = context.database
  const rows = filters.effective ? await effectsOf(context, filters) : await given(context, filters)
  const [users, groups, projects, roles] = await Promise.all([
    db.selectFrom('users').select(['id', 'name', 'domain_id']).execute(),
    db.selectFrom('groups').select(['id', 'name', 'domain_id']).execute(),
    db.selectFrom('projects').select(['id', 'name', 'domain_id']).execute(),
    db.selectFrom('roles').select(['id', 'name', 'domain_id']).execute(),
  ])
  const named = new Map([...users, ...groups, ...projects, ...roles].map((one) => [one.id, one]))
  return rows.map((row) => ({
    ...row,
    actor: named.get(row.actor_id),
    target: named.get(row.target_id),
    role: named.get(row.role_id),
    nameOf: (id: string) => named.get(id)?.name ?? null,
  }))
}

async function given(context: IdentityContext, filters: AssignmentFilters): Promise<Effect[]> {
  let query = context.database.db.selectFrom('assignments').selectAll()
  if (filters['user.id']) query = query.where('actor_kind', '=', 'user').where('actor_id', '=', filters['user.id'])
  if (filters['group.id']) query = query.where('actor_kind', '=', 'group').where('actor_id', '=', filters['group.id'])
  return (await query.execute()).map((row) => ({ ...row, given: row, priorId: null })).filter((row) => fits(row, filters))
}

function fits(row: Assignment, filters: AssignmentFilters): boolean {
  const on = (kind: string, id: string | undefined) => id === undefined || (row.target_kind === kind && row.target_id === id)
  return (
    (filters['role.id'] === undefined || row.role_id === filters['role.id']) &&
    on('project', filters['scope.project.id']) &&
    on('domain', filters['scope.domain.id']) &&
    (filters['scope.system'] === undefined || row.target_kind === 'system')
  )
}

/** A domain's own roles come into effect through those that they imply, and not themselves. */
export async function effectsOf(context: IdentityContext, filters: AssignmentFilters): Promise<Effect[]> {
  const { db } = context.database
  const userId = filters['user.id']
  const memberships = db.selectFrom('memberships').selectAll()
  const members = Map.groupBy(
    await (userId ? memberships.where('user_id', '=', userId) : memberships).execute(),
    ({ group_id }) => group_id,
  )
  const all = db.selectFrom('assignments').selectAll()
  const rows = await (userId ? all.where('actor_id', 'in', [userId, ...members.keys()]) : all).execute()
  const roles = new Map((await db.selectFrom('roles').select(['id', 'domain_id']).execute()).map((role) => [role.id, role.domain_id]))
  const implied = Map.groupBy(await db.selectFrom('implied_roles').selectAll().execute(), ({ prior_id }) => prior_id)
  const impliedBy = (id: string) => (implied.get(id) ?? []).map(({ implied_id }) => implied_id)
  const below = rows.some((row) => row.inherited) ? await heirs(context) : () => []

  const users = (row: Assignment) =>
    row.actor_kind === 'user' ? [row.actor_id] : (members.get(row.actor_id) ?? []).map(({ user_id }) => user_id)
  const targets = (row: Assignment): Pick<Assignment, 'target_kind' | 'target_id'>[] =>
    row.inherited ? below(row.target_id).map((id) => ({ target_kind: 'project', target_id: id })) : [row]
  const effects: Effect[] = []
  for (const row of rows)
    for (const [role_id, priorId] of withImplied([row.role_id], impliedBy)) {
      if (roles.get(role_id)) continue
      for (const actor_id of users(row))
        for (const { target_kind, target_id } of targets(row))
          effects.push({ ...row, actor_kind: 'user', actor_id, target_kind, target_id, role_id, given: row, priorId })
    }
  return effects.filter((row) => fits(row, filters))
}

/** The projects that inherit from one, or from a domain. */
async function heirs(context: IdentityContext): Promise<(id: string) => string[]> {
  const rows = await context.database.db
    .selectFrom('projects')
    .select(['id', 'domain_id', 'parent_id'])
    .where('is_domain', '=', 0)
    .execute()
  const children = Map.groupBy(rows, ({ parent_id }) => parent_id)
  const inDomain = Map.groupBy(rows, ({ domain_id }) => domain_id)
  return (id) => {
    const found = new Set((inDomain.get(id) ?? children.get(id) ?? []).map((one) => one.id))
    for (const one of found) for (const child of children.get(one) ?? []) found.add(child.id)
    return [...found]
  }
}
