import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, extname, join, normalize, sep } from 'node:path'
import type { FastifyInstance } from 'fastify'

const PAGE = join(import.meta.dirname, 'page')
const NOVNC = dirname(dirname(createRequire(import.meta.url).resolve('@novnc/novnc')))
const TYPES: Record<string, string> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8' }

/** Serves `/console/vnc`, the page that shows a guest's screen, and the noVNC modules it loads. The page is open; the tunnel behind it asks for a token. */
export function serveConsolePage(fastify: FastifyInstance): void {
  fastify.get('/console/vnc', (_request, reply) => send(reply, PAGE, 'vnc.html'))
  fastify.get('/console/page/*', (request, reply) => send(reply, PAGE, (request.params as { '*': string })['*']))
  fastify.get('/console/novnc/*', (request, reply) => send(reply, NOVNC, (request.params as { '*': string })['*']))
}

async function send(reply: any, root: string, path: string): Promise<void> {
  const file = normalize(join(root, path))
  const type = TYPES[extname(file)]
  reply.header('X-Content-Type-Options', 'nosniff').header('X-Frame-Options', 'SAMEORIGIN').header('Referrer-Policy', 'no-referrer')
  reply.header(
    'Content-Security-Policy',
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self' ws: wss:",
  )
  if (!type || !file.startsWith(root + sep)) return reply.code(404).send('not found')
  try {
    return reply.type(type).send(await readFile(file))
  } catch {
    return reply.code(404).send('not found')
  }
}
