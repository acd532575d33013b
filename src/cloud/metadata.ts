import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { MetadataAnswer, MetadataApi, MetadataRequest } from '../host/network/metadata/server.ts'
import type { RestTransport } from '../kernel/http/client.ts'

/** Where the metadata servers of hosts in other processes reach compute. */
const PREFIX = '/metadata'
/** Bytes. */
const LONGEST_BODY = 64 * 1024
/** Others are asked for as if they were GET: they change nothing. */
const PASSED_ON = ['GET', 'HEAD', 'POST'] as const

const header = (value: string | string[] | undefined) => (Array.isArray(value) ? value.join(', ') : value)

/** What comes in here is believed only if the metadata secret has signed it. */
export function serveMetadata(server: FastifyInstance, answer: (request: MetadataRequest) => Promise<MetadataAnswer>): void {
  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const headers = Object.fromEntries(Object.entries(request.headers).flatMap(([name, value]) => (value ? [[name, header(value)!]] : [])))
    const {
      status,
      headers: out,
      body,
    } = await answer({
      method: request.method,
      path: request.url.slice(PREFIX.length),
      headers,
      body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
    })
    return await reply.code(status).headers(out).send(body)
  }
  server.get(`${PREFIX}/*`, handler)
  server.register(async (guests) => {
    // whatever a guest calls what it sends
    guests.removeAllContentTypeParsers()
    guests.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: LONGEST_BODY }, (_request, body, done) => done(null, body))
    guests.post(`${PREFIX}/*`, handler)
  })
}

/** The same for a host: asks control over the network. */
export const metadataOver =
  (transport: RestTransport): MetadataApi =>
  async ({ method, path, headers, body: sent }) => {
    const {
      status,
      headers: out,
      body,
    } = await transport.stream({
      method: PASSED_ON.find((one) => one === method) ?? 'GET',
      path: PREFIX + path,
      headers: method === 'POST' ? { 'content-type': 'text/plain', ...headers } : headers,
      ...(method === 'POST' ? { data: sent } : {}),
    })
    const parts: Buffer[] = []
    for await (const part of body) parts.push(part as Buffer)
    return { status, headers: { 'content-type': out['content-type'] ?? 'text/plain' }, body: Buffer.concat(parts) }
  }
