import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { badRequest, describe, Fault, notFound } from '../errors/errors.ts'
import type { Log } from '../log/log.ts'
import type { Decision, Policy, PolicyCredentials, Target } from '../policy/policy.ts'
import { now } from '../trace/trace.ts'
import { Addresses, type Found, type Place } from './addresses.ts'
import type { Api, Passage } from './api.ts'
import { type Authenticator, anonymous, type RequestContext } from './context.ts'
import { parseDocument } from './document.ts'
import { negotiate, Version } from './microversion.ts'
import { within } from './pace.ts'
import { type ApiRequest, Reply, type Route } from './route.ts'
import { misfit } from './schema.ts'

/** A request as it came, whoever carried it. */
export interface Incoming {
  method: string
  url: string
  /** Names in small letters. */
  headers: IncomingHttpHeaders
  /** Of who sent it. */
  ip: string
  body: Readable | string | Uint8Array | null
}

/** What goes back. */
export interface Outgoing {
  status: number
  headers: Record<string, string>
  body: Readable | string | Uint8Array | null
}

export interface EdgeOptions {
  log: Log
  authenticator: Authenticator
  /** Check every answer against its route's response schema (tests, development). */
  checkResponses?: boolean
  /** `http://127.0.0.1:5000`: links begin with it when a request has no Host header. */
  publicUrl: string
  /** Links begin with `publicUrl` whatever a Host header says, as with OpenStack's public_endpoint. */
  fixedUrl?: boolean
  /** Links to who named the host begin with https. */
  secure?: boolean
  /** ms that a JSON document may take to arrive (default a minute). */
  patienceMs?: number
}

