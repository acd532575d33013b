import type { Server } from 'node:http'
import { Server as NetServer } from 'node:net'

export interface Patience {
  /** ms in which a connection that a client keeps open may still bring a request: a balancer needs as long to see that nobody listens here any more. */
  lingerMs: number
  /** ms after which what is still under way is cut off. */
  mostMs: number
}

const LOOK_MS = 20

/**
 * Ends a listener without breaking off what it answers: nobody new is let in, every answer from now on says that it is its connection's last, and the connections go
 * when they are idle. Returns when none is left.
 */
export async function drain(server: Server, { lingerMs, mostMs }: Patience): Promise<void> {
  if (!server.listening) return
  server.prependListener('request', (_request, response) => {
    response.shouldKeepAlive = false
  })
  // http's own close would end idle connections at once, and with them the requests that are on their way
  const empty = new Promise<void>((resolve) => NetServer.prototype.close.call(server, () => resolve()))
  const began = performance.now()
  const looking = setInterval(() => {
    const ms = performance.now() - began
    if (ms >= mostMs) server.closeAllConnections()
    else if (ms >= lingerMs) server.closeIdleConnections()
  }, LOOK_MS)
  if (lingerMs === 0) server.closeIdleConnections()
  await empty
  clearInterval(looking)
}
