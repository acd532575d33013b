import type { Bus } from '../kernel/bus/bus.ts'
import { openDatabase } from '../kernel/db/database.ts'
import { Fault, unauthorized } from '../kernel/errors/errors.ts'
import type { Api } from '../kernel/http/api.ts'
import type { Authenticator } from '../kernel/http/context.ts'
import type { Log } from '../kernel/log/log.ts'
import { Policy } from '../kernel/policy/policy.ts'
import { accessKeyRoutes } from './api/access-keys.ts'
import { applicationCredentialRoutes } from './api/application-credentials.ts'
import { authRoutes, v2Routes } from './api/auth.ts'
import { credentialRoutes } from './api/credentials.ts'
import { directoryRoutes } from './api/directory.ts'
import { identityFault } from './api/faults.ts'
import { grantRoutes } from './api/grants.ts'
import { impliedRoleRoutes } from './api/implied-roles.ts'
import { policies } from './api/policies.ts'
import { policyRoutes } from './api/policy-documents.ts'
import { projectTagRoutes } from './api/project-tags.ts'
import { trustRoutes } from './api/trusts.ts'
import { rootRoutes, v2Root, v3Root } from './api/versions.ts'
import { type BootstrapInput, bootstrap } from './app/bootstrap.ts'
import { type Compliance, forget, type IdentityContext, identityChanged, NO_COMPLIANCE } from './app/context.ts'
import { KeyRing } from './app/fernet.ts'
import { credentialsOf, validateToken } from './app/tokens.ts'
import { migrations } from './db/migrations.ts'
import type { IdentityTables } from './db/tables.ts'

/** For `yun db`. */
export { migrations }

export interface IdentityOptions {
  databaseUrl: string
  log: Log
  bus: Bus
  region: string
  /** Holds the Fernet keys of tokens. */
  keyDirectory: string
  /** Holds those of credentials, which are kept longer than tokens live. */
  credentialKeyDirectory: string
  policyOverrides?: Record<string, string>
  /** ms that a token lives (default one day). */
  tokenLifeMs?: number
  compliance?: Compliance
}

export interface IdentityService {
  api: Api[]
  context: IdentityContext
  bootstrap(input: BootstrapInput): Promise<void>
  /** For this process: tokens are looked at here, not asked about over HTTP. */
  authenticator: Authenticator
  stop(): Promise<void>
}

export async function createIdentity(options: IdentityOptions): Promise<IdentityService> {
  const database = await openDatabase<IdentityTables>(options.databaseUrl, migrations)
  await database.ready()
  const context: IdentityContext = {
    database,
    keys: new KeyRing(options.keyDirectory),
    credentialKeys: new KeyRing(options.credentialKeyDirectory),
    bus: options.bus,
    log: options.log,
    region: options.region,
    tokenLifeMs: options.tokenLifeMs ?? 86_400_000,
    compliance: options.compliance ?? NO_COMPLIANCE,
    validated: new Map(),
    changes: 0,
  }
  const unsubscribe = options.bus.subscribe(identityChanged, () => forget(context)) // other processes change the same database
  const shared = { name: 'identity', policy: new Policy(policies, options.policyOverrides), fault: identityFault }
  return {
    api: [
      { ...shared, prefix: '/identity', routes: rootRoutes },
      {
        ...shared,
        prefix: '/identity/v3',
        routes: [
          v3Root,
          ...authRoutes(context),
          ...directoryRoutes(context),
          ...grantRoutes(context),
          ...applicationCredentialRoutes(context),
          ...impliedRoleRoutes(context),
          ...trustRoutes(context),
          ...projectTagRoutes(context),
          ...credentialRoutes(context),
          ...accessKeyRoutes(context),
          ...policyRoutes(context),
        ],
      },
      { ...shared, prefix: '/identity/v2.0', routes: [v2Root, ...v2Routes(context)] },
    ],
    context,
    bootstrap: (input) => bootstrap(context, input),
    authenticator: localAuthenticator(context),
    async stop() {
      unsubscribe()
      await database.close()
    },
  }
}

export function localAuthenticator(context: IdentityContext): Authenticator {
  return {
    async validate(token) {
      const cached = context.validated.has(token)
      try {
        return { credentials: credentialsOf(await validateToken(context, token)), cached }
      } catch (error) {
        if (error instanceof Fault && error.status === 404) throw unauthorized()
        throw error
      }
    },
    peek: (token) => context.validated.get(token)?.user.id ?? null,
  }
}
