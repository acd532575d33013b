import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Fault, notFound, unavailable } from '../errors/errors.ts'
import type { Edge, Outgoing } from './edge.ts'

export interface RestRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD'
  /** From the cloud's root: `/network/v2.0/ports`. */
  path: string
  token?: string | null
  query?: Record<string, string | number | boolean | string[] | undefined>
  body?: unknown
  /** Sent as it is instead of `body`: image data. Name its content-type in `headers`. */
  data?: Readable | Uint8Array
  headers?: Record<string, string>
  requestId?: string
}

export interface RestAnswer {
  status: number
  headers: Record<string, string>
  body: any
}

/** How one service speaks to another: always through its public REST API, in memory when both live in one process. */
export interface RestTransport {
  send(request: RestRequest): Promise<RestAnswer>
  /** The body as a stream (image data). */
  stream(request: RestRequest): Promise<{ status: number; headers: Record<string, string>; body: Readable }>
}

const address = (request: RestRequest) => {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(request.query ?? {}))
    for (const item of [value].flat()) if (item !== undefined) query.append(name, String(item))
  return query.size > 0 ? `${request.path}?${query}` : request.path
}

const headersOf = (request: RestRequest): Record<string, string> => ({
  accept: 'application/json',
  ...(request.token ? { 'x-auth-token': request.token } : {}),
  ...(request.requestId ? { 'x-openstack-request-id': request.requestId } : {}),
  ...(request.body !== undefined ? { 'content-type': 'application/json' } : {}),
  ...request.headers,
})

const payloadOf = ({ data, body }: RestRequest) => {
  return data ?? (body === undefined ? undefined : JSON.stringify(body))
}

/** Hands the request over in memory: the same routes, policy, schemas and microversions as over the network. */
export function inMemory(edge: Pick<Edge, 'answer'>): RestTransport {
  const hand = async (request: RestRequest) => {
    const { method } = request
    const [url, headers, body] = [address(request), headersOf(request), payloadOf(request) ?? null]
    const out = await edge.answer({ method, url, headers, ip: '127.0.0.1', body })
    if (!out) throw notFound(`There is no service at ${request.path} in this process.`)
    return { ...out, headers: Object.fromEntries(Object.entries(out.headers).map(([name, value]) => [name.toLowerCase(), value])) }
  }
  return {
    async send(request) {
      const { status, headers, body } = await hand(request)
      return { status, headers, body: parse(await textOf(body)) }
    },
    async stream(request) {
      const { status, headers, body } = await hand(request)
      return { status, headers, body: body instanceof Readable ? body : Readable.from(body === null ? [] : [Buffer.from(body)]) }
    },
  }
}

const textOf = async (body: Outgoing['body']) =>
  typeof body === 'string' || body === null
    ? (body ?? '')
    : Buffer.concat(body instanceof Readable ? await body.toArray() : [body]).toString()

/** Over the network, for processes that live apart. */
export function overNetwork(base: string): RestTransport {
  const go = async (request: RestRequest) => {
    try {
      return await fetch(base + address(request), {
        method: request.method,
        headers: headersOf(request),
        body: payloadOf(request) as string | undefined,
        ...(request.data instanceof Readable ? { duplex: 'half' } : {}),
      } as RequestInit)
    } catch (error) {
      throw unavailable(`${base} does not answer: ${(error as Error).message}`, 'EndpointUnreachable', error)
    }
  }
  return {
    async send(request) {
      const answer = await go(request)
      return { status: answer.status, headers: Object.fromEntries(answer.headers), body: parse(await answer.text()) }
    },
    async stream(request) {
      const body = await streamOf(base, request).catch((error) => {
        throw unavailable(`${base} does not answer: ${error.message}`, 'EndpointUnreachable', error)
      })
      const headers = Object.entries(body.headers).map(([name, value]) => [name, String(value)])
      return { status: body.statusCode!, headers: Object.fromEntries(headers), body }
    },
  }
}

/** An image has gigabytes: they come without the layers that fetch puts around them. */
async function streamOf(base: string, request: RestRequest): Promise<IncomingMessage> {
  const url = new URL(base + address(request))
  const outgoing = (url.protocol === 'https:' ? https : http).request(url, { method: request.method, headers: headersOf(request) })
  try {
    const answered = once(outgoing, 'response')
    const payload = payloadOf(request)
    if (payload instanceof Readable)
      pipeline(payload, outgoing).catch(() => {}) // what fails there fails the request
    else outgoing.end(payload)
    const [answer] = (await answered) as [IncomingMessage]
    outgoing.on('error', (error) => answer.destroy(error))
    if (answer.statusCode === 204) answer.resume()
    return answer
  } catch (error) {
    // the other end has just given up the connection that was kept
    const again = outgoing.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET' && request.data === undefined
    if (again) return await streamOf(base, request)
    throw error
  }
}

function parse(text: string): any {
  if (!text) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** The answer's body, or the other service's fault thrown as ours, so that its words reach the user. */
export async function must(answer: Promise<RestAnswer>): Promise<any> {
  const { status, body } = await answer
  if (status < 400) return body
  throw faultOf(status, body)
}

export function faultOf(status: number, body: any): Fault {
  const inner = body && typeof body === 'object' ? (Object.values(body)[0] as any) : null
  const message =
    inner?.message ??
    inner?.detail ??
    (Array.isArray(inner) ? inner[0]?.detail : undefined) ??
    (typeof body === 'string' && body ? body : `HTTP ${status}`)
  return new Fault(status, inner?.type ?? inner?.code?.toString() ?? 'RemoteFault', String(message))
}
