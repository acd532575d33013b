import { randomBytes, randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, Fault, forbidden, notFound } from '../../kernel/errors/errors.ts'
import type { Credentials } from '../../kernel/http/context.ts'
import { now, record } from '../../kernel/trace/trace.ts'
import {
  type ApplicationCredentialRow,
  applicationCredentialById,
  domainBy,
  projectById,
  projectByName,
  revokedBy,
  type TrustRow,
  trustById,
  type UserRow,
  userById,
  userByName,
} from '../db/directory.ts'
import { openApplicationCredential } from './application-credential.ts'
import { tryPassword } from './compliance.ts'
import { changed, type IdentityContext } from './context.ts'
import { effectiveRoles } from './effective-roles.ts'
import { micro, momentOf } from './expiry.ts'
import { METHODS, methodsOf, requireFactors } from './factors.ts'
import { seal, unseal } from './fernet.ts'
import { openTrust, trustHolds } from './trust.ts'
import type { Scope, Validated } from './validated.ts'

export interface DomainRef {
  id?: string
  name?: string
}

/** POST /v3/auth/tokens, as the schema has checked it. */
export interface AuthRequest {
  identity: {
    methods: string[]
    password?: { user: { id?: string; name?: string; domain?: DomainRef; password: string } }
    token?: { id: string }
    application_credential?: { id?: string; name?: string; secret: string; user?: { id?: string; name?: string; domain?: DomainRef } }
  }
  scope?:
    | 'unscoped'
    | {
        project?: { id?: string; name?: string; domain?: DomainRef }
        domain?: DomainRef
        system?: { all: boolean }
        unscoped?: object
        'OS-TRUST:trust'?: { id: string }
      }
}

/** Of what a token holds; what else is sealed with the same keys begins otherwise. */
const VERSION = 1

const SAY = 'The request you have made requires authentication.'
const refused = () => new Fault(401, 'Unauthorized', SAY)

/**
 * `receipt`: of what was shown in an earlier request that was not enough.
 * @throws Fault 401 for wrong credentials, whichever part is wrong, or for fewer than the user's rules ask for; 400 for a request that cannot be understood
 */
export async function issueToken(
  context: IdentityContext,
  auth: AuthRequest,
  receipt?: string,
): Promise<{ token: string; validated: Validated }> {
  const startedAt = now()
  const { changes } = context
  const known = await authenticate(context, auth)
  const { auditIds, applicationCredential } = known
  const earlier = receipt === undefined ? [] : await methodsOf(context, receipt, known.user)
  const methods = [...new Set([...known.methods, ...earlier])]
  requireFactors(context, known.user, methods)
  const { user, scope, roles, trust, expiresAt } = await scoped(context, auth.scope, known)
  const validated: Validated = {
    user,
    scope,
    roles,
    methods,
    auditIds: [randomBytes(16).toString('base64url'), ...auditIds.slice(-1)],
    issuedAt: micro(Date.now()),
    expiresAt,
    applicationCredential,
    trust,
  }
  const scopeId = scope.kind === 'project' ? scope.project.id : scope.kind === 'domain' ? scope.domain.id : null
  const token = seal(
    context.keys.primary,
    Buffer.from(
      JSON.stringify([
        ...[VERSION, user.id, scope.kind, scopeId, methods, validated.auditIds, validated.issuedAt, expiresAt],
        ...(applicationCredential || trust ? [applicationCredential?.id ?? null] : []),
        ...(trust ? [trust.id] : []),
      ]),
    ),
  )
  remember(context, token, validated, changes)
  const where =
    scope.kind === 'project'
      ? `${user.name} on project ${scope.project.name}`
      : `${user.name}, ${scope.kind === 'domain' ? `domain ${scope.domain.name}` : scope.kind}`
  record({
    subject: `token:${validated.auditIds[0]}`,
    step: 1,
    name: 'token',
    service: 'identity',
    startedAt,
    ms: now() - startedAt,
    outcome: 'done',
    evidence: { text: `fernet, ${where}`, methods, roles: roles.map((role) => role.name), expires: expiresAt },
  })
  return { token, validated }
}

type Known = Pick<Validated, 'user' | 'methods' | 'auditIds' | 'expiresAt' | 'applicationCredential'>

