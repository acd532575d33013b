import { impliedRoles, rolesOn } from '../db/directory.ts'
import type { IdentityContext } from './context.ts'
import type { Scope } from './validated.ts'

/** Where roles on a project may come from by inheritance. */
export const above = (project: { domain_id: string | null; parent_id: string | null }) => [
  ...new Set([project.domain_id, project.parent_id].filter((id) => id !== null)),
]

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
    ? rolesOn(db, userId, 'project', scope.project.id, above(scope.project))
    : scope.kind === 'domain'
      ? rolesOn(db, userId, 'domain', scope.domain.id, [])
      : rolesOn(db, userId, 'system', 'system', []))
  const implied = await impliedRoles(db)
  const all = withImplied(direct, implied)
  if (!within) return all
  return withImplied(
    all.filter(({ id }) => within.includes(id)),
    implied,
  )
}

function withImplied(direct: { id: string; name: string }[], implied: { prior_id: string; id: string; name: string }[]) {
  const roles = new Map(direct.map((role) => [role.id, role]))
  for (let grew = true; grew; ) {
    grew = false
    for (const { prior_id, id, name } of implied)
      if (roles.has(prior_id) && !roles.has(id)) {
        roles.set(id, { id, name })
        grew = true
      }
  }
  return [...roles.values()]
}
