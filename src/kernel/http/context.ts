/** Who asks, as identity vouches for it, and under which request id. Made once at the edge, then passed down unchanged. */
export interface RequestContext {
  requestId: string
  globalRequestId: string | null
  /** The bearer token as sent; used to call other services for the user, never logged. */
  token: string | null
  userId: string | null
  userName: string | null
  userDomainId: string | null
  projectId: string | null
  projectName: string | null
  projectDomainId: string | null
  domainId: string | null
  systemScope: boolean
  roles: string[]
  /** Roles of the X-Service-Token, if one came. */
  serviceRoles: string[]
  isAdmin: boolean
  auditIds: string[]
  methods: string[]
  /** Which kind of token it was: fernet, jws, ... */
  tokenKind: string | null
  issuedAt: string | null
  expiresAt: string | null
  /** Came with an application credential that may not be used to make or delete others. */
  restricted?: boolean
  /** The trust through which the token was asked for. */
  trustId?: string | null
}

export const anonymous = (requestId: string): RequestContext => ({
  requestId,
  globalRequestId: null,
  token: null,
  userId: null,
  userName: null,
  userDomainId: null,
  projectId: null,
  projectName: null,
  projectDomainId: null,
  domainId: null,
  systemScope: false,
  roles: [],
  serviceRoles: [],
  isAdmin: false,
  auditIds: [],
  methods: [],
  tokenKind: null,
  issuedAt: null,
  expiresAt: null,
})

/** What identity says of a valid token: a {@link RequestContext} without the request. */
export type Credentials = Omit<RequestContext, 'requestId' | 'globalRequestId' | 'token' | 'serviceRoles'>

export interface Authenticator {
  /** @throws Fault 401 when the token is unknown, expired or revoked; 503 when identity cannot be asked. `cached` tells whether identity was asked. */
  validate(token: string): Promise<{ credentials: Credentials; cached: boolean }>
  /** The user of a token that was validated lately, without asking anybody. */
  peek(token: string): string | null
}
