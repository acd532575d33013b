import { badRequest, forbidden } from '../../kernel/errors/errors.ts'
import type { IdentityTables } from '../db/tables.ts'
import type { IdentityContext } from './context.ts'

type Project = IdentityTables['projects']
type Db = IdentityContext['database']['db']

/** Of those above it, its domain among them, one that is disabled. */
async function disabledAbove(db: Db, { parent_id }: Pick<Project, 'parent_id'>): Promise<string | null> {
  const found = await db
    .withRecursive('above', (to) =>
      to
        .selectFrom('projects')
        .select(['id', 'parent_id', 'enabled'])
        .where('id', '=', parent_id)
        .unionAll(
          to
            .selectFrom('projects')
            .innerJoin('above', 'projects.id', 'above.parent_id')
            .select(['projects.id', 'projects.parent_id', 'projects.enabled']),
        ),
    )
    .selectFrom('above')
    .select('id')
    .where('enabled', '=', 0)
    .executeTakeFirst()
  return found?.id ?? null
}

async function anyEnabledBelow(db: Db, id: string): Promise<boolean> {
  const found = await db
    .withRecursive('below', (to) =>
      to
        .selectFrom('projects')
        .select(['id', 'enabled'])
        .where('parent_id', '=', id)
        .unionAll(
          to.selectFrom('projects').innerJoin('below', 'projects.parent_id', 'below.id').select(['projects.id', 'projects.enabled']),
        ),
    )
    .selectFrom('below')
    .select('id')
    .where('enabled', '=', 1)
    .executeTakeFirst()
  return found !== undefined
}

/** A new project has only such above it as are enabled. @throws Fault 400 */
export async function refuseBranch(db: Db, project: Project): Promise<void> {
  const disabled = await disabledAbove(db, project)
  if (disabled) throw badRequest(`A project cannot be made below ${disabled}, which is disabled.`)
}

/** A project stays where it is. @throws Fault 400 for another domain or kind, 403 for another parent */
export function refuseMove(before: Project, asked: { domain_id?: string | null; parent_id?: string | null; is_domain?: boolean }): void {
  if (asked.domain_id !== undefined && asked.domain_id !== before.domain_id) throw badRequest('The domain of a project cannot be changed.')
  if (asked.parent_id !== undefined && asked.parent_id !== before.parent_id) throw forbidden('The parent of a project cannot be changed.')
  if (asked.is_domain !== undefined && asked.is_domain !== (before.is_domain === 1))
    throw badRequest('Whether a project is a domain cannot be changed.')
}

/** A project is enabled below such as are, and disabled above such as are; a domain is, whatever is in it. @throws Fault 403 */
export async function refuseSwitch(db: Db, before: Project, enabled: boolean): Promise<void> {
  if (enabled === (before.enabled === 1)) return
  if (enabled && (await disabledAbove(db, before))) throw forbidden(`Cannot enable project ${before.id}: one above it is disabled.`)
  if (!enabled && !before.is_domain && (await anyEnabledBelow(db, before.id)))
    throw forbidden(`Cannot disable project ${before.id}: there are enabled projects below it.`)
}