/** What it answers to at an address that has something; OPTIONS asks which of them. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
const DEFAULT_BODY_LIMIT = 112 * 1024
const PATIENCE_MS = 60_000
/** A name or an address, with or without a port. */
const HOST = /^(?:[\w-]+(?:\.[\w-]+)*\.?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i
const LONGEST_HOST = 261

/** Where requests become answers, however they travel: by HTTP from outside, in memory from the service next door. */
export class Edge {
  private readonly addresses = new Addresses()
  private readonly options: EdgeOptions

  constructor(options: EdgeOptions) {
    this.options = options
  }

  get apis(): readonly Api[] {
    return this.addresses.apis
  }

  /** ms that a document may take to arrive. */
  get patienceMs(): number {
    return this.options.patienceMs ?? PATIENCE_MS
  }

  mount(api: Api): void {
    this.addresses.add(api)
  }

  /** Null: no service has anything to do with such an address. */
  async answer(incoming: Incoming): Promise<Outgoing | null> {
    const { method, url } = incoming
    const found = this.addresses.find(url)
    if (found === 'unreadable') return this.unreadable(url)
    if (!found) {
      const api = this.addresses.apiOf(url)
      return api ? refusal(api, notFound('The resource could not be found.')) : null
    }
    const { api, methods } = found.place
    const routes = methods.get(method) ?? (method === 'HEAD' ? methods.get('GET') : undefined)
    if (routes) return await this.serve(found, routes, incoming)
    if (!METHODS.some((one) => one === method)) return refusal(api, notFound('The resource could not be found.'))
    return otherMethod(found.place, method)
  }

  /** An address with a % that no two hexadecimal digits follow. */
  unreadable(url: string): Outgoing {
    const fault = badRequest(`The address ${url} cannot be read: what follows a % must be two hexadecimal digits.`)
    const api = this.addresses.apiOf(url)
    return api ? refusal(api, fault) : outgoing(400, { error: { code: 400, title: 'Bad Request', message: fault.message } }, begun())
  }

  /** The one way of every request: rate limit, token, microversion, schema, policy, handler, view, response schema. */
  private async serve({ place: { api }, params, query }: Found, routes: Route[], incoming: Incoming): Promise<Outgoing> {
    const headers = begun()
    const requestId = headers['X-Openstack-Request-Id']!
    const passage: Passage = {
      arrived: now(),
      rate: { at: 0, ms: 0, decision: null },
      token: null,
      policy: { at: 0, ms: 0, decision: null },
    }
    try {
      const base = this.base(incoming)
      const token = header(incoming, 'x-auth-token')
      passage.rate.at = now()
      passage.rate.decision =
        (await api.limiter?.take((token && this.options.authenticator.peek(token)) || incoming.ip, incoming.method, incoming.url)) ?? null
      passage.rate.ms = now() - passage.rate.at

      const open = routes.every((route) => typeof route.policy !== 'string')
      const context = await this.authenticate(requestId, token, incoming, open, passage)
      const version = api.microversions ? negotiate(api.microversions, incoming.headers) : new Version(0, 0)
      if (api.microversions) {
        headers['OpenStack-API-Version'] = `${api.microversions.service} ${version}`
        headers.Vary = ['OpenStack-API-Version', api.microversions.legacyHeader].filter(Boolean).join(', ')
        if (api.microversions.legacyHeader) headers[api.microversions.legacyHeader] = String(version)
      }
      const inVersion = routes.filter((route) => exists(route, version))
      if (inVersion.length === 0) throw notFound('The resource could not be found.')
      const stream = inVersion[0]!.stream === true
      const body = stream ? undefined : await readJson(incoming.body, api.bodyLimit ?? DEFAULT_BODY_LIMIT, this.patienceMs)
      const route = choose(inVersion, body, routes)
      const request = this.request(api, route, incoming, { params, query, base, context, version, body, passage })
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
      return outgoing(status, answer.body, { ...headers, ...answer.headers })
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
          { requestId, method: incoming.method, url: incoming.url.split('?')[0], error: describe(error), stack: (error as Error).stack },
          'request failed',
        )
      return refusal(api, fault, headers)
    }
  }

  private async authenticate(
    requestId: string,
    token: string | undefined,
    incoming: Incoming,
    open: boolean,
    passage: Passage,
  ): Promise<RequestContext> {
    const context = { ...anonymous(requestId), globalRequestId: header(incoming, 'x-openstack-request-id') ?? null }
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
      const serviceToken = header(incoming, 'x-service-token')
      const serviceRoles = serviceToken ? (await this.options.authenticator.validate(serviceToken)).credentials.roles : []
      return { ...context, ...credentials, token, serviceRoles }
    } catch (error) {
      if (open && error instanceof Fault && error.status === 401) return context
      throw error
    }
  }

  /** What links begin with. Headers in which a proxy would tell how it was asked are nobody's word: anybody may send them. @throws Fault 400 for a host that cannot be one */
  private base({ headers: { host } }: Incoming): string {
    const { publicUrl, fixedUrl, secure } = this.options
    if (fixedUrl || !host) return publicUrl
    const url = `${secure ? 'https' : 'http'}://${host}`
    if (host.length > LONGEST_HOST || !HOST.test(host) || !URL.canParse(url)) throw badRequest('The Host header names no host.')
    return url
  }

  private request(
    api: Api,
    route: Route,
    { method, url, headers, body: carried }: Incoming,
    {
      params,
      query,
      base,
      context,
      version,
      body,
      passage,
    }: Pick<Found, 'params' | 'query'> & { base: string; context: RequestContext; version: Version; body: unknown; passage: Passage },
  ): ApiRequest & { passage: Passage } {
    const { checkResponses } = this.options
    const mark = url.indexOf('?')
    const credentials = policyCredentials(context)
    return {
      method,
      params,
      query: route.query ? { ...query } : checkResponses ? unread(route, 'query') : {},
      rawQuery: mark < 0 ? '' : url.slice(mark + 1),
      body: route.body ? body : checkResponses ? unread(route, 'body') : undefined,
      headers,
      context,
      version,
      stream: route.stream ? streamOf(carried) : null,
      passage,
      link: (path) => `${base}${api.prefix}${path}`,
      enforce: (rule, target) => void enforce(api.policy, rule, context, target),
      allowed: (rule, target) => api.policy.decide(rule, credentials, target ?? own(context)).allowed,
    }
  }
}

