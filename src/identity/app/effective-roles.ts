import { impliedRoles, lineOf, rolesOn } from '../db/directory.ts'
import type { IdentityContext } from './context.ts'
import { withImplied } from './implied.ts'
import type { Scope } from './validated.ts'

/** Where roles on a project may come from by inheritance: its domain, and the projects that it lies under. */
export async function above(context: IdentityContext, project: { domain_id: string | null; parent_id: string | null }): Promise<string[]> {
  const { domain_id, parent_id } = project
  const isNested = parent_id !== null && parent_id !== domain_id
  const line = isNested ? (await lineOf(context.database.db, parent_id)).map(({ id }) => id) : []
  return [...new Set([...line, ...(domain_id === null ? [] : [domain_id])])]
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
  const roles = new Map([...direct, ...implied].map((role) => [role.id, role]))
  const byPrior = Map.groupBy(implied, ({ prior_id }) => prior_id)
  const closure = (ids: string[]) => [...withImplied(ids, (id) => (byPrior.get(id) ?? []).map((role) => role.id)).keys()]
  const all = closure(direct.map(({ id }) => id))
  const held = within ? closure(all.filter((id) => within.includes(id))) : all
  // a domain's own roles count by what they imply
  return held.flatMap((id) => {
    const { name, domain_id } = roles.get(id)!
    return domain_id === null ? [{ id, name }] : []
  })
}
