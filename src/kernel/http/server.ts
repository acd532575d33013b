import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { badRequest, describe, Fault, notFound } from '../errors/errors.ts'
import type { Log } from '../log/log.ts'
import type { Decision, Policy, PolicyCredentials, Target } from '../policy/policy.ts'
import { now } from '../trace/trace.ts'
import { type Authenticator, anonymous, type RequestContext } from './context.ts'
import { drain, type Patience } from './drain.ts'
import { type Microversions, negotiate, Version } from './microversion.ts'
import type { Limiter, RateDecision } from './rate-limit.ts'
import { type ApiRequest, Reply, type Route } from './route.ts'
import { misfit } from './schema.ts'

/** One service's API at one prefix. */
export interface Api {
  /** compute, network, ... */
  name: string
  /** `/compute/v2.1`: what the catalog names. */
  prefix: string
  /** The prefix that says the same in newer words: this one is for older clients, and no document lists it. */
  alias?: string
  /** Routes also answer below `<prefix>/<project id>`, as older clients write them. */
  projectInPath?: boolean
  /** An address that ends in a slash, as one does whose id is empty, is unknown here instead of that of the collection. */
  strictSlashes?: boolean
  microversions?: Microversions
  routes: Route[]
  policy: Policy
  limiter?: Limiter
  /** The fault body of this service. */
  fault: (fault: Fault, requestId: string) => unknown
  /** Bytes of JSON accepted (default 112 KiB, as in compute); more is 413. */
  bodyLimit?: number
}

/** What the edge did before the handler ran; compute makes steps 3 to 5 of the trace from it. Times in ms, `at` since the epoch. */
export interface Passage {
  arrived: number
  rate: { at: number; ms: number; decision: RateDecision | null }
  token: { at: number; ms: number; cached: boolean } | null
  policy: { at: number; ms: number; decision: Decision | null }
}

export interface ServerOptions {
  log: Log
  authenticator: Authenticator
  /** Check every answer against its route's response schema (tests, development). */
  checkResponses?: boolean
  /** `http://127.0.0.1:5000`: for links when a request has no Host header. */
  publicUrl: string
  tls?: { key: Buffer; cert: Buffer }
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
const DEFAULT_BODY_LIMIT = 112 * 1024
const PATIENCE: Patience = { lingerMs: 0, mostMs: 10_000 }

/** All APIs of this process behind one listener. */
export class ApiServer {
  readonly fastify: FastifyInstance
  readonly apis: Api[] = []
  private readonly options: ServerOptions

