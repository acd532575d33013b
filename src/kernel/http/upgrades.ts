import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { describe } from '../errors/errors.ts'

/** Takes one path's upgrades to a WebSocket. @throws Fault when the caller may not */
export type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>

/** Every upgrade on this server goes to whoever has its path; others are refused. */
export function takeUpgrades(server: Server, paths: Record<string, Upgrade>): void {
  server.on('upgrade', async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    const take = paths[new URL(request.url ?? '/', 'http://here').pathname]
    if (!take) return refuse(socket, 404, 'Not Found')
    try {
      await take(request, socket, head)
    } catch (error) {
      const { status, message } = describe(error)
      refuse(socket, status, message)
    }
  })
}

function refuse(socket: Duplex, status: number, message: string): void {
  const reason = message.split('\n')[0]!.replace(/[^\x20-\x7e]/g, '?')
  socket.end(`HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
