import assert from 'node:assert/strict'
import { test } from 'node:test'
import Type from 'typebox'
import { Fault, notFound } from '../errors/errors.ts'
import { Policy } from '../policy/policy.ts'
import type { Api } from './api.ts'
import { RateLimiter } from './rate-limit.ts'
import type { Route } from './route.ts'
import { DEMO, refusalTests, testServer } from './testing.ts'

const Thing = Type.Object(
  { thing: Type.Object({ name: Type.String({ minLength: 1 }) }, { additionalProperties: false }) },
  { additionalProperties: false },
)

const routes: Route[] = [
  {
    method: 'GET',
    path: '/',
    doc: 'versions',
    policy: { open: 'discovery' },
    response: Type.Object({ versions: Type.Array(Type.Never()) }),
    handler: () => ({ versions: [] }),
  },
  {
    method: 'GET',
    path: '/things',
    doc: 'list',
    policy: 'things:list',
    query: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 0 })) }),
    response: Type.Object({ limit: Type.Union([Type.Integer(), Type.Null()]), link: Type.String() }),
    handler: (r) => ({ limit: r.query.limit ?? null, link: r.link('/things') }),
  },
  {
    method: 'POST',
    path: '/things',
    doc: 'create',
    policy: 'things:create',
    body: Thing,
    response: Thing,
    status: 202,
    handler: (r) => r.body,
  },
  {
    method: 'GET',
    path: '/things/:id',
    doc: 'old shape',
    policy: 'things:list',
    microversions: { max: '2.4' },
    response: Type.Object({ shape: Type.Literal('old') }),
    handler: () => ({ shape: 'old' }),
  },
  {
    method: 'GET',
    path: '/things/:id',
    doc: 'new shape',
    policy: 'things:list',
    microversions: { min: '2.5' },
    response: Type.Object({ shape: Type.Literal('new'), at: Type.String() }),
    handler: (r) => ({ shape: 'new', at: String(r.version) }),
  },
  {
    method: 'DELETE',
    path: '/things/:id',
    doc: 'delete',
    policy: 'things:admin',
    status: 204,
    response: 'nothing',
    handler: () => {
      throw notFound('Thing x could not be found.')
    },
  },
  {
    method: 'POST',
    path: '/things/:id/action',
    action: 'boil',
    doc: 'boil',
    policy: 'things:list',
    response: Type.Object({ boiled: Type.Boolean() }),
    handler: () => ({ boiled: true }),
  },
  {
    method: 'POST',
    path: '/things/:id/action',
    action: 'crash',
    doc: 'crash',
    policy: 'things:list',
    response: 'nothing',
    handler: () => {
      throw new TypeError('secret inside')
    },
  },
  {
    method: 'POST',
    path: '/things/:id/action',
    action: 'ask',
    doc: 'ask for more',
    policy: 'things:list',
    response: 'nothing',
    handler: () => {
      throw new Fault(401, 'More', 'more is needed', { headers: { 'X-Ticket': 't' }, body: { needed: ['more'] } })
    },
  },
  {
    method: 'GET',
    path: '/wrong',
    doc: 'wrong',
    policy: 'things:list',
    response: Thing,
    handler: () => ({ thing: { name: 'a', more: 1 } }),
  },
  {
    method: 'GET',
    path: '/unlooked',
    doc: 'reads what no schema has looked at',
    policy: 'things:list',
    response: Type.Object({ limit: Type.Optional(Type.String()) }),
    handler: (r) => ({ limit: r.query.limit }),
  },
  { method: 'GET', path: '/talks', doc: 'says nothing', policy: 'things:list', response: 'nothing', handler: () => ({ but: 'speaks' }) },
]
const api = (): Api => ({
  name: 'things',
  prefix: '/things/v2.1',
  projectInPath: true,
  microversions: { service: 'things', min: '2.1', max: '2.9', legacyHeader: 'X-Things-Version' },
  routes,
  policy: new Policy({ 'things:list': '@', 'things:create': 'role:member', 'things:admin': 'role:admin' }),
  limiter: new RateLimiter([{ verb: 'POST', uri: '*', regex: /.*/, value: 4, unit: 'MINUTE' }]),
  fault: (fault, id) => ({ fault: { code: fault.status, message: fault.message, id } }),
})

refusalTests(async () => [api()])

test('a request goes through schema, policy, handler and response schema', async () => {
  const { request, close } = await testServer({ apis: [api()] })
  assert.equal((await request('POST', '/things/v2.1/things', { body: { thing: { name: 'a' } }, as: 'member' })).status, 202)
  assert.equal((await request('POST', `/things/v2.1/${DEMO}/things`, { body: { thing: { name: 'a' } }, as: 'member' })).status, 202)
  assert.equal((await request('POST', '/things/v2.1/things', { body: { thing: { name: 'a' } }, as: 'reader' })).status, 403)
  const bad = await request('POST', '/things/v2.1/things', { body: { thing: { name: 5 } } })
  assert.equal(bad.status, 400)
  assert.match(bad.body.fault.message, /thing\/name\. Value: 5\. must be string/)
  assert.equal((await request('GET', '/things/v2.1/wrong')).status, 500)
  assert.equal((await request('GET', '/things/v2.1/unlooked?limit=1')).status, 500)
  assert.equal((await request('GET', '/things/v2.1/talks')).status, 500)
  assert.equal((await request('GET', '/things/v2.1/things', { query: { limit: '7' } })).body.limit, 7)
  assert.equal((await request('GET', '/things/v2.1/things', { query: { limit: 'x' } })).status, 400)
  assert.equal((await request('GET', '/things/v2.1/things/')).body.link, 'http://localhost:80/things/v2.1/things')
  await close()
  const strict = await testServer({ apis: [{ ...api(), strictSlashes: true }] })
  for (const method of ['GET', 'PATCH']) assert.equal((await strict.request(method, '/things/v2.1/things/?a=b')).status, 404)
  assert.equal((await strict.request('GET', '/things/v2.1/things')).status, 200)
  await strict.close()
})