/** What the token is to be for, and as whom: through a trust that may be somebody else. */
async function scoped(
  context: IdentityContext,
  asked: AuthRequest['scope'],
  { user, applicationCredential, expiresAt }: Known,
): Promise<Pick<Validated, 'user' | 'scope' | 'roles' | 'expiresAt'> & { trust: TrustRow | null }> {
  const trustId = typeof asked === 'object' ? asked['OS-TRUST:trust']?.id : undefined
  if (trustId !== undefined) {
    if (applicationCredential) throw new Fault(401, 'Unauthorized', 'Application credentials cannot request a scope.')
    const opened = await openTrust(context, trustId, user)
    const ends = opened.trust.expires_at
    return { ...opened, expiresAt: ends && ends < expiresAt ? micro(Date.parse(ends)) : expiresAt }
  }
  const scope = await scopeOf(context, applicationCredential ? { project: { id: applicationCredential.project_id } } : asked, user)
  const roles = await effectiveRoles(context, user.id, scope, heldBy(applicationCredential))
  if (scope.kind !== 'unscoped' && roles.length === 0) throw refused()
  return { user, scope, roles, expiresAt, trust: null }
}

const heldBy = (credential: ApplicationCredentialRow | null): string[] | null => (credential ? JSON.parse(credential.roles_json) : null)

async function authenticate(context: IdentityContext, auth: AuthRequest): Promise<Known> {
  const { db } = context.database
  const { methods, password, token, application_credential } = auth.identity
  for (const method of methods)
    if (!METHODS.includes(method)) throw new Fault(401, 'Unauthorized', `Attempted to authenticate with an unsupported method.`)
  let user: UserRow | undefined
  let auditIds: string[] = []
  let expiresAt = micro(Date.now() + context.tokenLifeMs)
  let applicationCredential: ApplicationCredentialRow | null = null
  const used = new Set<string>()
  if (methods.includes('token')) {
    if (!token)
      throw badRequest(
        'Expecting to find token in identity. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.',
      )
    const before = await validateToken(context, token.id)
    if (before.trust) throw forbidden('A token of a trust gives no other: ask for it again with what the trustee logs in with.')
    applicationCredential = before.applicationCredential
    user = before.user
    auditIds = before.auditIds
    expiresAt = before.expiresAt
    for (const method of before.methods) used.add(method)
    used.add('token')
  }
  if (methods.includes('password')) {
    if (!password?.user)
      throw badRequest(
        'Expecting to find password in identity. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.',
      )
    const asked = password.user
    const found = asked.id ? await userById(db, asked.id) : await userByName(db, asked.name ?? '', asked.domain ?? { id: 'default' })
    const right = await tryPassword(context, found, asked.password)
    if (!right || !found || (user && user.id !== found.id)) throw refused()
    user = found
    used.add('password')
  }
  if (methods.includes('application_credential')) {
    if (!application_credential) throw badRequest('Expecting to find application_credential in identity.')
    if (auth.scope) throw new Fault(401, 'Unauthorized', 'Application credentials cannot request a scope.')
    const { user: theirs, ...named } = application_credential
    const owner = theirs?.id
      ? await userById(db, theirs.id)
      : theirs?.name
        ? await userByName(db, theirs.name, theirs.domain ?? { id: 'default' })
        : undefined
    applicationCredential = (await openApplicationCredential(context, { ...named, userId: owner?.id })) ?? null
    const found = applicationCredential ? await userById(db, applicationCredential.user_id) : undefined
    if (!applicationCredential || !found || (user && user.id !== found.id)) throw refused()
    user = found
    if (applicationCredential.expires_at && applicationCredential.expires_at < expiresAt)
      expiresAt = micro(momentOf(applicationCredential.expires_at))
    used.add('application_credential')
  }
  if (!user?.enabled || !user.domain_enabled) throw refused()
  return { user, methods: [...used], auditIds, expiresAt, applicationCredential }
}

async function scopeOf(context: IdentityContext, asked: AuthRequest['scope'], user: UserRow): Promise<Scope> {
  const { db } = context.database
  if (asked === 'unscoped' || (asked && 'unscoped' in asked)) return { kind: 'unscoped' }
  if (!asked) {
    const project = user.default_project_id ? await projectById(db, user.default_project_id) : undefined
    if (!project?.enabled || (await effectiveRoles(context, user.id, { kind: 'project', project })).length === 0)
      return { kind: 'unscoped' }
    return { kind: 'project', project }
  }
  if (asked.system?.all) return { kind: 'system' }
  if (asked.domain) {
    const domain = await domainBy(db, asked.domain)
    if (!domain?.enabled) throw refused()
    return { kind: 'domain', domain }
  }
  if (!asked.project) throw badRequest('Expecting to find a project, a domain or system in scope.')
  const project = asked.project.id
    ? await projectById(db, asked.project.id)
    : await projectByName(db, asked.project.name ?? '', asked.project.domain ?? { id: 'default' })
  if (!project?.enabled || (project.domain_id && !project.domain_enabled)) throw refused()
  return { kind: 'project', project }
}

