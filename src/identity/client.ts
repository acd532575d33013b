import { Fault, unauthorized, unavailable } from '../kernel/errors/errors.ts'
import { faultOf, type RestTransport } from '../kernel/http/client.ts'
import type { Authenticator, Credentials } from '../kernel/http/context.ts'

export interface ServiceUser {
  username: string
  password: string
  projectName: string
}

/** A service's own token, asked for when needed and renewed five minutes before it ends. */
export class ServiceSession {
  private readonly transport: RestTransport
  private readonly user: ServiceUser
  private held: { token: string; until: number } | null = null
  private asking: Promise<string> | null = null

  constructor(transport: RestTransport, user: ServiceUser) {
    this.transport = transport
    this.user = user
  }

  async token(): Promise<string> {
    if (this.held && this.held.until > Date.now()) return this.held.token
    this.asking ??= this.ask().finally(() => {
      this.asking = null
    })
    return await this.asking
  }

  /** After a 401: the next call asks anew. */
  forget(): void {
    this.held = null
  }

  private async ask(): Promise<string> {
    const domain = { id: 'default' }
    const { username, password, projectName } = this.user
    const answer = await this.transport.send({
      method: 'POST',
      path: '/identity/v3/auth/tokens?nocatalog',
      body: {
        auth: {
          identity: { methods: ['password'], password: { user: { name: username, password, domain } } },
          scope: { project: { name: projectName, domain } },
        },
      },
    })
    if (answer.status !== 201)
      throw unavailable(`identity refuses the service user ${username}: ${faultOf(answer.status, answer.body).message}`, 'ServiceLogin')
    const token = answer.headers['x-subject-token']!
    this.held = { token, until: Date.parse(answer.body.token.expires_at) - 300_000 }
    return token
  }
}

/** Asks identity about tokens over its API and remembers the answer for a minute; for processes without identity. */
export class TokenAuthenticator implements Authenticator {
  private readonly transport: RestTransport
  private readonly session: ServiceSession
  private readonly known = new Map<string, { credentials: Credentials; until: number }>()

  constructor(transport: RestTransport, session: ServiceSession) {
    this.transport = transport
    this.session = session
  }

  async validate(token: string): Promise<{ credentials: Credentials; cached: boolean }> {
    const known = this.known.get(token)
    if (known && known.until > Date.now()) return { credentials: known.credentials, cached: true }
    const answer = await this.transport.send({
      method: 'GET',
      path: '/identity/v3/auth/tokens?nocatalog',
      token: await this.session.token(),
      headers: { 'x-subject-token': token },
    })
    if (answer.status === 404) throw unauthorized()
    if (answer.status === 401) this.session.forget()
    if (answer.status !== 200)
      throw new Fault(503, 'IdentityUnreachable', `identity cannot say whether this token is valid (${answer.status})`)
    const credentials = read(answer.body.token)
    if (this.known.size > 10_000) this.known.clear()
    this.known.set(token, { credentials, until: Math.min(Date.now() + 60_000, Date.parse(credentials.expiresAt!)) })
    return { credentials, cached: false }
  }

  peek(token: string): string | null {
    return this.known.get(token)?.credentials.userId ?? null
  }

  /** Something that tokens depend on has changed. */
  forgetAll(): void {
    this.known.clear()
  }
}

function read(token: any): Credentials {
  const roles: string[] = (token.roles ?? []).map((role: { name: string }) => role.name)
  return {
    userId: token.user.id,
    userName: token.user.name,
    userDomainId: token.user.domain.id,
    projectId: token.project?.id ?? null,
    projectName: token.project?.name ?? null,
    projectDomainId: token.project?.domain.id ?? null,
    domainId: token.domain?.id ?? null,
    systemScope: token.system?.all === true,
    roles,
    isAdmin: roles.includes('admin'),
    auditIds: token.audit_ids,
    methods: token.methods,
    tokenKind: 'fernet',
    issuedAt: token.issued_at,
    expiresAt: token.expires_at,
    restricted: token.application_credential?.restricted === true,
    trustId: token['OS-TRUST:trust']?.id ?? null,
  }
}
