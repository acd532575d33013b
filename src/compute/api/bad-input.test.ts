import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { bodyFor } from '../../kernel/http/junk-testing.ts'
import { eventually } from '../sagas/testing.ts'
import { type Asking, House } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open()
})
after(() => house.stop())

/** Refused in words, and nothing of it is there afterwards. */
async function refused(body: unknown, status: number, words: RegExp, asking: Asking = {}): Promise<void> {
  const before = await house.yard.context.database.db.selectFrom('instances').select('id').execute()
  const answer = await house.ask('POST', '/servers', { body, ...asking })
  assert.equal(answer.status, status, answer.message)
  assert.match(answer.message, words)
  const now = await house.yard.context.database.db.selectFrom('instances').select('id').execute()
  assert.equal(now.length, before.length)
}

describe('what a server cannot be made of is refused in words', () => {
  const wrong: [name: string, own: object, status: number, words: RegExp, asking?: Asking][] = [
    ['an unknown image', { imageRef: randomUUID() }, 400, /Can not find requested image/],
    ['an unknown flavor', { flavorRef: 'giant' }, 400, /Flavor giant could not be found/],
    ['an unknown network', { networks: [{ uuid: randomUUID() }] }, 400, /Network \S+ could not be found/],
    ['an unknown port', { networks: [{ port: randomUUID() }] }, 400, /Port \S+ could not be found/],
    ['an unknown key', { key_name: 'nobody' }, 400, /Invalid key_name provided/],
    ['an unknown zone', { availability_zone: 'mars' }, 400, /there is no zone mars/],
    ['an unknown security group', { security_groups: [{ name: 'nobody' }] }, 400, /Security group nobody not found/],
    ['an unknown server group', { 'os:scheduler_hints': { group: randomUUID() } }, 400, /Instance group \S+ could not be found/],
    ['an unknown volume', { block_device_mapping_v2: [{ uuid: randomUUID(), boot_index: 1 }] }, 400, /failed to get volume/],
    ['user data that is no base64', { user_data: '%%%' }, 400, /must be base64/],
    ['oversized user data', { user_data: 'A'.repeat(65_536) }, 400, /user_data/],
    ['an empty name', { name: '' }, 400, /name/],
    ['a name of 256 letters', { name: 'a'.repeat(256) }, 400, /name/],
    ['a number as name', { name: 7 }, 400, /name/],
    ['networks as an object', { networks: {} }, 400, /networks/],
    ['metadata with a number', { metadata: { a: 1 } }, 400, /metadata/],
    ['metadata with a strange key', { metadata: { 'a*b': 'x' } }, 400, /metadata/],
    ['a network with an unknown property', { networks: [{ colour: 'red' }] }, 400, /'colour' was unexpected/],
    ['an unknown property', { colour: 'red' }, 400, /'colour' was unexpected/],
    ['min_count above max_count', { min_count: 3, max_count: 2 }, 400, /min_count must be <= max_count/],
    ['min_count 0 in text', { min_count: '0' }, 400, /min_count/],
    ['more servers than fit a request', { max_count: 2_147_483_647, min_count: 2_147_483_647 }, 403, /Quota exceeded for instances/],
    ['no networks, though asked to say', { networks: undefined }, 400, /'networks' is a required property/, { at: '2.37' }],
    ['personality where it is gone', { personality: [{ path: '/a', contents: '' }] }, 400, /personality/, { at: '2.57' }],
    ['six files', { personality: Array.from({ length: 6 }, (_, i) => ({ path: `/${i}`, contents: '' })) }, 403, /file limit exceeded/],
    ['a file of 20 KiB', { personality: [{ path: '/a', contents: 'A'.repeat(20_480) }] }, 403, /content exceeds maximum/],
    ['two boot disks', { block_device_mapping_v2: [0, 0].map((boot_index) => ({ boot_index, uuid: randomUUID() })) }, 400, /Boot sequence/],
    ['a host named by a member', { availability_zone: 'nova:node' }, 403, /create:forced_host/],
  ]
  for (const [name, own, status, words, asking] of wrong) test(name, () => refused(house.wish(own), status, words, asking))

  test('an image without data', async () => {
    const image = await house.yard.cloud.api('POST', '/image/v2/images', {
      name: 'empty',
      visibility: 'public',
      disk_format: 'raw',
      container_format: 'bare',
    })
    await refused(house.wish({ imageRef: image.id }), 400, /is not active: it is queued/)
  })

  test('an image whose disk the flavor does not bound: for operators alone', async () => {
    const { flavor } = (
      await house.ask('POST', '/flavors', { body: { flavor: { name: 'unbound', ram: 64, vcpus: 1, disk: 0 } }, as: 'admin' })
    ).body
    const wish = house.wish({ flavorRef: flavor.id })
    await refused(wish, 403, /Only volume-backed servers are allowed for flavors with zero disk/)
    const made = await house.ask('POST', '/servers', { body: wish, as: 'admin' })
    assert.equal(made.status, 202)
    await house.rested(made.body.server.id)
    const { imageId } = house.yard
    const again = await house.ask('POST', `/servers/${made.body.server.id}/action`, {
      body: { rebuild: { imageRef: imageId } },
      as: 'admin',
    })
    assert.equal(again.status, 202)
    await house.rested(made.body.server.id)
    const image = await house.request('POST', '/volume/v3/volumes', { body: { volume: { size: 1, imageRef: imageId } } })
    const shown = () => house.request('GET', `/volume/v3/volumes/${image.body.volume.id}`)
    await eventually(shown, ({ body }) => body.volume.status === 'available')
    const device = {
      boot_index: 0,
      uuid: image.body.volume.id,
      source_type: 'volume',
      destination_type: 'volume',
      delete_on_termination: true,
    }
    const backed = await house.server({ flavorRef: flavor.id, imageRef: '', block_device_mapping_v2: [device] })
    assert.equal(backed.status, 'ACTIVE')
    await house.remove(made.body.server.id, backed.id)
  })

  test('a flavor too small for the image', async () => {
    const { api } = house.yard.cloud
    const image = await api('POST', '/image/v2/images', {
      name: 'wide',
      visibility: 'public',
      disk_format: 'raw',
      container_format: 'bare',
      min_ram: 4096,
    })
    await api('PUT', `/image/v2/images/${image.id}/file`, new Uint8Array(64), { 'content-type': 'application/octet-stream' })
    await refused(house.wish({ imageRef: image.id }), 400, /memory is too small/)
  })

  test('a document that is no JSON', async () => {
    for (const text of ['{', 'null', '[]', '"server"', '{"server": null}', '']) {
      const answer = await house.ask('POST', '/servers', { text })
      assert.equal(answer.status, 400, text)
    }
  })

  test('a microversion that there is not', async () => {
    const answer = await house.ask('GET', '/servers', { at: '2.999' })
    assert.equal(answer.status, 406)
    assert.equal(answer.body.computeFault.max_version, '2.93')
    assert.equal((await house.ask('GET', '/servers', { at: 'new' })).status, 400)
  })
})

