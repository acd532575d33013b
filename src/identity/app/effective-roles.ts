import { impliedRoles, rolesOn } from '../db/directory.ts'
import type { IdentityContext } from './context.ts'
import type { Scope } from './validated.ts'

/** Where roles on a project may come from by inheritance: its domain, and the projects that it lies under. */
export async function above(context: IdentityContext, project: { domain_id: string | null; parent_id: string | null }): Promise<string[]> {
  const ids = new Set([project.domain_id].filter((id) => id !== null))
  for (let at = project.parent_id; at !== null && !ids.has(at); ) {
    ids.add(at)
    const parent = await context.database.db.selectFrom('projects').select('parent_id').where('id', '=', at).executeTakeFirst()
    at = parent?.parent_id ?? null
  }
  return [...ids]
}

/** @param within ids: only these of the roles that the user has, and what they imply */
export async function effectiveRoles(
  context: IdentityContext,
  userId: string,
  scope: Scope,
  within: string[] | null = null,
): Promise<{ id: string; name: string }[]> {
  const { db } = context.database
  if (scope.kind === 'unscoped') return []
  const direct = await (scope.kind === 'project'
    ? rolesOn(db, userId, 'project', scope.project.id, await above(context, scope.project))
    : scope.kind === 'domain'
      ? rolesOn(db, userId, 'domain', scope.domain.id, [])
      : rolesOn(db, userId, 'system', 'system', []))
  const implied = await impliedRoles(db)
  const all = withImplied(direct, implied)
  const held = within
    ? withImplied(
        all.filter(({ id }) => within.includes(id)),
        implied,
      )
    : all
  return held.filter((role) => role.domain_id === null).map(({ id, name }) => ({ id, name }))
}

interface HeldRole {
  id: string
  name: string
  domain_id: string | null
}

/** A domain's own roles count by what they imply. */
function withImplied(direct: HeldRole[], implied: (HeldRole & { prior_id: string })[]): HeldRole[] {
  const roles = new Map(direct.map((role) => [role.id, role]))
  for (let grew = true; grew; ) {
    grew = false
    for (const { prior_id, ...role } of implied)
      if (roles.has(prior_id) && !roles.has(role.id)) {
        roles.set(role.id, role)
        grew = true
      }
  }
  return [...roles.values()]
}
