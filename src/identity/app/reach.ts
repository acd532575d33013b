import { effectsOf } from './assignments.ts'
import type { IdentityContext } from './context.ts'
import { listProjects } from './project.ts'

/** Enabled projects on which the user has a role, given or inherited. */
export const projectsOfUser = async (context: IdentityContext, userId: string) =>
  await listProjects(context, { ids: await reached(context, userId, 'project'), enabled: true }, false)
export const domainsOfUser = async (context: IdentityContext, userId: string) =>
  await listProjects(context, { ids: await reached(context, userId, 'domain'), enabled: true }, true)

async function reached(context: IdentityContext, userId: string, kind: 'project' | 'domain'): Promise<string[]> {
  const effects = await effectsOf(context, { 'user.id': userId })
  return [...new Set(effects.filter((one) => one.target_kind === kind).map((one) => one.target_id))]
}