test('a name filter that backtracks for ever does not stop the cloud', async () => {
  const one = await house.server({ name: `${'a'.repeat(40)}!` })
  const began = Date.now()
  const answer = await house.ask('GET', `/servers?name=${encodeURIComponent('^(a+)+$')}`)
  assert.equal(answer.status, 400)
  assert.match(answer.message, /takes too long/)
  assert.ok(Date.now() - began < 5_000)
  await house.remove(one.id)
})

test('a volume that does not boot boots nothing, and a rescued server gets none', async () => {
  const { volume } = (await house.ask('POST', '/os-volumes', { body: { volume: { size: 1 } } })).body
  const state = async () => (await house.ask('GET', `/os-volumes/${volume.id}`)).body.volume.status
  assert.equal(await eventually(state, (status) => status !== 'creating'), 'available')
  const device = { boot_index: 0, uuid: volume.id, source_type: 'volume', destination_type: 'volume' }
  const boot = house.wish({ imageRef: '', block_device_mapping_v2: [device] })
  const refused = await house.ask('POST', '/servers', { body: boot })
  assert.equal(refused.status, 400, refused.message)
  assert.match(refused.message, /is not bootable/)
  const one = await house.server()
  await house.ask('POST', `/servers/${one.id}/action`, { body: { rescue: null } })
  assert.equal((await house.rested(one.id)).status, 'RESCUE')
  const attach = { volumeAttachment: { volumeId: volume.id } }
  assert.equal((await house.ask('POST', `/servers/${one.id}/os-volume_attachments`, { body: attach })).status, 409)
  await house.remove(one.id)
})