function begun(): Record<string, string> {
  const requestId = `req-${randomUUID()}`
  return { 'X-Openstack-Request-Id': requestId, 'X-Compute-Request-Id': requestId }
}

const refusal = (api: Api, fault: Fault, headers = begun()): Outgoing =>
  outgoing(fault.status, fault.body ?? api.fault(fault, headers['X-Openstack-Request-Id']!), { ...headers, ...fault.headers })

/** Any method but those that the address has; OPTIONS asks which those are. */
function otherMethod({ api, methods }: Place, method: string): Outgoing {
  const allowed = [...methods.keys()]
  if (method === 'OPTIONS') {
    const all = [...allowed, ...(allowed.includes('GET') && !allowed.includes('HEAD') ? ['HEAD'] : []), 'OPTIONS']
    return outgoing(200, null, { ...begun(), Allow: all.join(', ') })
  }
  const headers = { Allow: allowed.join(', ') }
  return refusal(api, new Fault(405, 'MethodNotAllowed', `The method ${method} is not allowed for this resource.`, { headers }))
}

function header({ headers }: Incoming, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value || undefined
}

const exists = (route: Route, version: Version) =>
  (!route.microversions?.min || version.atLeast(route.microversions.min)) &&
  (!route.microversions?.max || version.atMost(route.microversions.max))

/** Of the routes that share POST …/action the one whose name is the body's only key. `everywhere`: those of other microversions, too. */
function choose(routes: Route[], body: unknown, everywhere: Route[]): Route {
  if (!routes.some((route) => route.action)) return routes[0]!
  const names = body && typeof body === 'object' && !Array.isArray(body) ? Object.keys(body) : []
  if (names.length === 0) throw new Fault(400, 'MalformedRequestBody', 'Malformed request body: an action is needed')
  if (names.length > 1) throw new Fault(400, 'MalformedRequestBody', 'Malformed request body: one action at a time')
  const route = routes.find((candidate) => names.includes(candidate.action!))
  if (!route && everywhere.some((candidate) => names.includes(candidate.action!))) throw notFound('The resource could not be found.')
  if (!route) throw new Fault(400, 'NoSuchAction', `There is no such action: ${names[0]}`)
  return route
}

const streamOf = (body: Incoming['body']) => (body === null || body instanceof Readable ? body : Readable.from([Buffer.from(body)]))

async function readJson(body: Incoming['body'], limit: number, patienceMs: number): Promise<unknown> {
  const text =
    body instanceof Readable
      ? await within(patienceMs, readAll(body, limit), () => overdue(patienceMs))
      : typeof body === 'string'
        ? body
        : Buffer.from(body ?? []).toString()
  if (text.length > limit) throw tooLarge(limit)
  return parseDocument(text)
}

async function readAll(stream: Readable, limit: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    size += (chunk as Buffer).length
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Somebody who sends byte after byte holds the connection no longer. */
const overdue = (ms: number) =>
  new Fault(408, 'RequestTimeout', `The request did not arrive within ${ms / 1000} s.`, { headers: { Connection: 'close' } })

const tooLarge = (limit: number) => new Fault(413, 'RequestTooLarge', `Request is too large: more than ${limit} bytes.`)

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

function outgoing(status: number, body: unknown, headers: Record<string, string>): Outgoing {
  if (body === undefined || body === null) return { status, headers, body: null }
  if (isStream(body) || typeof body === 'string' || body instanceof Uint8Array) return { status, headers, body }
  const named = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type')
  return { status, headers: named ? headers : { ...headers, 'Content-Type': 'application/json' }, body: JSON.stringify(body) }
}