  constructor(options: ServerOptions) {
    this.options = options
    this.fastify = fastify({
      logger: false,
      bodyLimit: Number.MAX_SAFE_INTEGER,
      requestTimeout: 0,
      keepAliveTimeout: 75_000,
      forceCloseConnections: true,
      routerOptions: { ignoreTrailingSlash: true, maxParamLength: 512, caseSensitive: true },
      frameworkErrors: (_error: Error, request: FastifyRequest, reply: FastifyReply) => this.unreadableAddress(request, reply),
      ...(options.tls ? { https: options.tls } : {}),
    } as object) as unknown as FastifyInstance
    this.fastify.removeAllContentTypeParsers()
    this.fastify.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    this.fastify.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
      const status = error.statusCode ?? 500
      if (status >= 500) options.log.error({ err: error }, 'request failed outside of any service')
      reply.code(status).send({ error: { code: status, title: 'Bad Request', message: error.message } })
    })
    this.fastify.setNotFoundHandler((request, reply) => {
      const message = `There is no service at ${new URL(request.url, 'http://yun').pathname}: GET / says where each one is.`
      reply.code(404).send({ error: { code: 404, title: 'Not Found', message } })
    })
  }

  mount(api: Api): void {
    this.apis.push(api)
    const groups = Map.groupBy(api.routes, (route) => `${route.method} ${route.path}`)
    const prefixes = [api.prefix, ...(api.projectInPath ? [`${api.prefix}/:project_id`] : [])]
    for (const prefix of prefixes)
      this.fastify.register(
        async (scope) => {
          for (const routes of groups.values()) {
            const { method, path } = routes[0]!
            if (prefix.endsWith(':project_id') && path === '/') continue
            scope.route({
              method,
              url: path === '/' ? '' : path,
              exposeHeadRoute: method === 'GET' && !groups.has(`HEAD ${path}`),
              handler: (request, reply) =>
                endsInSlash(api, path, request) ? this.unknownAddress(api, reply) : this.serve(api, routes, request, reply),
            })
          }
          for (const [path, routes] of Map.groupBy(api.routes, (route) => route.path)) {
            if (prefix.endsWith(':project_id') && path === '/') continue
            const allowed: string[] = [...new Set(routes.map((route) => route.method))]
            const others = METHODS.filter((method) => !allowed.includes(method))
            scope.route({
              method: others,
              url: path === '/' ? '' : path,
              exposeHeadRoute: false,
              handler: (request, reply) =>
                endsInSlash(api, path, request) ? this.unknownAddress(api, reply) : this.otherMethod(api, request, reply, allowed),
            })
          }
          scope.setNotFoundHandler((_request, reply) => this.unknownAddress(api, reply))
        },
        { prefix },
      )
  }

  private unreadableAddress({ url }: FastifyRequest, reply: FastifyReply): void {
    const fault = badRequest(`The address ${url} cannot be read: what follows a % must be two hexadecimal digits.`)
    const api = this.apis.find(({ prefix }) => url.startsWith(`${prefix}/`))
    const requestId = begin(reply)
    send(reply, fault.status, api?.fault(fault, requestId) ?? { error: { code: 400, title: 'Bad Request', message: fault.message } }, {})
  }

  private unknownAddress(api: Api, reply: FastifyReply): void {
    const fault = notFound('The resource could not be found.')
    send(reply, fault.status, api.fault(fault, begin(reply)), {})
  }

  /** Any method but those that the address has; OPTIONS asks which those are. */
  private otherMethod(api: Api, request: FastifyRequest, reply: FastifyReply, allowed: string[]): void {
    if (request.method === 'OPTIONS') {
      begin(reply)
      reply
        .code(200)
        .header('Allow', [...allowed, ...(allowed.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', '))
        .send()
      return
    }
    const fault = new Fault(405, 'MethodNotAllowed', `The method ${request.method} is not allowed for this resource.`)
    send(reply, fault.status, api.fault(fault, begin(reply)), { Allow: allowed.join(', ') })
  }

  /** The one way of every request: rate limit, token, microversion, schema, policy, handler, view, response schema. */
  private async serve(api: Api, routes: Route[], raw: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const requestId = begin(reply)
    const passage: Passage = {
      arrived: now(),
      rate: { at: 0, ms: 0, decision: null },
      token: null,
      policy: { at: 0, ms: 0, decision: null },
    }
    try {
      const token = header(raw, 'x-auth-token')
      passage.rate.at = now()
      passage.rate.decision =
        (await api.limiter?.take((token && this.options.authenticator.peek(token)) || raw.ip, raw.method, raw.url)) ?? null
      passage.rate.ms = now() - passage.rate.at

      const open = routes.every((route) => typeof route.policy !== 'string')
      const context = await this.authenticate(requestId, token, raw, open, passage)
      const version = api.microversions ? negotiate(api.microversions, raw.headers) : new Version(0, 0)
      if (api.microversions) {
        reply.header('OpenStack-API-Version', `${api.microversions.service} ${version}`)
        reply.header('Vary', ['OpenStack-API-Version', api.microversions.legacyHeader].filter(Boolean).join(', '))
        if (api.microversions.legacyHeader) reply.header(api.microversions.legacyHeader, String(version))
      }
      const inVersion = routes.filter((route) => exists(route, version))
      if (inVersion.length === 0) throw notFound('The resource could not be found.')
      const stream = inVersion[0]!.stream === true
      const body = stream ? undefined : await readJson(raw, api.bodyLimit ?? DEFAULT_BODY_LIMIT)
      const route = choose(inVersion, body, routes)
      const request = this.request(api, route, raw, context, version, stream ? (raw.body as Readable) : null, body, passage)
      if (route.query) check(misfit(route.query, request.query, 'query'))
      if (route.body) check(body === undefined ? 'Malformed request body: a JSON document is needed' : misfit(route.body, body, 'body'))

      passage.policy.at = now()
      if (typeof route.policy === 'string') {
        const target = route.target ? await route.target(request) : undefined
        passage.policy.decision = enforce(api.policy, route.policy, context, target)
      }
      passage.policy.ms = now() - passage.policy.at

      const result = await route.handler(request)
      const answer = result instanceof Reply ? result : new Reply(result)
      const status = answer.status ?? route.status ?? (answer.body === undefined ? 204 : 200)
      if (this.options.checkResponses) {
        const wrong = outside(route, status, answer.body)
        if (wrong)
          throw new Fault(500, 'ResponseSchema', `${route.method} ${api.prefix}${route.path} answers outside of its schema: ${wrong}`)
      }
      send(reply, status, answer.body, answer.headers)
      if (isStream(answer.body)) return reply // a stream has not begun yet: without this, Fastify would end the answer empty
    } catch (error) {
      const fault =
        error instanceof Fault
          ? error
          : new Fault(
              500,
              'Internal',
              `Unexpected API Error. Please look for request ${requestId} in the cloud's log (yun.log in its state directory).`,
              { cause: error },
            )
      if (fault.status >= 500)
        this.options.log.error(
          { requestId, method: raw.method, url: raw.url.split('?')[0], error: describe(error), stack: (error as Error).stack },
          'request failed',
        )
      send(reply, fault.status, api.fault(fault, requestId), fault.headers)
    }
  }

  private async authenticate(
    requestId: string,
    token: string | undefined,
    raw: FastifyRequest,
    open: boolean,
    passage: Passage,
  ): Promise<RequestContext> {
    const context = { ...anonymous(requestId), globalRequestId: header(raw, 'x-openstack-request-id') ?? null }
    if (!token) {
      if (open) return context
      throw new Fault(401, 'Unauthorized', 'The request you have made requires authentication.', {
        headers: { 'WWW-Authenticate': `Keystone uri="${this.options.publicUrl}/identity"` },
      })
    }
    const at = now()
    try {
      const { credentials, cached } = await this.options.authenticator.validate(token)
      passage.token = { at, ms: now() - at, cached }
      const serviceToken = header(raw, 'x-service-token')
      const serviceRoles = serviceToken ? (await this.options.authenticator.validate(serviceToken)).credentials.roles : []
      return { ...context, ...credentials, token, serviceRoles }
    } catch (error) {
      if (open && error instanceof Fault && error.status === 401) return context
      throw error
    }
  }

  private request(
    api: Api,
    route: Route,
    raw: FastifyRequest,
    context: RequestContext,
    version: Version,
    stream: Readable | null,
    body: unknown,
    passage: Passage,
  ): ApiRequest & { passage: Passage } {
    const base = `${raw.headers.host ? `${this.options.tls ? 'https' : 'http'}://${raw.headers.host}` : this.options.publicUrl}${api.prefix}`
    const query = raw.url.indexOf('?')
    const credentials = policyCredentials(context)
    return {
      method: raw.method,
      params: raw.params as Record<string, string>,
      query: route.query ? { ...(raw.query as object) } : this.options.checkResponses ? unread(route, 'query') : {},
      rawQuery: query < 0 ? '' : raw.url.slice(query + 1),
      body: route.body ? body : this.options.checkResponses ? unread(route, 'body') : undefined,
      headers: raw.headers,
      context,
      version,
      stream,
      passage,
      link: (path) => `${base}${path}`,
      enforce: (rule, target) => void enforce(api.policy, rule, context, target),
      allowed: (rule, target) => api.policy.decide(rule, credentials, target ?? own(context)).allowed,
    }
  }

  async listen(port: number, host: string): Promise<string> {
    return await this.fastify.listen({ port, host })
  }

  /** Answers what is under way, for {@link Patience.mostMs} at most, and lets nobody new in. */
  async close(patience: Partial<Patience> = {}): Promise<void> {
    // before Fastify knows of it: that would refuse what handlers under way ask of other services
    await drain(this.fastify.server, { ...PATIENCE, ...patience })
    await this.fastify.close()
  }
}

