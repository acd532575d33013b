import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MiB } from '../src/kernel/units/units.ts'

/** A web server inside, which has one thing: bytes that pass for an image. */
export interface WebServer {
  /** `127.0.0.1:PORT` */
  host: string
  image: string
  stop(): Promise<void>
}

export async function startWebServer(): Promise<WebServer> {
  const bytes = randomBytes(MiB)
  const server = createServer((_, response) => response.end(bytes))
  await new Promise<void>((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    host,
    image: `http://${host}/image`,
    async stop() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}
