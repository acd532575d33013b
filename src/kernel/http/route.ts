import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { TSchema } from 'typebox'
import type { RequestContext } from './context.ts'
import type { Version } from './microversion.ts'

/** A request as a handler sees it: checked against the route's schemas, its sender known. */
export interface ApiRequest {
  method: string
  params: Record<string, string>
  query: Record<string, any>
  body: any
  headers: IncomingHttpHeaders
  context: RequestContext
  version: Version
  /** The body as it arrives, for routes with `stream: true`. */
  stream: Readable | null
  /** The absolute address of `path` below this service's version root, for links. */
  link(path: string): string
  /** The query as it came, e.g. for next links (repeated keys kept). */
  rawQuery: string
  /** Checks a further policy rule against a target. @throws Fault 403 */
  enforce(rule: string, target?: Record<string, unknown>): void
  /** Like {@link enforce}, but answers. */
  allowed(rule: string, target?: Record<string, unknown>): boolean
}

/** An answer with more than a body. Handlers that return anything else answer with `Route.status` and that value as JSON. */
export class Reply {
  readonly body: unknown
  readonly status: number | undefined
  readonly headers: Record<string, string>
  constructor(body: unknown, options: { status?: number; headers?: Record<string, string> } = {}) {
    this.body = body
    this.status = options.status
    this.headers = options.headers ?? {}
  }
}

export interface Route {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD'
  /** Below the service's version root, in find-my-way's form: `/servers/:id/action`. */
  path: string
  /** One line for docs/api-coverage.md and the OpenAPI document. */
  doc: string
  /** The policy rule that decides, or `open` with the reason why nobody is asked. */
  policy: string | { open: string }
  /** The object that the rule looks at; without it the caller's own project and user. May load the object (404 beats 403 for foreign ones). */
  target?: (request: ApiRequest) => Promise<Record<string, unknown>> | Record<string, unknown>
  /** The microversions in which this route exists with this shape (inclusive). */
  microversions?: { min?: string; max?: string }
  /** Without it the handler sees no query. */
  query?: TSchema
  /** Without it the handler sees no body. */
  body?: TSchema
  /** The shape of the answer's JSON, checked in tests and development: objects hold what is named here and nothing else. */
  response: TSchema | 'nothing' | 'bytes'
  /** Success status (default 200). */
  status?: number
  /** The handler reads `request.stream` itself. */
  stream?: boolean
  /** Sub-operation for POST …/action: the body's one key, e.g. `reboot`. Several routes share the path then. */
  action?: string
  handler: (request: ApiRequest) => unknown
}