test('an address says which methods it has, to whoever asks; one that is nobody’s says where to look', async () => {
  const { request, close } = await testServer({ apis: [api()] })
  const asked = await request('OPTIONS', '/things/v2.1/things', { as: null })
  assert.deepEqual([asked.status, asked.headers.allow], [200, 'GET, POST, HEAD, OPTIONS'])
  assert.equal((await request('OPTIONS', '/things/v2.1/nothing')).status, 404)
  const lost = await request('GET', '/elsewhere?a=b')
  assert.deepEqual([lost.status, lost.body.error.message], [404, 'There is no service at /elsewhere: GET / says where each one is.'])
  for (const path of ['/things/v2.1/%(id)s', '/%zz']) {
    const { status, body, headers } = await request('GET', path)
    const [fault] = Object.values(body) as { message: string }[]
    assert.deepEqual([status, /^The address .* cannot be read/.test(fault!.message)], [400, true], JSON.stringify(body))
    assert.ok(headers['x-openstack-request-id'])
    assert.equal(Object.keys(body)[0] === 'error', !path.startsWith('/things'))
  }
  await close()
})

test('malformed JSON, oversize bodies, unknown addresses and methods get their 4xx', async () => {
  const { request, close } = await testServer({ apis: [{ ...api(), limiter: undefined }] })
  assert.equal(
    (await request('POST', '/things/v2.1/things', { text: '{"thing":', headers: { 'content-type': 'application/json' } })).status,
    400,
  )
  const headers = { 'content-type': 'application/json' }
  for (const deep of ['['.repeat(100_000), `${'['.repeat(50_000)}${']'.repeat(50_000)}`, `${'{"a":'.repeat(15_000)}1${'}'.repeat(15_000)}`])
    assert.equal((await request('POST', '/things/v2.1/things', { text: deep, headers })).status, 400, deep.slice(0, 5))
  assert.equal(
    (await request('POST', '/things/v2.1/things', { text: `{"thing":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, headers })).status,
    400,
  )
  assert.equal((await request('POST', '/things/v2.1/things', {})).status, 400)
  assert.equal((await request('POST', '/things/v2.1/things', { body: { thing: { name: 'x'.repeat(200_000) } } })).status, 413)
  assert.equal((await request('GET', '/things/v2.1/nowhere')).status, 404)
  const wrong = await request('PATCH', '/things/v2.1/things')
  assert.deepEqual([wrong.status, wrong.headers.allow], [405, 'GET, POST'])
  await close()
})

test('microversions choose the route; wrong ones get 400 and 406', async () => {
  const { request, close } = await testServer({ apis: [api()] })
  assert.equal((await request('GET', '/things/v2.1/things/1')).body.shape, 'old')
  const newer = await request('GET', '/things/v2.1/things/1', { headers: { 'openstack-api-version': 'things 2.7' } })
  assert.deepEqual(
    [newer.body.shape, newer.headers['openstack-api-version'], newer.headers['x-things-version']],
    ['new', 'things 2.7', '2.7'],
  )
  assert.equal((await request('GET', '/things/v2.1/things/1', { headers: { 'x-things-version': 'latest' } })).body.at, '2.9')
  assert.equal((await request('GET', '/things/v2.1/things/1', { headers: { 'openstack-api-version': 'things 2.99' } })).status, 406)
  assert.equal((await request('GET', '/things/v2.1/things/1', { headers: { 'openstack-api-version': 'things two' } })).status, 400)
  await close()
})

test('actions are chosen by the body; an unexpected error says its request and nothing else', async () => {
  const { request, close } = await testServer({ apis: [api()] })
  assert.deepEqual((await request('POST', '/things/v2.1/things/1/action', { body: { boil: null } })).body, { boiled: true })
  assert.equal((await request('POST', '/things/v2.1/things/1/action', { body: { bake: null } })).status, 400)
  const crash = await request('POST', '/things/v2.1/things/1/action', { body: { crash: null } })
  assert.equal(crash.status, 500)
  assert.ok(!crash.body.fault.message.includes('secret'))
  assert.ok(crash.body.fault.message.includes(crash.headers['x-openstack-request-id']))
  await close()
})

test('a fault that brings its own answer is answered with that', async () => {
  const { request, close } = await testServer({ apis: [api()] })
  const { status, headers, body } = await request('POST', '/things/v2.1/things/1/action', { body: { ask: null } })
  assert.deepEqual([status, headers['x-ticket'], body], [401, 't', { needed: ['more'] }])
  assert.ok(headers['x-openstack-request-id'])
  await close()
})

test('a caller who asks too often is told when to come back', async () => {
  const { request, close } = await testServer({ apis: [api()] })
  const answers = []
  for (let i = 0; i < 5; i++) answers.push(await request('POST', '/things/v2.1/things', { body: { thing: { name: 'a' } } }))
  assert.deepEqual(
    answers.map((one) => one.status),
    [202, 202, 202, 202, 429],
  )
  assert.ok(Number(answers[4]!.headers['retry-after']) > 0)
  assert.equal((await request('POST', '/things/v2.1/things', { body: { thing: { name: 'a' } }, as: 'member' })).status, 202)
  await close()
})
