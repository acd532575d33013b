import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import Type from 'typebox'
import { type TestCloud, testCloud } from '../cloud/testing.ts'
import type { Api } from '../kernel/http/api.ts'
import type { Route } from '../kernel/http/route.ts'
import { closed, openings } from '../kernel/http/schema.ts'

let cloud: TestCloud
before(async () => {
  cloud = await testCloud()
})
after(() => cloud.stop())

/** Every route for which `wrong` has something to say. */
const complaints = (wrong: (route: Route, api: Api) => string[] | string | null): string[] =>
  cloud.control.server.apis.flatMap((api) =>
    api.routes.flatMap((route) => {
      const found = wrong(route, api) ?? []
      return [found].flat().map((what) => `${route.method} ${api.prefix}${route.path} ${route.action ?? ''}: ${what}`)
    }),
  )

describe('every route of every service', () => {
  test('says in one line what it does', () =>
    assert.deepEqual(
      complaints(({ doc }) => (doc.length < 4 || doc.includes('\n') ? 'no line of documentation' : null)),
      [],
    ))

  test('asks a policy rule that there is, or says why it asks none', () =>
    assert.deepEqual(
      complaints(({ policy }, api) => {
        if (typeof policy !== 'string') return policy.open.length < 10 ? 'open, and no reason' : null
        return api.policy.names().includes(policy) ? null : `no rule ${policy}`
      }),
      [],
    ))

  // that a handler reads nothing but what has a schema, and answers with nothing else, is seen whenever it is called (kernel/http/server.ts)
  test('has an answer in which everything is described, or says why not', () =>
    assert.deepEqual(
      complaints(({ response }) =>
        typeof response === 'string' ? null : openings(closed(response)).map((at) => `anything may be at ${at}`),
      ),
      [],
    ))

  test('says of what it takes whether there may be more of it: not where OpenStack refuses that, and if so, why', () =>
    assert.deepEqual(
      complaints(({ body }) => (body ? openings(body).map((at) => `anything may be sent at ${at}`) : null)),
      [],
    ))

  test('takes a body where its method has one, by schema or as a stream', () =>
    assert.deepEqual(
      complaints(({ method, body, stream }) =>
        /^(GET|HEAD|DELETE)$/.test(method) && (body || stream) ? 'a body where none can be' : null,
      ),
      [],
    ))
})

test('what is open in a schema is found', () => {
  const text = { type: 'string' }
  assert.deepEqual(openings(closed({ type: 'object', properties: { a: text } })), [])
  assert.deepEqual(openings(closed({ type: 'object', properties: { a: {} } })), ['/a'])
  assert.deepEqual(openings(closed({ type: 'object', properties: { a: { description: 'why' } } })), [])
  assert.deepEqual(openings(closed({ type: 'object', properties: {}, additionalProperties: true })), ['/'])
  assert.deepEqual(openings(closed({ type: 'object', properties: { list: { type: 'array', items: { anyOf: [text, {}] } } } })), ['/list[]'])
  assert.deepEqual(openings(closed({ type: 'object', properties: { list: { type: 'array' } } })), ['/list'])
  const shut = { additionalProperties: false }
  assert.deepEqual(openings(Type.Object({ a: Type.String() }, shut)), [])
  assert.deepEqual(openings(Type.Partial(Type.Object({ a: Type.String() }, shut))), ['/'])
  assert.deepEqual(openings(Type.Partial(Type.Object({ a: Type.String() }), shut)), [])
  assert.deepEqual(openings(Type.Record(Type.String(), Type.String())), [])
})