/** The last of them: what it changes and deletes, flavors and quotas as well, nobody needs afterwards. */
test('whatever is sent to whatever route: never a 5xx, and all comes to rest', { timeout: 300_000 }, async () => {
  const one = await house.server()
  const routes = house.yard.cloud.control.compute.api.flatMap((api) => (api.prefix === '/compute/v2.1' ? api.routes : []))
  const ids = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(one.id, house.yard.flavorId, house.alpha, 'default', '1') },
    { weight: 2, arbitrary: fc.uuid() },
    fc.string({ minLength: 1, maxLength: 80, unit: 'binary' }),
    fc.constantFrom('%', '..', "'", '\u0000', '-1', '99999999999999999999', 'a'.repeat(300)),
  )
  const scalar = fc.oneof(
    ids,
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constantFrom(
      null,
      '',
      '0',
      '-1',
      'None',
      2 ** 53,
      -(2 ** 31),
      'true',
      '10.7.0.9',
      '::1',
      '2026-01-01T00:00:00Z',
      'SOFT',
      'active',
      'vnc',
    ),
  )
  const queries = fc.dictionary(fc.constantFrom(...QUERIES), fc.oneof(scalar, fc.constantFrom('asc', 'ACTIVE', '(', '[z-a]')), {
    maxKeys: 4,
  })
  const input = fc.record({
    route: fc.constantFrom(...routes),
    id: ids,
    query: queries,
    as: fc.constantFrom('admin' as const, 'member' as const),
  })
  const property = fc.asyncProperty(
    input.chain((known) => bodyFor(known.route, scalar).map((body) => ({ ...known, body }))),
    fc.constantFrom('2.1', '2.26', '2.47', '2.53', '2.79', '2.93'),
    async ({ route, id, query, as, body }, at) => {
      const path = route.path.replace(/:\w+/g, () => encodeURIComponent(id))
      const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]))
      const asking = { as, at, ...(route.method === 'GET' || route.method === 'DELETE' ? {} : { body }) }
      if (route.path === '/servers/:server_id' && route.method === 'DELETE') return
      if (route.action === 'forceDelete') return
      if (route.path === '/flavors/:flavor_id' && route.method === 'DELETE') return // the tests that follow need it
      const answer = await house.ask(route.method, `${path === '/' ? '' : path}?${search}`, asking)
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
      assert.ok(answer.status < 500, `${route.method} ${path}?${search} ${JSON.stringify(body)}: ${answer.status} ${answer.message}`)
    },
  )
  const statuses = new Map<number, number>()
  await fc.assert(property, { numRuns: Number(process.env.YUN_TEST_RUNS ?? 3000), endOnFailure: true })
  await house.yard.settled() // nothing of it waits for ever
  const accepted = [...statuses].reduce((sum, [status, n]) => sum + (status < 300 ? n : 0), 0)
  assert.ok(accepted > 100, `junk is refused so early that nothing is tried: ${JSON.stringify([...statuses])}`)
})

const QUERIES = [
  'limit',
  'offset',
  'marker',
  'sort_key',
  'sort_dir',
  'status',
  'name',
  'ip',
  'tags',
  'changes-since',
  'power_state',
  'launch_index',
  'locked',
  'all_tenants',
  'deleted',
  'host',
  'user_id',
  'tenant_id',
  'minRam',
  'is_public',
  'start',
  'end',
  'hypervisor_hostname_pattern',
  'with_servers',
]