function begin(reply: FastifyReply): string {
  const requestId = `req-${randomUUID()}`
  reply.header('X-Openstack-Request-Id', requestId)
  reply.header('X-Compute-Request-Id', requestId)
  return requestId
}

function header(raw: FastifyRequest, name: string): string | undefined {
  const value = raw.headers[name]
  return Array.isArray(value) ? value[0] : value || undefined
}

const exists = (route: Route, version: Version) =>
  (!route.microversions?.min || version.atLeast(route.microversions.min)) &&
  (!route.microversions?.max || version.atMost(route.microversions.max))

/** Of the routes that share POST …/action the one whose name is the body's key. `everywhere`: those of other microversions, too. */
function choose(routes: Route[], body: unknown, everywhere: Route[]): Route {
  if (!routes.some((route) => route.action)) return routes[0]!
  const names = body && typeof body === 'object' && !Array.isArray(body) ? Object.keys(body) : []
  if (names.length === 0) throw new Fault(400, 'MalformedRequestBody', 'Malformed request body: an action is needed')
  const route = routes.find((candidate) => names.includes(candidate.action!))
  if (!route && everywhere.some((candidate) => names.includes(candidate.action!))) throw notFound('The resource could not be found.')
  if (!route) throw new Fault(400, 'NoSuchAction', `There is no such action: ${names[0]}`)
  return route
}

