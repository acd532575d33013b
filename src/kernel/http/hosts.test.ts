import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import Type from 'typebox'
import { silent } from '../log/log.ts'
import { Policy } from '../policy/policy.ts'
import type { Api } from './api.ts'
import type { Limiter } from './rate-limit.ts'
import { ApiServer } from './server.ts'
import { fakeAuthenticator } from './testing.ts'

const api: Api = {
  name: 'things',
  prefix: '/things',
  routes: [
    {
      method: 'GET',
      path: '/one',
      doc: 'one',
      policy: { open: 'a test' },
      response: Type.Object({ self: Type.String(), beside: Type.String() }),
      handler: (request) => ({ self: request.link('/one'), beside: new URL('/two', request.link('/')).href }),
    },
  ],
  policy: new Policy({}),
  fault: (fault) => ({ fault: { code: fault.status, message: fault.message } }),
}

const serving = async (fixedUrl: boolean) => {
  const server = new ApiServer({ log: silent(), authenticator: fakeAuthenticator, publicUrl: 'https://cloud.example:5000', fixedUrl })
  server.mount(api)
  await server.listen(0, '127.0.0.1')
  return server
}

/** Byte for byte as given: no client would send some of these. */
async function ask(server: ApiServer, headers: string, { path = '/things/one', version = '1.1' } = {}) {
  const socket = connect((server.fastify.server.address() as AddressInfo).port, '127.0.0.1')
  const answer: Buffer[] = []
  socket.on('data', (data: Buffer) => answer.push(data))
  socket.write(`GET ${path} HTTP/${version}\r\n${headers}Connection: close\r\n\r\n`, 'latin1')
  await once(socket, 'close')
  const said = Buffer.concat(answer).toString('latin1')
  return { status: Number(said.split(' ')[1]), body: said.slice(said.indexOf('\r\n\r\n') + 4), said }
}

describe('links begin with', () => {
  let server: ApiServer
  let fixed: ApiServer
  before(async () => {
    server = await serving(false)
    fixed = await serving(true)
  })
  after(() => Promise.all([server.close(), fixed.close()]))

  test('the host that was asked', async () => {
    for (const host of ['a', 'cloud.example', 'cloud.example.:80', '10.0.0.1:5000', '[::1]:5000', 'my_host-1:65535']) {
      const { self, beside } = JSON.parse((await ask(server, `Host: ${host}\r\n`)).body)
      assert.deepEqual([self, new URL(beside).pathname], [`http://${host}/things/one`, '/two'])
    }
  })

  test('the public address where no host is named, and always where it is fixed', async () => {
    for (const answer of [
      await ask(server, '', { version: '1.0' }),
      await ask(fixed, 'Host: evil.example\r\n'),
      await ask(fixed, 'Host: "><\r\n'),
    ])
      assert.deepEqual(JSON.parse(answer.body), { self: 'https://cloud.example:5000/things/one', beside: 'https://cloud.example:5000/two' })
  })

  test('nothing that a proxy would say: anybody may send it', async () => {
    const forwarded =
      'X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /evil\r\nForwarded: host=evil.example;proto=https\r\n'
    assert.equal(JSON.parse((await ask(server, `Host: a\r\n${forwarded}`)).body).self, 'http://a/things/one')
    assert.equal(
      JSON.parse((await ask(server, 'Host: a\r\n', { path: 'http://evil.example/things/one' })).body).self,
      'http://a/things/one',
    )
    assert.equal(JSON.parse((await ask(server, 'Host: a\r\nHost: evil.example\r\n')).body).self, 'http://a/things/one')
  })

  const HOSTILE = [
    'a b',
    '"><script>alert(1)</script>',
    'a@b',
    'a/b',
    'a?b',
    'a#b',
    '[::1',
    '[x]',
    'a:b',
    'a:99999',
    'a:',
    'a:80:80',
    '%0d%0aX:%20y',
  ]
  for (const host of [...HOSTILE, '..', '\xe9', 'a\tb', "a'b", 'a\\b', '<img>', 'x'.repeat(300)])
    test(`no host that is none: ${host.slice(0, 40)}`, async () => {
      const { status, body, said } = await ask(server, `Host: ${host}\r\n`)
      assert.equal(status, 400)
      assert.deepEqual(JSON.parse(body), { fault: { code: 400, message: 'The Host header names no host.' } })
      assert.ok(!said.includes(host))
    })
})

test('an address that leads nowhere is told as it came, whatever it looks like', async () => {
  const server = await serving(false)
  for (const path of ['//', '//evil.example/x', '/\\', '/../../etc/passwd', '/<script>'])
    assert.deepEqual(JSON.parse((await ask(server, 'Host: a\r\n', { path })).body), {
      error: { code: 404, title: 'Not Found', message: `There is no service at ${path}: GET / says where each one is.` },
    })
  await server.close()
})

test('who asks too often is known by the connection, not by what a header says', async () => {
  const asked: string[] = []
  const limiter: Limiter = {
    limits: [],
    async take(who) {
      asked.push(who)
      return null
    },
  }
  const server = new ApiServer({ log: silent(), authenticator: fakeAuthenticator, publicUrl: 'http://127.0.0.1' })
  server.mount({ ...api, limiter })
  await server.listen(0, '127.0.0.1')
  for (const header of [
    'X-Forwarded-For: 10.9.9.9',
    'X-Real-IP: 10.9.9.9',
    'Forwarded: for=10.9.9.9',
    'X-Client-IP: 10.9.9.9',
    'X-Auth-Token: nobody',
  ])
    await ask(server, `Host: a\r\n${header}\r\n`)
  assert.deepEqual(new Set(asked), new Set(['127.0.0.1']))
  await server.close()
})
