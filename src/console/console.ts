import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { describe, forbidden, unauthorized } from '../kernel/errors/errors.ts'
import type { Log } from '../kernel/log/log.ts'
import { now, record } from '../kernel/trace/trace.ts'
import { RfbWatcher } from './rfb.ts'

/** Where a console token leads: what compute answers for a token that is valid and not expired. */
export interface ConsoleTarget {
  instanceId: string
  host: string
  port: number
}

export interface ConsoleOptions {
  log: Log
  /** @throws Fault 404 for a token that is unknown or expired */
  resolve(token: string): Promise<ConsoleTarget>
}

/** WebSockets that are tunnels to the VNC servers of guests, each opened by a token that compute gave out. */
export class ConsoleProxy {
  private readonly options: ConsoleOptions
  private readonly sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has('binary') ? 'binary' : false),
  })

  constructor(options: ConsoleOptions) {
    this.options = options
  }

  close(): void {
    for (const client of this.sockets.clients) client.terminate()
    this.sockets.close()
  }

  /** For `/console/websockify`. @throws Fault 401 for a token that leads nowhere, 403 when another site's page asks */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (!sameOrigin(request)) throw forbidden('the page comes from another place')
    const token = new URL(request.url ?? '/', 'http://console').searchParams.get('token') ?? ''
    const target = await this.options.resolve(token).catch((error) => {
      throw describe(error).status === 404 ? unauthorized(error.message) : error
    })
    this.sockets.handleUpgrade(request, socket, head, (client) => this.tunnel(client, target))
  }

  private tunnel(client: WebSocket, target: ConsoleTarget): void {
    const startedAt = now()
    const server: Socket = connect({ host: target.host, port: target.port, noDelay: true })
    const watcher = new RfbWatcher((seen) =>
      record({
        subject: `server:${target.instanceId}`,
        step: 40,
        name: 'console',
        service: 'console',
        startedAt,
        ms: now() - startedAt,
        outcome: 'done',
        evidence: { text: `noVNC, ${seen.version}, ${seen.width}x${seen.height}, first picture sent`, ...seen },
      }),
    )
    client.on('message', (data: Buffer) => server.write(data))
    client.on('close', () => server.destroy())
    client.on('error', () => server.destroy())
    server.on('data', (chunk: Buffer) => {
      watcher.fromServer(chunk)
      if (client.readyState !== client.OPEN) return
      server.pause()
      client.send(chunk, () => server.resume())
    })
    server.on('error', (error) => {
      this.options.log.warn({ err: error, instance: target.instanceId }, 'console: the VNC server does not answer')
      client.close(1011, 'the VNC server of this guest does not answer')
    })
    server.on('close', () => client.close(1000))
  }
}

/** A page of another site must not use a token it got hold of: browsers always send Origin. */
function sameOrigin(request: IncomingMessage): boolean {
  const { origin, host } = request.headers
  if (!origin) return true
  try {
    return new URL(origin).host === host
  } catch {
    return false
  }
}