async function readJson(raw: FastifyRequest, limit: number): Promise<unknown> {
  const payload = raw.body as Readable | undefined | null
  if (!payload) return undefined
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of payload) {
    size += (chunk as Buffer).length
    if (size > limit) throw new Fault(413, 'RequestTooLarge', `Request is too large: more than ${limit} bytes.`)
    chunks.push(chunk as Buffer)
  }
  if (size === 0) return undefined
  try {
    const text = Buffer.concat(chunks).toString('utf8')
    return JSON.parse(text, (key, value) => (key === '__proto__' ? undefined : value))
  } catch (error) {
    throw new Fault(400, 'MalformedRequestBody', `Malformed request body: ${(error as Error).message}`)
  }
}

function check(wrong: string | null): void {
  if (wrong) throw new Fault(400, 'ValidationError', wrong)
}

const own = (context: RequestContext): Target => ({ project_id: context.projectId, user_id: context.userId, domain_id: context.domainId })

export function policyCredentials(context: RequestContext): PolicyCredentials {
  return {
    user_id: context.userId,
    project_id: context.projectId,
    tenant: context.projectId,
    domain_id: context.domainId,
    user_domain_id: context.userDomainId,
    project_domain_id: context.projectDomainId,
    roles: context.roles,
    service_roles: context.serviceRoles,
    is_admin: context.isAdmin,
    system_scope: context.systemScope ? 'all' : null,
  }
}

function enforce(policy: Policy, rule: string, context: RequestContext, target: Target = own(context)): Decision {
  const decision = policy.decide(rule, policyCredentials(context), target)
  if (!decision.allowed)
    throw new Fault(403, 'PolicyNotAuthorized', `Policy doesn't allow ${rule} to be performed.`, {
      details: { rule, text: decision.text, roles: context.roles },
    })
  return decision
}

/** Whether an id is missing at the end, where the service does not overlook that. */
const endsInSlash = (api: Api, path: string, raw: FastifyRequest) =>
  api.strictSlashes === true && path !== '/' && raw.url.split('?')[0]!.endsWith('/')

/** What no schema has looked at: a handler that reads it is wrong. */
function unread(route: Route, part: 'query' | 'body'): Record<string, never> {
  const complain = () => {
    throw new Error(`${route.method} ${route.path} reads its ${part} and has no schema for it`)
  }
  return new Proxy({}, { get: complain, has: complain, ownKeys: complain })
}

/** What is wrong with an answer by its route's word, or null. */
function outside({ response }: Route, status: number, body: unknown): string | null {
  if (response === 'nothing') return body === undefined || body === null ? null : 'there is a body'
  if (response === 'bytes') return status === 204 || isStream(body) || body instanceof Uint8Array ? null : 'no bytes'
  if (body === undefined) return 'there is no body'
  return misfit(response, JSON.parse(JSON.stringify(body)), 'response')
}

const isStream = (body: unknown): body is Readable => typeof (body as Readable | null)?.pipe === 'function'

function send(reply: FastifyReply, status: number, body: unknown, headers: Record<string, string>): void {
  for (const [name, value] of Object.entries(headers)) reply.header(name, value)
  reply.code(status)
  if (body === undefined || body === null) return void reply.send()
  if (isStream(body)) return void reply.send(body)
  if (typeof body === 'string' || body instanceof Uint8Array) return void reply.send(body)
  if (!reply.hasHeader('content-type')) reply.header('content-type', 'application/json')
  reply.send(JSON.stringify(body))
}
