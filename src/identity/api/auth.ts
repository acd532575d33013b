import Type, { type TProperties } from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { catalog } from '../app/catalog.ts'
import type { IdentityContext } from '../app/context.ts'
import { listProjects } from '../app/project.ts'
import { domainsOfUser, projectsOfUser } from '../app/reach.ts'
import { issueToken, revokeToken, validateToken } from '../app/tokens.ts'
import type { Validated } from '../app/validated.ts'
import { AccessView, Catalog, listOf, overlooked, TenantList, TokenView } from './schemas.ts'
import { accessView, collection, domainView, projectView, tokenView } from './views.ts'

const Text = Type.String({ minLength: 1, maxLength: 255 })
/** Keystone looks at what it needs of a login and overlooks the rest: other methods have words of their own. */
const Part = <T extends TProperties>(properties: T) => Type.Object(properties, overlooked)
const Domain = Part({ id: Type.Optional(Text), name: Type.Optional(Text) })
const AuthBody = Part({
  auth: Part({
    identity: Part({
      methods: Type.Array(Type.String(), { minItems: 1 }),
      password: Type.Optional(
        Part({
          user: Part({
            id: Type.Optional(Text),
            name: Type.Optional(Text),
            domain: Type.Optional(Domain),
            password: Type.String({ maxLength: 4096 }),
          }),
        }),
      ),
      token: Type.Optional(Part({ id: Type.String({ minLength: 1 }) })),
      application_credential: Type.Optional(
        Part({
          id: Type.Optional(Text),
          name: Type.Optional(Text),
          user: Type.Optional(Part({ id: Type.Optional(Text), name: Type.Optional(Text), domain: Type.Optional(Domain) })),
          secret: Type.String({ minLength: 1, maxLength: 4096 }),
        }),
      ),
    }),
    scope: Type.Optional(
      Type.Union([
        Type.Literal('unscoped'),
        Part({
          project: Type.Optional(Part({ id: Type.Optional(Text), name: Type.Optional(Text), domain: Type.Optional(Domain) })),
          domain: Type.Optional(Domain),
          system: Type.Optional(Part({ all: Type.Boolean() })),
          unscoped: Type.Optional(Part({})),
          'OS-TRUST:trust': Type.Optional(Part({ id: Text })),
        }),
      ]),
    ),
  }),
})
const V2Body = Part({
  auth: Part({
    passwordCredentials: Type.Optional(Part({ username: Text, password: Type.String() })),
    token: Type.Optional(Part({ id: Type.String({ minLength: 1 }) })),
    tenantName: Type.Optional(Type.String()),
    tenantId: Type.Optional(Type.String()),
  }),
})

const Catalogued = Type.Object({ nocatalog: Type.Optional(Type.String()) })
const noCatalog = (request: ApiRequest) => 'nocatalog' in request.query
function subject(request: ApiRequest): string {
  const token = request.headers['x-subject-token']
  if (!token) throw badRequest('X-Subject-Token header is required.')
  return String(token)
}

/** Of a login that was not enough by itself. */
const receiptOf = (request: ApiRequest) => {
  const receipt = request.headers['openstack-auth-receipt']
  return receipt === undefined ? undefined : String(receipt)
}

const bearer = ({ user, scope }: Validated) => ({ userId: user.id, projectId: scope.kind === 'project' ? scope.project.id : null })

export function authRoutes(context: IdentityContext): Route[] {
  return [
    {
      method: 'POST',
      path: '/auth/tokens',
      doc: 'Issue a token for a password, an application credential or another token',
      policy: { open: 'whoever asks has no token yet' },
      query: Catalogued,
      body: AuthBody,
      response: TokenView,
      status: 201,
      async handler(request) {
        const { token, validated } = await issueToken(context, request.body.auth, receiptOf(request))
        return new Reply(tokenView(validated, noCatalog(request) ? null : await catalog(context, bearer(validated))), {
          status: 201,
          headers: { 'X-Subject-Token': token, Vary: 'X-Auth-Token' },
        })
      },
    },
    {
      method: 'GET',
      path: '/auth/tokens',
      doc: 'Validate a token',
      policy: 'identity:validate_token',
      query: Catalogued,
      response: TokenView,
      async handler(request) {
        const token = subject(request)
        const validated = await validateToken(context, token)
        return new Reply(tokenView(validated, noCatalog(request) ? null : await catalog(context, bearer(validated))), {
          headers: { 'X-Subject-Token': token, Vary: 'X-Auth-Token' },
        })
      },
    },
    {
      method: 'DELETE',
      path: '/auth/tokens',
      doc: 'Revoke a token',
      policy: 'identity:revoke_token',
      status: 204,
      response: 'nothing',
      handler: (request) => revokeToken(context, subject(request), request.context),
    },
    {
      method: 'GET',
      path: '/auth/catalog',
      doc: "The catalog of the caller's token",
      policy: 'identity:get_auth_catalog',
      response: Catalog,
      handler: async (request) => ({
        catalog: await catalog(context, { userId: request.context.userId!, projectId: request.context.projectId }),
        links: { next: null, self: request.link('/auth/catalog'), previous: null },
      }),
    },
    {
      method: 'GET',
      path: '/auth/projects',
      doc: 'Projects to which the caller may scope a token',
      policy: 'identity:get_auth_projects',
      response: listOf('project'),
      handler: async (request) =>
        collection(request, 'projects', '/auth/projects', await projectsOfUser(context, request.context.userId!), projectView),
    },
    {
      method: 'GET',
      path: '/auth/domains',
      doc: 'Domains to which the caller may scope a token',
      policy: 'identity:get_auth_domains',
      response: listOf('domain'),
      handler: async (request) =>
        collection(request, 'domains', '/auth/domains', await domainsOfUser(context, request.context.userId!), domainView),
    },
  ]
}

/** What is left of v2.0, for clients of the article's time: a token for a tenant, and the tenants. */
export function v2Routes(context: IdentityContext): Route[] {
  return [
    {
      method: 'POST',
      path: '/tokens',
      doc: 'Issue a token for a user name and tenant (v2.0)',
      policy: { open: 'whoever asks has no token yet' },
      body: V2Body,
      response: AccessView,
      async handler(request) {
        const { passwordCredentials, token: old, tenantName, tenantId } = request.body.auth
        const identity = passwordCredentials
          ? {
              methods: ['password'],
              password: { user: { name: passwordCredentials.username, password: passwordCredentials.password, domain: { id: 'default' } } },
            }
          : { methods: ['token'], token: old }
        const project = tenantId ? { id: tenantId } : tenantName ? { name: tenantName, domain: { id: 'default' } } : undefined
        const { token, validated } = await issueToken(context, { identity, scope: project ? { project } : undefined })
        return accessView(token, validated, project ? await catalog(context, bearer(validated)) : [])
      },
    },
    {
      method: 'GET',
      path: '/tenants',
      doc: 'Tenants of the caller (v2.0)',
      policy: 'identity:get_auth_projects',
      response: TenantList,
      async handler(request) {
        const tenants = request.context.isAdmin
          ? await listProjects(context, {}, false)
          : await projectsOfUser(context, request.context.userId!)
        return {
          tenants: tenants.map((one) => ({ id: one.id, name: one.name, description: one.description, enabled: one.enabled === 1 })),
          tenants_links: [],
        }
      },
    },
  ]
}
