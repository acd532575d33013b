import { createHash } from 'node:crypto'
import { badRequest, conflict, forbidden, notFound } from '../../kernel/errors/errors.ts'
import type { Credentials } from '../../kernel/http/context.ts'
import type { IdentityTables } from '../db/tables.ts'
import type { IdentityContext } from './context.ts'
import { seal, unseal } from './fernet.ts'
import { findProject } from './project.ts'
import { newId, unlessTaken } from './unique.ts'
import { findUser } from './user.ts'

type Row = IdentityTables['credentials']

export interface NewCredential {
  user_id: string
  project_id?: string | null
  type: string
  blob: string
}

/** Of access keys, as EC2 and S3 have them. */
const ACCESS_KEY = 'ec2'

/** With its blob as it was given; sealed in the database. @throws Fault 400, 403, 404, 409 */
export async function createCredential(context: IdentityContext, by: Credentials, asked: NewCredential): Promise<Row> {
  mayKeep(by)
  await findUser(context, asked.user_id)
  if (asked.project_id) await findProject(context, asked.project_id, null)
  const row: Row = {
    id: idOf(asked) ?? newId(),
    user_id: asked.user_id,
    project_id: asked.project_id ?? null,
    type: asked.type,
    blob: asked.blob,
  }
  const taken = `Conflict occurred attempting to store credential - Duplicate entry found with ID ${row.id}.`
  if (await load(context, row.id)) throw conflict(taken)
  await unlessTaken(context.database.db.insertInto('credentials').values(sealed(context, row)).execute(), taken)
  return row
}

/** @throws Fault 404 */
export async function findCredential(context: IdentityContext, id: string): Promise<Row> {
  const row = await load(context, id)
  if (!row) throw notFound(`Could not find credential: ${id}.`)
  return opened(context, row)
}

export async function listCredentials(context: IdentityContext, filters: { user_id?: string; type?: string }): Promise<Row[]> {
  let query = context.database.db.selectFrom('credentials').selectAll().orderBy('id')
  if (filters.user_id !== undefined) query = query.where('user_id', '=', filters.user_id)
  if (filters.type !== undefined) query = query.where('type', '=', filters.type)
  return (await query.execute()).map((row) => opened(context, row))
}

/** Whose it is does not change. @throws Fault 400, 403, 404 */
export async function updateCredential(
  context: IdentityContext,
  by: Credentials,
  id: string,
  asked: Partial<Omit<NewCredential, 'user_id'>>,
): Promise<Row> {
  mayKeep(by)
  const before = await findCredential(context, id)
  const after = { ...before, ...asked }
  idOf(after)
  if (asked.project_id) await findProject(context, asked.project_id, null)
  const { project_id, type, blob } = sealed(context, after)
  await context.database.db.updateTable('credentials').set({ project_id, type, blob }).where('id', '=', id).execute()
  return after
}

/** @throws Fault 403, 404 */
export async function deleteCredential(context: IdentityContext, by: Credentials, id: string): Promise<void> {
  mayKeep(by)
  await findCredential(context, id)
  await context.database.db.deleteFrom('credentials').where('id', '=', id).execute()
}

export interface AccessKey {
  user_id: string
  tenant_id: string
  access: string
  /** Null where whoever kept the key left it out. */
  secret: string | null
  trust_id: null
}

/** A pair of keys, drawn here. @throws Fault 403, 404 */
export async function createAccessKey(context: IdentityContext, by: Credentials, userId: string, projectId: string): Promise<AccessKey> {
  const blob = JSON.stringify({ access: newId(), secret: newId(), trust_id: null })
  return keyOf(await createCredential(context, by, { user_id: userId, project_id: projectId, type: ACCESS_KEY, blob }))
}

export async function listAccessKeys(context: IdentityContext, userId: string): Promise<AccessKey[]> {
  await findUser(context, userId)
  return (await listCredentials(context, { user_id: userId, type: ACCESS_KEY })).map(keyOf)
}

/** @throws Fault 404, also for another user's */
export async function findAccessKey(context: IdentityContext, userId: string, access: string): Promise<AccessKey> {
  const row = await load(context, hashOf(access))
  if (row?.user_id !== userId || row.type !== ACCESS_KEY) throw notFound(`Could not find credential: ${access}.`)
  return keyOf(opened(context, row))
}

/** @throws Fault 403, 404 */
export async function deleteAccessKey(context: IdentityContext, by: Credentials, userId: string, access: string): Promise<void> {
  await findAccessKey(context, userId, access)
  await deleteCredential(context, by, hashOf(access))
}

const load = (context: IdentityContext, id: string) =>
  context.database.db.selectFrom('credentials').selectAll().where('id', '=', id).executeTakeFirst()

const hashOf = (access: string) => createHash('sha256').update(access).digest('hex')

/** Of an access key, by which it is found; null of anything else. @throws Fault 400 when it is no key, or for no project */
function idOf({ type, blob, project_id }: Pick<NewCredential, 'type' | 'blob' | 'project_id'>): string | null {
  if (type !== ACCESS_KEY) return null
  const key = parsed(blob)
  if (typeof key?.access !== 'string') throw badRequest('Expecting to find access in the blob of an ec2 credential.')
  if (!project_id) throw badRequest('Expecting to find project_id in credential.')
  return hashOf(key.access)
}

function parsed(blob: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(blob)
    return typeof value === 'object' ? value : null
  } catch {
    throw badRequest('Invalid blob in credential')
  }
}

function keyOf({ user_id, project_id, blob }: Row): AccessKey {
  const { access, secret } = JSON.parse(blob)
  return { user_id, tenant_id: project_id!, access, secret: typeof secret === 'string' ? secret : null, trust_id: null }
}

const sealed = (context: IdentityContext, row: Row): Row => ({ ...row, blob: seal(context.credentialKeys.primary, Buffer.from(row.blob)) })

function opened(context: IdentityContext, row: Row): Row {
  const found = unseal(context.credentialKeys.all, row.blob)
  if (!found) throw new Error(`no key in credential-keys opens the blob of credential ${row.id}`)
  return { ...row, blob: found.message.toString() }
}

/** @throws Fault 403 for a token of a restricted application credential, or of a trust, which what is kept here would outlive */
function mayKeep(by: Credentials): void {
  if (by.trustId || by.restricted)
    throw forbidden(
      'You are not authorized to perform the requested action: what is lent, or restricted, is not made into a credential that lasts.',
    )
}
