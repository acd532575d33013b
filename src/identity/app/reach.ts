import { targetsOf } from '../db/directory.ts'
import type { IdentityContext } from './context.ts'
import { listProjects } from './project.ts'

/** Enabled projects on which the user has a role. */
export const projectsOfUser = async (context: IdentityContext, userId: string) =>
  await listProjects(context, { ids: await targetsOf(context.database.db, userId, 'project'), enabled: true }, false)
export const domainsOfUser = async (context: IdentityContext, userId: string) =>
  await listProjects(context, { ids: await targetsOf(context.database.db, userId, 'domain'), enabled: true }, true)