/** @throws Fault 404 when the token is not ours, expired, revoked, or its user, project or domain is disabled */
export async function validateToken(context: IdentityContext, token: string): Promise<Validated> {
  const known = context.validated.get(token)
  if (known && known.expiresAt > micro(Date.now()) && Date.now() - (readAt.get(known) ?? 0) < REMEMBERED_MS) return known
  const { changes } = context
  const gone = () => notFound('Could not find token.', 'TokenNotFound')
  let parts: [number, string, Scope['kind'], string | null, string[], string[], string, string, (string | null)?, string?]
  try {
    const opened = unseal(context.keys.all, token)
    if (!opened) throw gone()
    parts = JSON.parse(opened.message.toString())
  } catch {
    throw gone()
  }
  const [version, userId, kind, scopeId, methods, auditIds, issuedAt, expiresAt, credentialId, trustId] = parts
  if (version !== VERSION || expiresAt <= micro(Date.now())) throw gone()
  const { db } = context.database
  const [user, project, domain, credential, trust, revoked] = await Promise.all([
    userById(db, userId),
    kind === 'project' ? projectById(db, scopeId!) : undefined,
    kind === 'domain' ? domainBy(db, { id: scopeId! }) : undefined,
    credentialId ? applicationCredentialById(db, credentialId) : undefined,
    trustId ? trustById(db, trustId) : undefined,
    revokedBy(db, { auditIds, userId, projectId: kind === 'project' ? scopeId : null, issuedAt }),
  ])
  if (credentialId && !credential) throw gone()
  if (revoked || !user?.enabled || !user.domain_enabled) throw gone()
  if (kind === 'project' && (!project?.enabled || (project.domain_id && !project.domain_enabled))) throw gone()
  if (kind === 'domain' && !domain?.enabled) throw gone()
  const scope: Scope = kind === 'project' ? { kind, project: project! } : kind === 'domain' ? { kind, domain: domain! } : { kind }
  const applicationCredential = credential ?? null
  if (trustId && !trust) throw gone()
  const roles = trust
    ? await trustHolds(context, trust, scope)
    : await effectiveRoles(context, userId, scope, heldBy(applicationCredential))
  if (!roles || (kind !== 'unscoped' && roles.length === 0)) throw gone()
  const validated: Validated = { user, scope, roles, methods, auditIds, issuedAt, expiresAt, applicationCredential, trust: trust ?? null }
  remember(context, token, validated, changes)
  return validated
}

/** Other processes tell of every change, and a word of theirs may be lost: nothing is believed for longer. */
const REMEMBERED_MS = 60_000
const readAt = new WeakMap<Validated, number>()

/** Unless something has changed since it was read: a token revoked meanwhile would live on here. */
function remember(context: IdentityContext, token: string, validated: Validated, changes: number): void {
  if (context.changes !== changes) return
  if (context.validated.size > 10_000) context.validated.clear()
  context.validated.set(token, validated)
  readAt.set(validated, Date.now())
}

/** Refuses from now on: one token by its audit id, or every token of a user or project issued so far. */
export async function revoke(context: IdentityContext, what: { auditId?: string; userId?: string; projectId?: string }): Promise<void> {
  const { db } = context.database
  await db.deleteFrom('revocations').where('expires_at', '<', timestamp()).execute()
  await db
    .insertInto('revocations')
    .values({
      id: randomUUID(),
      audit_id: what.auditId ?? null,
      user_id: what.userId ?? null,
      project_id: what.projectId ?? null,
      issued_before: micro(Date.now()),
      expires_at: timestamp(Date.now() + context.tokenLifeMs),
    })
    .execute()
  changed(context)
}

export async function revokeToken(context: IdentityContext, token: string, by: Credentials): Promise<void> {
  const { user, auditIds } = await validateToken(context, token)
  if (user.id !== by.userId && !by.isAdmin)
    throw forbidden('You are not authorized to perform the requested action: identity:revoke_token.')
  await revoke(context, { auditId: auditIds[0] })
}

export function credentialsOf(validated: Validated): Credentials {
  const { user, scope, roles, applicationCredential, trust } = validated
  const project = scope.kind === 'project' ? scope.project : null
  const names = roles.map((role) => role.name)
  return {
    userId: user.id,
    userName: user.name,
    userDomainId: user.domain_id,
    projectId: project?.id ?? null,
    projectName: project?.name ?? null,
    projectDomainId: project?.domain_id ?? null,
    domainId: scope.kind === 'domain' ? scope.domain.id : null,
    systemScope: scope.kind === 'system',
    roles: names,
    isAdmin: names.includes('admin'),
    auditIds: validated.auditIds,
    methods: validated.methods,
    tokenKind: 'fernet',
    issuedAt: validated.issuedAt,
    expiresAt: validated.expiresAt,
    restricted: applicationCredential?.unrestricted === 0,
    trustId: trust?.id ?? null,
  }
}

/** Keystone's form: microseconds and Z. */
