import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import Type from 'typebox'
import { silent } from '../log/log.ts'
import { Policy } from '../policy/policy.ts'
import type { Api } from './api.ts'
import { ApiServer } from './server.ts'
import { fakeAuthenticator } from './testing.ts'

const api: Api = {
  name: 'things',
  prefix: '/things',
  routes: [
    {
      method: 'POST',
      path: '/things',
      doc: 'create',
      policy: 'things:create',
      body: Type.Object({ name: Type.String() }),
      response: Type.Object({ name: Type.String() }),
      handler: (request) => request.body,
    },
  ],
  policy: new Policy({ 'things:create': '@' }),
  fault: (fault) => ({ fault: { code: fault.status, message: fault.message } }),
}

test('a document that trickles is refused with 408 and its connection ends; one that comes in parts in time is read', async () => {
  const server = new ApiServer({ log: silent(), authenticator: fakeAuthenticator, publicUrl: 'http://127.0.0.1', patienceMs: 300 })
  server.mount(api)
  await server.listen(0, '127.0.0.1')
  const { port } = server.fastify.server.address() as AddressInfo
  const body = JSON.stringify({ name: 'one' })
  const send = async (parts: string[], header = '', { token = 'admin', path = '/things/things', method = 'POST' } = {}) => {
    const socket = connect(port, '127.0.0.1')
    const answer: Buffer[] = []
    socket.on('data', (data: Buffer) => answer.push(data))
    const ended = once(socket, 'close')
    socket.write(`${method} ${path} HTTP/1.1\r\nHost: a\r\nX-Auth-Token: ${token}\r\n${header}Content-Length: ${body.length}\r\n\r\n`)
    for (const part of parts) {
      socket.write(part)
      await new Promise(setImmediate)
    }
    await ended
    return Buffer.concat(answer).toString()
  }
  assert.match(await send([body.slice(0, 5), body.slice(5)], 'Connection: close\r\n'), /^HTTP\/1\.1 200 /)
  const late = await send([body.slice(0, 5), body.slice(5, 7)])
  assert.match(late, /^HTTP\/1\.1 408 /)
  assert.match(late, /did not arrive within 0\.3 s/)
  // of what is answered before it has come the rest is waited for as long, and no longer
  for (const [status, refused] of [
    [401, { token: 'nobody' }],
    [404, { path: '/things/none' }],
    [404, { path: '/nowhere' }],
    [405, { method: 'PUT' }],
    [404, { path: '/nowhere', method: 'GET' }],
  ] as const)
    assert.match(await send([body.slice(0, 5)], '', refused), new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(refused))
  await server.close()
})
