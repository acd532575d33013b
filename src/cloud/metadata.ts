import type { FastifyInstance } from 'fastify'
import type { MetadataAnswer, MetadataApi, MetadataRequest } from '../host/network/metadata/server.ts'
import type { RestTransport } from '../kernel/http/client.ts'

/** Where the metadata servers of hosts in other processes reach compute. */
const PREFIX = '/metadata'

const header = (value: string | string[] | undefined) => (Array.isArray(value) ? value.join(', ') : value)

/** What comes in here is believed only if the metadata secret has signed it. */
export function serveMetadata(server: FastifyInstance, answer: (request: MetadataRequest) => Promise<MetadataAnswer>): void {
  server.get(`${PREFIX}/*`, async (request, reply) => {
    const headers = Object.fromEntries(Object.entries(request.headers).flatMap(([name, value]) => (value ? [[name, header(value)!]] : [])))
    const {
      status,
      headers: out,
      body,
    } = await answer({
      method: request.method,
      path: request.url.slice(PREFIX.length),
      headers,
      body: Buffer.alloc(0),
    })
    return await reply.code(status).headers(out).send(body)
  })
}

/** The same for a host: asks control over the network. */
export const metadataOver =
  (transport: RestTransport): MetadataApi =>
  async ({ method, path, headers }) => {
    const {
      status,
      headers: out,
      body,
    } = await transport.stream({ method: method === 'HEAD' ? 'HEAD' : 'GET', path: PREFIX + path, headers })
    const parts: Buffer[] = []
    for await (const part of body) parts.push(part as Buffer)
    return { status, headers: { 'content-type': out['content-type'] ?? 'text/plain' }, body: Buffer.concat(parts) }
  }
