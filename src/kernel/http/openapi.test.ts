import assert from 'node:assert/strict'
import { test } from 'node:test'
import Type from 'typebox'
import { Policy } from '../policy/policy.ts'
import type { Api } from './api.ts'
import { documented, openApi } from './openapi.ts'
import type { Route } from './route.ts'
import { testServer } from './testing.ts'

const Box = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 255 }),
    size: Type.Integer({ minimum: 1, maximum: 1000 }),
    colour: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
)
const shut = {
  method: 'POST',
  path: '/boxes/:id/action',
  policy: 'boxes:act',
  status: 202,
  response: 'nothing',
  handler: () => undefined,
} as const
const list: Route = {
  method: 'GET',
  path: '/boxes',
  doc: 'List boxes',
  policy: 'boxes:list',
  query: Type.Object({ limit: Type.Optional(Type.Integer()) }),
  response: Type.Object({ boxes: Type.Array(Box) }),
  handler: () => ({ boxes: [] }),
}
const make: Route = {
  method: 'POST',
  path: '/boxes',
  doc: 'Make a box',
  policy: 'boxes:make',
  body: Box,
  response: Box,
  status: 201,
  handler: (r) => r.body,
}
const routes: Route[] = [
  list,
  { ...list, path: '/boxes.json' },
  make,
  { ...make, path: '/boxes.json' },
  { ...shut, doc: 'Open it', action: 'open', body: Type.Object({ open: Type.Null() }) },
  {
    ...shut,
    doc: 'Close it',
    action: 'close',
    body: Type.Object({ close: Type.Object({ key: Type.String() }) }),
    microversions: { min: '1.2' },
  },
  { method: 'GET', path: '/', doc: 'Say hello', policy: { open: 'anybody may be greeted' }, response: 'nothing', handler: () => 'hello' },
]
const policy = new Policy({ 'boxes:list': '@', 'boxes:make': '@', 'boxes:act': '@' })
const api: Api = {
  name: 'boxes',
  prefix: '/boxes/v1',
  routes,
  policy,
  microversions: { service: 'boxes', min: '1.0', max: '1.2' },
  fault: ({ message }) => ({ message }),
}

test('a document says what the routes say, each shape once', () => {
  const { paths, components, servers } = openApi([api], '1.0.0')
  assert.deepEqual(servers, [{ url: '/boxes' }])
  assert.deepEqual(Object.keys(paths), ['/v1/boxes', '/v1/boxes.json', '/v1/boxes/{id}/action', '/v1'])
  assert.deepEqual(paths['/v1/boxes.json'], { $ref: '#/paths/~1v1~1boxes' })
  const { get, post } = paths['/v1/boxes']
  assert.equal(get.summary, 'List boxes')
  assert.equal(get['x-policy'], 'boxes:list')
  assert.deepEqual(get.parameters, [{ name: 'limit', in: 'query', schema: { type: 'integer' } }])
  const schema = { $ref: '#/components/schemas/box' }
  assert.deepEqual(Object.keys(components.schemas), ['box'])
  assert.deepEqual(get.responses['200'].content['application/json'].schema.properties.boxes.items, schema)
  assert.deepEqual(post.requestBody, { required: true, content: { 'application/json': { schema } } })
  assert.deepEqual(post.responses['201'].content, { 'application/json': { schema } })
})

test('actions of one path are one operation with a body for each', () => {
  const { post, parameters } = openApi([api], '1.0.0').paths['/v1/boxes/{id}/action']
  assert.deepEqual(parameters, [
    { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
    { $ref: '#/components/parameters/microversion' },
  ])
  assert.equal(post.description, 'open: Open it\nclose: Close it')
  assert.deepEqual(
    post.requestBody.content['application/json'].schema.anyOf.map((one: { title: string }) => one.title),
    ['open', 'close'],
  )
})

test('each service answers with its document, without a token', async () => {
  const { request, close } = await testServer({ apis: documented([api], '1.0.0') })
  const { status, body } = await request('GET', '/boxes/openapi.json', { as: null })
  assert.equal(status, 200)
  assert.equal(body.info.version, '1.0.0')
  assert.deepEqual(body.paths['/openapi.json'].get.security, [])
  assert.deepEqual(body.paths['/v1'].get.security, [])
  assert.equal(body.paths['/v1/boxes'].get.security, undefined)
  await close()
})
