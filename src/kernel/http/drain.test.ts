import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { silent } from '../log/log.ts'
import { Policy } from '../policy/policy.ts'
import { drain } from './drain.ts'
import { ApiServer } from './server.ts'
import { fakeAuthenticator } from './testing.ts'

/** A server that answers when it is told to, and a client that keeps its connection. */
async function house(t: TestContext) {
  const asked: { path: string; response: ServerResponse }[] = []
  const server = createServer((request, response) => {
    asked.push({ path: request.url!, response })
    server.emit('asked')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const { port } = server.address() as AddressInfo
  t.after(() => {
    agent.destroy()
    server.closeAllConnections()
  })
  const ask = async (path: string, through: Agent | undefined = agent) => {
    const [answer] = (await once(get({ port, path, agent: through }), 'response')) as [IncomingMessage]
    const chunks = await answer.toArray()
    return { text: Buffer.concat(chunks).toString(), connection: answer.headers.connection }
  }
  const waits = async (path: string) => {
    while (!asked.some((one) => one.path === path)) await once(server, 'asked')
    return asked.find((one) => one.path === path)!.response
  }
  return { server, ask, waits }
}

test('what is under way is answered, nobody new is let in, and the answer is the last on its connection', async (t) => {
  const { server, ask, waits } = await house(t)
  const answer = ask('/slow')
  const response = await waits('/slow')
  const drained = drain(server, { lingerMs: 0, mostMs: 60_000 })
  await assert.rejects(ask('/new', new Agent()), { code: 'ECONNREFUSED' })
  response.end('done')
  assert.equal((await answer).text, 'done')
  await drained
})

test('a connection that a client keeps open may bring one more request', async (t) => {
  const { server, ask, waits } = await house(t)
  const first = ask('/first')
  ;(await waits('/first')).end('1')
  assert.deepEqual(await first, { text: '1', connection: 'keep-alive' })
  const drained = drain(server, { lingerMs: 60_000, mostMs: 120_000 })
  const second = ask('/second')
  ;(await waits('/second')).end('2')
  assert.deepEqual(await second, { text: '2', connection: 'close' })
  await drained // none is left: nothing to linger for
})

test('idle connections end with the time they may linger; what never ends is cut off', async (t) => {
  const { server, ask, waits } = await house(t)
  const first = ask('/first')
  ;(await waits('/first')).end('1')
  await first
  await drain(server, { lingerMs: 0, mostMs: 60_000 })

  const other = await house(t)
  const hopeless = assert.rejects(other.ask('/never'), { code: 'ECONNRESET' })
  await other.waits('/never')
  await drain(other.server, { lingerMs: 0, mostMs: 30 })
  await hopeless
})

test('a request under way while the APIs close is answered by its handler, and what that asks of other services too', async () => {
  const policy = new Policy({ 'things:list': '' })
  let began = () => {}
  const begun = new Promise<void>((resolve) => {
    began = resolve
  })
  let goOn = () => {}
  const held = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const server = new ApiServer({ log: silent(), authenticator: fakeAuthenticator, publicUrl: 'http://127.0.0.1' })
  server.mount({
    name: 'things',
    prefix: '/things',
    policy,
    fault: (fault) => fault,
    routes: [
      {
        method: 'GET',
        path: '/slow',
        doc: 'asks another',
        policy: 'things:list',
        response: 'nothing',
        async handler() {
          began()
          await held
          return (await server.fastify.inject({ url: '/things/other', headers: { 'x-auth-token': 'admin' } })).json()
        },
      },
      { method: 'GET', path: '/other', doc: 'the other', policy: 'things:list', response: 'nothing', handler: () => ({ from: 'other' }) },
    ],
  })
  const url = await server.listen(0, '127.0.0.1')
  const answer = fetch(`${url}/things/slow`, { headers: { 'x-auth-token': 'admin' } })
  await begun
  const closed = server.close()
  await assert.rejects(fetch(`${url}/things/other`))
  goOn()
  assert.deepEqual(await (await answer).json(), { from: 'other' })
  await closed
})
