import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, isIP } from 'node:net'
import { dirname } from 'node:path'
import { openToProxies } from '../../../drivers/haproxy/real.ts'
import type { Bus } from '../../../kernel/bus/bus.ts'
import { conflict, describe, Fault, notFound } from '../../../kernel/errors/errors.ts'
import type { Log } from '../../../kernel/log/log.ts'
import { now, record } from '../../../kernel/trace/trace.ts'
import { control, NETWORK_CONTROL } from '../../../network/rpc.ts'
import { signInstance } from './signature.ts'

export interface MetadataRequest {
  method: string
  /** With its query. */
  path: string
  /** Lower case; holds x-instance-id, x-instance-id-signature, x-tenant-id and x-forwarded-for as this server, and nobody else, set them. */
  headers: Record<string, string>
  body: Buffer
}

export interface MetadataAnswer {
  status: number
  headers: Record<string, string>
  body: string | Uint8Array
}

/** Compute's metadata API: handed in, so that it may be in this process or behind HTTP. */
export type MetadataApi = (request: MetadataRequest) => Promise<MetadataAnswer>

export interface MetadataServerOptions {
  bus: Bus
  log: Log
  secret: string
  socket: string
  api: MetadataApi
}

/** A request as an operator sees it. */
export interface SeenRequest {
  at: string
  address: string
  instanceId: string | null
  method: string
  path: string
  status: number
  ms: number
}

/** Bytes a guest may send: it posts its encrypted password and nothing longer. */
const LONGEST_BODY = 64 * 1024
const REMEMBERED = 100

/** The server behind the metadata proxies of all namespaces: finds out which instance asks, vouches for it with a signature and passes the request on to compute. */
export class MetadataServer {
  private readonly options: MetadataServerOptions
  private readonly server: Server
  private readonly seen: SeenRequest[] = []
  private readonly lit = new Set<string>()

  constructor(options: MetadataServerOptions) {
    this.options = options
    this.server = createServer((request, response) => void this.answer(request, response))
  }

  /** @throws Fault 409 when another process listens on the socket */
  async listen(): Promise<void> {
    const { socket } = this.options
    mkdirSync(dirname(socket), { recursive: true })
    if (existsSync(socket)) {
      if (await listens(socket)) throw conflict(`Another process serves metadata on ${socket}.`, 'SocketInUse')
      rmSync(socket)
    }
    await new Promise<void>((resolve, reject) => this.server.once('error', reject).listen(socket, resolve))
    if (process.geteuid?.() === 0) openToProxies(socket)
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  /** The latest requests, newest last. */
  requests(): SeenRequest[] {
    return this.seen
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = now()
    const asked = { method: request.method ?? 'GET', path: request.url ?? '/' }
    let who: { address: string; instanceId: string | null } = { address: '', instanceId: null }
    let answer: MetadataAnswer
    try {
      const from = senderOf(request.headers)
      who = { address: from.address, instanceId: null }
      const port = await this.options.bus.call(NETWORK_CONTROL, control.portByAddress, from)
      if (!port) throw notFound(`No instance has the address ${from.address} here.`)
      who.instanceId = port.instanceId
      const body = await bodyOf(request)
      answer = await this.options.api({
        ...asked,
        headers: { ...passedOn(request.headers), ...vouched(this.options.secret, port, from.address) },
        body,
      })
      if (answer.status === 200) this.light(port.instanceId, asked.path, from.address, answer, startedAt)
    } catch (error) {
      const { status, message } = describe(error)
      if (status >= 500) this.options.log.error({ err: error, ...who }, 'metadata request failed')
      answer = {
        status,
        headers: { 'content-type': 'text/plain' },
        body: `${status >= 500 && !(error instanceof Fault) ? 'An unknown error has occurred. Please try your request again.' : message}\n`,
      }
    }
    this.seen.push({ at: new Date(startedAt).toISOString(), ...who, ...asked, status: answer.status, ms: now() - startedAt })
    if (this.seen.length > REMEMBERED) this.seen.shift()
    response.writeHead(answer.status, { ...answer.headers, 'content-length': Buffer.byteLength(answer.body) }).end(answer.body)
  }

  /** Step 39: the first time that an instance reads what its key is in. */
  private light(instanceId: string, path: string, address: string, answer: MetadataAnswer, startedAt: number): void {
    if (!/meta_data\.json|\/public-keys\//.test(path) || this.lit.has(instanceId)) return
    this.lit.add(instanceId)
    if (this.lit.size > 10_000) this.lit.clear()
    const bytes = Buffer.byteLength(answer.body)
    record({
      subject: `server:${instanceId}`,
      step: 39,
      name: 'metadata',
      service: 'network',
      startedAt,
      ms: now() - startedAt,
      outcome: 'done',
      evidence: { text: `GET ${path} from ${address}, signed, ${bytes} bytes`, address, path, bytes, socket: this.options.socket },
    })
  }
}

/** Who asks, by the two headers that only a proxy can set. @throws Fault 400 when they are not exactly one address and one router or network */
function senderOf(headers: IncomingHttpHeaders): { address: string; routerId?: string; networkId?: string } {
  const address = headers['x-forwarded-for']
  const [routerId, networkId] = [headers['x-neutron-router-id'], headers['x-neutron-network-id']]
  if (typeof address !== 'string' || !isIP(address))
    throw new Fault(400, 'BadRequest', 'X-Forwarded-For must be one address: requests come through the proxy of a network or router.')
  if (typeof routerId === 'string' && networkId === undefined) return { address, routerId }
  if (typeof networkId === 'string' && routerId === undefined) return { address, networkId }
  throw new Fault(400, 'BadRequest', 'X-Neutron-Router-ID or X-Neutron-Network-ID is needed, and not both.')
}

const vouched = (secret: string, port: { instanceId: string; projectId: string }, address: string): Record<string, string> => ({
  'x-forwarded-for': address,
  'x-instance-id': port.instanceId,
  'x-tenant-id': port.projectId,
  'x-instance-id-signature': signInstance(secret, port.instanceId),
})

/** What of a guest's own headers means anything to the metadata API. */
function passedOn(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    ['accept', 'content-type', 'user-agent', 'x-aws-ec2-metadata-token'].flatMap((name) =>
      typeof headers[name] === 'string' ? [[name, headers[name]]] : [],
    ),
  )
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request) {
    length += part.length
    if (length > LONGEST_BODY)
      throw new Fault(413, 'RequestTooLarge', `A request to the metadata service holds ${LONGEST_BODY} bytes at most.`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function listens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}
