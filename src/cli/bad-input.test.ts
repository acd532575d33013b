import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { House } from '../compute/testing.ts'
import { bodyFor } from '../kernel/http/junk-testing.ts'

let house: House
before(async () => {
  house = await House.open()
})
after(() => house.stop())

/** What would take away the one who asks, or all that the others are about. */
const SPARED =
  /^(DELETE|PATCH) .*\/(auth\/tokens|users|projects|domains|roles|services|endpoints)|^DELETE .*\/servers\/:server_id$|forceDelete/

/** YUN_TEST_RUNS=100000 takes some minutes. */
test('whatever is sent to whatever route of whatever service: never a 5xx, and no leak', { timeout: 7_200_000 }, async () => {
  const server = await house.server()
  const routes = house.yard.cloud.control.server.apis
    .filter(({ alias }) => alias === undefined)
    .flatMap((api) => api.routes.map((route) => ({ api, route })))
    .filter(({ api, route }) => !SPARED.test(`${route.method} ${api.prefix}${route.path}${route.action ?? ''}`))
  const ids = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(server.id, house.yard.networkId, house.yard.imageId, house.alpha, 'default', '1') },
    fc.uuid(),
    fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }),
    fc.constantFrom('%', '..', "'", '\u0000', '-1', 'a'.repeat(300)),
  )
  const scalar = fc.oneof(
    ids,
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constantFrom(null, '', '0', 'None', 2 ** 53, 'true', '10.7.0.9', '::1', '10.0.0.0/8', '2026-01-01T00:00:00Z', 'active'),
  )
  const input = fc.constantFrom(...routes).chain(({ api, route }) => {
    const named = Object.keys((route.query as { properties?: object } | undefined)?.properties ?? {})
    return fc.record({
      api: fc.constant(api),
      route: fc.constant(route),
      id: ids,
      body: bodyFor(route, scalar),
      query: fc.dictionary(fc.constantFrom('limit', 'marker', ...named), scalar, { maxKeys: 3 }),
    })
  })
  const statuses = new Map<number, number>()
  const property = fc.asyncProperty(input, async ({ api, route, id, body, query }) => {
    const path = `${api.prefix}${route.path === '/' ? '' : route.path}`.replace(/:\w+/g, () => encodeURIComponent(id))
    const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]))
    const at = api.microversions?.max
    const headers: Record<string, string> = at ? { 'openstack-api-version': `${api.microversions!.service} ${at}` } : {}
    const sent = /GET|DELETE/.test(route.method) ? {} : { body }
    const { status, message } = await house.request(route.method, `${path}?${search}`, { as: 'admin', headers, ...sent })
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    assert.ok(status < 500, `${route.method} ${path}?${search} ${JSON.stringify(body)}: ${status} ${message}`)
  })
  await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? 1500), endOnFailure: true })
  const accepted = [...statuses].reduce((sum, [status, n]) => sum + (status < 300 ? n : 0), 0)
  assert.ok(accepted > 100, `junk is refused so early that nothing is tried: ${JSON.stringify([...statuses])}`)
  await house.yard.settled()
  assert.deepEqual(await house.yard.leaks(), [])
})
