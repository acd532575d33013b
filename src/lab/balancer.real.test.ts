import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startBalancer } from './balancer.ts'
import { cut } from './cut-testing.ts'

/** Who has been asked something at `/held`. */
const taken = new Set<Server>()

/** A control process that says which it is, and keeps what it is asked at `/held`. */
function startServer(): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url === '/held') taken.add(server)
    else response.end(String(portOf(server)))
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port

let dir: string
let servers: Server[]
let url: string
let stop: () => void

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  dir = mkdtempSync(join(tmpdir(), 'balancer-'))
  servers = await Promise.all([startServer(), startServer()])
  const free = createTcpServer()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const listen = `127.0.0.1:${portOf(free)}`
  await new Promise((resolve) => free.close(resolve))
  url = `http://${listen}`
  stop = await startBalancer({ dir, listen, servers: servers.map((server) => `127.0.0.1:${portOf(server)}`) })
})
after(() => {
  stop?.()
  for (const server of servers ?? []) {
    server.close()
    server.closeAllConnections()
  }
  rmSync(dir, { recursive: true, force: true })
})

test('of a control process whose network is cut: reads are asked of the other, what would change things is given back, both within seconds', {
  timeout: 30_000,
}, async (t) => {
  const asks = () => Promise.all(Array.from({ length: 8 }, async () => (await fetch(url)).text()))
  while (new Set(await asks()).size < 2); // connections to both stand from here on
  // HAProxy says 502, or closes the caller's connection where it had used its own before
  const held = [1, 2].map(() =>
    fetch(`${url}/held`, { method: 'POST' }).then(
      ({ status }) => status,
      () => 502,
    ),
  )
  const [gone, left] = servers.map(portOf)
  while (taken.size < 2) await new Promise((resolve) => setImmediate(resolve))
  const network = await cut(gone!)
  t.after(network.heal)
  const since = performance.now()
  const ms = () => `${(performance.now() - since).toFixed(0)} ms`
  assert.deepEqual(new Set(await asks()), new Set([String(left)]))
  t.diagnostic(`reads were answered after ${ms()}`)
  assert.equal(await Promise.race(held), 502)
  t.diagnostic(`what it had taken was given back after ${ms()}`)
})
