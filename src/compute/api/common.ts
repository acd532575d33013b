import ipaddr from 'ipaddr.js'
import Type, { type TSchema } from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { ApiRequest } from '../../kernel/http/route.ts'
import type { ComputeContext } from '../app/context.ts'
import type { InstanceRow } from '../app/rows.ts'
import { findServer } from '../app/server.ts'

export const Nullable = (schema: TSchema) => Type.Union([schema, Type.Null()])
export const Choice = (values: string[]) => Type.Unsafe<string>({ type: 'string', enum: values })
export const Name = Type.String({ minLength: 1, maxLength: 255, pattern: '^(?! )[^\\x00-\\x1f]*[^ \\x00-\\x1f]$|^[^ \\x00-\\x1f]$' })
export const closed = { additionalProperties: false }
export const Metadata = Type.Record(Type.String({ pattern: '^[a-zA-Z0-9-_:. /]{1,255}$' }), Type.String({ maxLength: 255 }), closed)
/** Clients write numbers as texts, too. */
export const Count = (minimum = 0, maximum = 2_147_483_647) =>
  Type.Union([Type.Integer({ minimum, maximum }), Type.String({ pattern: minimum > 0 ? '^0*[1-9][0-9]{0,8}$' : '^[0-9]{1,9}$' })])
export const Truth = Type.Union([
  Type.Boolean(),
  Choice(['true', 'True', 'TRUE', 'false', 'False', 'FALSE', '1', '0', 'yes', 'no', 'on', 'off', 't', 'f']),
])
export const isTrue = (value: unknown) => value === true || /^(1|t|true|yes|on)$/i.test(String(value))
/** Nova looks at nothing here but that it is there. */
export const Anything = Type.Unsafe<unknown>({ description: 'that it is there is what counts' })
/** As Nova leaves them open, for clients who send more than they need. */
export const open = (description: string) => ({ additionalProperties: Type.Unsafe<unknown>({ description }) })
/** The one key of a body. */
export const Wrapped = (key: string, schema: TSchema = Type.Unknown()) => Type.Object({ [key]: schema }, closed)

const known = new WeakMap<ApiRequest, Promise<InstanceRow>>()

export const viewerOf = (request: ApiRequest) => ({ projectId: request.context.projectId, isAdmin: request.context.isAdmin })

/** The server that the address names, loaded once for policy and handler. @throws Fault 404 for one of another project */
export function server(context: ComputeContext, request: ApiRequest, options: { deleted?: boolean } = {}): Promise<InstanceRow> {
  const loading = known.get(request) ?? findServer(context, request.params.server_id!, viewerOf(request), options)
  known.set(request, loading)
  return loading
}

/** For Route.target: the server of the address. */
export const targetServer = (context: ComputeContext) => async (request: ApiRequest) => {
  const row = await server(context, request)
  return { project_id: row.project_id, user_id: row.user_id, server_id: row.id }
}

/** @throws Fault 400 */
export function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`Invalid input for query parameters ${name}. Value: ${text}. A whole number is needed`)
  return Number(text)
}

/** `next` for a page that others follow. */
export function nextLink(request: ApiRequest, path: string, more: boolean, lastId: string | undefined) {
  if (!more || !lastId) return undefined
  const query = new URLSearchParams(request.rawQuery)
  query.set('marker', lastId)
  return [{ rel: 'next', href: `${request.link(path)}?${query}` }]
}

/** What a body says of how a server's disk is divided; null when it says nothing. */
export const isAuto = (body: Record<string, unknown>): boolean | null => {
  const word = body['OS-DCF:diskConfig']
  return word === undefined ? null : word === 'AUTO'
}

/** As Nova writes times: to the second. */
export const seconds = (time: string) => `${time.slice(0, 19)}Z`
export { micro } from '../app/time.ts'

export const links = (request: ApiRequest, path: string, bookmark = path) => [
  { rel: 'self', href: request.link(path) },
  { rel: 'bookmark', href: `${new URL(request.link('/')).origin}/compute${bookmark}` },
]

/** The one spelling of an IPv6 address. */
export const canonical = (address: string) => ipaddr.IPv6.parse(address).toRFC5952String()
