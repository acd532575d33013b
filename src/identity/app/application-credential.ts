import { randomBytes } from 'node:crypto'
import { badRequest, conflict, forbidden, notFound } from '../../kernel/errors/errors.ts'
import type { Credentials } from '../../kernel/http/context.ts'
import type { ApplicationCredentialRow } from '../db/directory.ts'
import { changed, type IdentityContext } from './context.ts'
import { future, momentOf } from './expiry.ts'
import { checkPassword, hashPassword } from './password.ts'
import { listRoles } from './role.ts'
import { newId, unlessTaken } from './unique.ts'

export interface NewApplicationCredential {
  name: string
  description?: string | null
  secret?: string
  expires_at?: string | null
  roles?: { id?: string; name?: string }[]
  unrestricted?: boolean
}

const known = (id: string) => `Could not find Application Credential: ${id}.`
const taken = (name: string) => `Conflict occurred attempting to store application_credential - Duplicate entry found with name ${name}.`

/** For the caller's project, with the roles that are asked for of those the caller has; the secret is told this once. @throws Fault 400, 403, 409 */
export async function createApplicationCredential(
  context: IdentityContext,
  by: Credentials,
  asked: NewApplicationCredential,
): Promise<{ row: ApplicationCredentialRow; secret: string }> {
  free(by)
  if (!by.projectId) throw badRequest('An application credential is for a project: the token must be scoped to one.')
  const roles = (await listRoles(context, {})).filter((role) => by.roles.includes(role.name))
  const wanted = (asked.roles ?? roles).map(({ id, name }) => {
    const role = roles.find((one) => (id ? one.id === id : one.name === name))
    if (!role)
      throw badRequest(
        'Invalid application credential: Could not find role assignment with role: the caller does not have it on this project.',
      )
    return role.id
  })
  const secret = asked.secret ?? randomBytes(64).toString('base64url')
  const row: ApplicationCredentialRow = {
    id: newId(),
    name: asked.name,
    user_id: by.userId!,
    project_id: by.projectId,
    description: asked.description ?? null,
    secret_hash: await hashPassword(secret, { random: asked.secret === undefined }),
    expires_at: asked.expires_at ? expiry(asked.expires_at) : null,
    unrestricted: Number(asked.unrestricted ?? false),
    roles_json: JSON.stringify(wanted),
  }
  if ((await listApplicationCredentials(context, by.userId!, asked.name)).length > 0) throw conflict(taken(asked.name))
  await unlessTaken(context.database.db.insertInto('application_credentials').values(row).execute(), taken(asked.name))
  return { row, secret }
}

export async function listApplicationCredentials(
  context: IdentityContext,
  userId: string,
  name?: string,
): Promise<ApplicationCredentialRow[]> {
  const query = context.database.db.selectFrom('application_credentials').selectAll().where('user_id', '=', userId).orderBy('name')
  return await (name === undefined ? query : query.where('name', '=', name)).execute()
}

/** @throws Fault 404 */
export async function findApplicationCredential(context: IdentityContext, userId: string, id: string): Promise<ApplicationCredentialRow> {
  const found = (await listApplicationCredentials(context, userId)).find((one) => one.id === id)
  if (!found) throw notFound(known(id))
  return found
}

/** Its tokens end with it. @throws Fault 403, 404 */
export async function deleteApplicationCredential(context: IdentityContext, by: Credentials, userId: string, id: string): Promise<void> {
  free(by)
  await findApplicationCredential(context, userId, id)
  await context.database.db.deleteFrom('application_credentials').where('id', '=', id).execute()
  changed(context)
}

/** The credential of this id, or of this user's name for it, if the secret is right and it has not expired. */
export async function openApplicationCredential(
  context: IdentityContext,
  named: { id?: string; name?: string; userId?: string; secret: string },
): Promise<ApplicationCredentialRow | undefined> {
  const query = context.database.db.selectFrom('application_credentials').selectAll()
  const row = named.id
    ? await query.where('id', '=', named.id).executeTakeFirst()
    : named.userId && named.name
      ? await query.where('user_id', '=', named.userId).where('name', '=', named.name).executeTakeFirst()
      : undefined
  const right = await checkPassword(named.secret, row?.secret_hash ?? null)
  const expired = row?.expires_at && momentOf(row.expires_at) <= Date.now()
  return right && !expired ? row : undefined
}

/** @throws Fault 403 for a token of a restricted credential, or of a trust, which would outlive it */
function free(by: Credentials): void {
  if (by.trustId) throw forbidden('You are not authorized to perform the requested action: what a trust lends is not made into a password.')
  if (by.restricted)
    throw forbidden('You are not authorized to perform the requested action: the application credential in use is restricted.')
}

/** To the microsecond, as it came. @throws Fault 400 */
const expiry = (text: string) =>
  `${new Date(future(text)).toISOString().slice(0, 19)}.${(/\.(\d{1,6})/.exec(text)?.[1] ?? '').padEnd(6, '0')}`
