import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Api } from './api.ts'
import { drain, type Patience } from './drain.ts'
import { Edge, type EdgeOptions, METHODS, type Outgoing } from './edge.ts'

export interface ServerOptions extends Omit<EdgeOptions, 'secure'> {
  tls?: { key: Buffer; cert: Buffer }
}

const PATIENCE: Patience = { lingerMs: 0, mostMs: 10_000 }
/** ms in which nothing comes and nothing goes: of uploads that have stopped, and of answers that nobody reads. */
const SILENCE_MS = 600_000

/** All APIs of this process behind one listener. */
export class ApiServer {
  readonly fastify: FastifyInstance
  /** For those who live in this process and need no listener. */
  readonly edge: Edge

  constructor({ log, tls, ...options }: ServerOptions) {
    this.edge = new Edge({ log, secure: tls !== undefined, ...options })
    this.fastify = fastify({
      logger: false,
      bodyLimit: Number.MAX_SAFE_INTEGER,
      requestTimeout: 0,
      connectionTimeout: SILENCE_MS,
      keepAliveTimeout: 75_000,
      forceCloseConnections: true,
      frameworkErrors: (_error: Error, request: FastifyRequest, reply: FastifyReply) =>
        void carry(this.edge.unreadable(request.url), request, reply),
      ...(tls ? { https: tls } : {}),
    } as object) as unknown as FastifyInstance
    this.fastify.removeAllContentTypeParsers()
    this.fastify.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    this.fastify.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
      const status = error.statusCode ?? 500
      if (status >= 500) log.error({ err: error }, 'request failed outside of any service')
      reply.code(status).send({ error: { code: status, title: 'Bad Request', message: error.message } })
    })
    const answer = (request: FastifyRequest, reply: FastifyReply) => this.answer(request, reply)
    this.fastify.route({ method: [...METHODS], url: '/*', exposeHeadRoute: false, handler: answer })
    this.fastify.setNotFoundHandler(answer) // other methods
  }

  get apis(): readonly Api[] {
    return this.edge.apis
  }

  mount(api: Api): void {
    this.edge.mount(api)
  }

  private async answer(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { method, url, headers, ip, body } = request
    reply.raw.once('finish', () => this.cutOff(request.raw))
    const out = await this.edge.answer({ method, url, headers, ip, body: (body as Readable | undefined) ?? null })
    if (out) return carry(out, request, reply)
    const message = `There is no service at ${url.split('?')[0]}: GET / says where each one is.`
    return reply.code(404).send({ error: { code: 404, title: 'Not Found', message } })
  }

  /** Who is answered and goes on sending, byte after byte, is heard no longer than a document may take. */
  private cutOff(request: IncomingMessage): void {
    if (request.complete) return
    const timer = setTimeout(() => request.complete || request.destroy(), this.edge.patienceMs).unref()
    request.once('close', () => clearTimeout(timer))
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

function carry({ status, headers, body }: Outgoing, { method }: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.code(status).headers(headers)
  if (body === null) return reply.send()
  if (method !== 'HEAD' || typeof body === 'string' || body instanceof Uint8Array) return reply.send(body)
  body.destroy() // who asks for the head alone gets none of it
  return reply.send()
}
