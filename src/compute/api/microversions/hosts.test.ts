import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type Ask, both, inOneHouse } from './testing.ts'

/** What microversions changed of hosts, hypervisors, aggregates, migrations and what other services tell. */

let id: string
const here = inOneHouse({
  hosts: 2,
  async prepare(house) {
    id = (await house.server()).id
  },
})
const { microversion } = here
const list = async (ask: Ask, path: string, key: string) => (await ask('GET', path)).body[key]
const first = async (ask: Ask, path: string, key: string) => (await list(ask, path, key))[0]
const has = async (name: string, path: string, key: string, before: Ask, at: Ask) => [
  name in (await first(before, path, key)),
  name in (await first(at, path, key)),
]

microversion('2.11', 'a host may be said to be down', async (before, at) => {
  assert.deepEqual(await has('forced_down', '/os-services', 'services', before, at), [false, true])
  const { host } = (await list(at, '/os-services?binary=nova-compute', 'services'))[0]
  const body = { host, binary: 'nova-compute', forced_down: false }
  assert.deepEqual(await both('PUT', '/os-services/force-down', before, at, body), [404, 200])
})
microversion('2.28', 'a hypervisor’s processor is an object', async (before, at) => {
  const info = async (ask: Ask) => typeof (await first(ask, '/os-hypervisors/detail', 'hypervisors')).cpu_info
  assert.deepEqual([await info(before), await info(at)], ['string', 'object'])
})
microversion('2.33', 'hypervisors come in pages', async (before, at) => {
  for (const path of ['/os-hypervisors', '/os-hypervisors/detail']) {
    assert.deepEqual(
      [(await list(before, `${path}?limit=1`, 'hypervisors')).length, (await list(at, `${path}?limit=1`, 'hypervisors')).length],
      [2, 1],
    )
    const { hypervisors, hypervisors_links: links } = (await at('GET', `${path}?limit=1`)).body
    assert.match(links[0].href, new RegExp(`marker=${hypervisors[0].id}$`))
    const rest = (await at('GET', `${path}?limit=1&marker=${hypervisors[0].id}`)).body
    assert.deepEqual([rest.hypervisors.length, rest.hypervisors[0].id === hypervisors[0].id, rest.hypervisors_links], [1, false, undefined])
    assert.equal((await at('GET', `${path}?marker=none`)).status, 400)
  }
})
microversion('2.34', 'whether a server can go to another host while it runs is found out after the answer', async (before, at) => {
  const body = { 'os-migrateLive': { host: null, block_migration: false } } // these hosts have no storage in common
  const refused = await before('POST', `/servers/${id}/action`, { body })
  assert.equal(refused.status, 400)
  assert.match(refused.body.badRequest.message, /^Migration pre-check error: .* do not share their storage/)
  const shown = async () => (await at('GET', `/servers/${id}`)).body.server['OS-EXT-STS:task_state']
  assert.equal(await shown(), null)
  assert.equal((await at('POST', `/servers/${id}/action`, { body })).status, 202)
  await here.house.yard.settled()
  const [{ request_id: request }] = (await at('GET', `/servers/${id}/os-instance-actions`)).body.instanceActions
  assert.match((await at('GET', `/servers/${id}/os-instance-actions/${request}`)).body.instanceAction.message, /do not share their storage/)
  const { status } = await before('POST', `/servers/${id}/action`, { body: { 'os-migrateLive': { host: null, block_migration: true } } })
  assert.equal(status, 202)
  await here.house.yard.settled()
})
microversion('2.41', 'aggregates have a uuid', async (before, at) => {
  await at('POST', '/os-aggregates', { body: { aggregate: { name: 'all' } } })
  assert.deepEqual(await has('uuid', '/os-aggregates', 'aggregates', before, at), [false, true])
})
microversion('2.43', 'os-hosts is no more', async (before, at) => assert.deepEqual(await both('GET', '/os-hosts', before, at), [200, 404]))
microversion('2.51', 'compute is told that a volume grew', async (before, at) => {
  const body = { events: [{ server_uuid: id, name: 'volume-extended', tag: randomUUID() }] }
  assert.deepEqual(await both('POST', '/os-server-external-events', before, at, body), [400, 200])
})
microversion('2.53', 'services and hypervisors are named by uuid and searched by a query', async (before, at) => {
  const ids = async (ask: Ask) => [
    typeof (await first(ask, '/os-services', 'services')).id,
    typeof (await first(ask, '/os-hypervisors', 'hypervisors')).id,
  ]
  assert.deepEqual(
    [await ids(before), await ids(at)],
    [
      ['number', 'number'],
      ['string', 'string'],
    ],
  )
  const { hypervisor_hostname: name } = await first(at, '/os-hypervisors', 'hypervisors')
  assert.deepEqual(await both('GET', `/os-hypervisors/${name}/search`, before, at), [200, 404])
  const found = async (ask: Ask) => (await list(ask, `/os-hypervisors?hypervisor_hostname_pattern=${name}`, 'hypervisors')).length
  assert.deepEqual([await found(before), await found(at)], [2, 1])
})
microversion('2.59', 'migrations have a uuid and come in pages', async (before, at) => {
  await at('POST', `/servers/${id}/action`, { body: { migrate: null } })
  await here.house.rested(id)
  await at('POST', `/servers/${id}/action`, { body: { revertResize: null } })
  await here.house.rested(id)
  assert.deepEqual(await has('uuid', '/os-migrations', 'migrations', before, at), [false, true])
  assert.deepEqual(await both('GET', `/os-migrations?marker=${randomUUID()}`, before, at), [200, 400])
})
microversion('2.65', 'a live migration that has not begun may be broken off', async (before, at) => {
  const { db } = here.house.yard.context.database
  await db.updateTable('migrations').set({ type: 'live-migration', status: 'queued' }).where('server_id', '=', id).execute()
  const { id: number } = await first(at, '/os-migrations', 'migrations')
  assert.deepEqual(await both('DELETE', `/servers/${id}/migrations/${number}`, before, at), [400, 202])
})
microversion('2.66', 'migrations are listed up to a time', async (before, at) => {
  const query = '/os-migrations?changes-before=2001-01-01T00:00:00Z'
  assert.deepEqual([(await before('GET', query)).body?.migrations?.length, (await at('GET', query)).body.migrations.length], [undefined, 0])
})
microversion('2.76', 'compute is told that a machine was switched on', async (before, at) => {
  const body = { events: [{ server_uuid: id, name: 'power-update', tag: 'POWER_ON' }] }
  assert.deepEqual(await both('POST', '/os-server-external-events', before, at, body), [400, 200])
})
microversion('2.80', 'migrations show whose they are, and are listed by it', async (before, at) => {
  assert.deepEqual(await has('project_id', '/os-migrations', 'migrations', before, at), [false, true])
  assert.deepEqual((await list(at, '/os-migrations?project_id=nobody', 'migrations')).length, 0)
})
microversion('2.81', 'the hosts of an aggregate fetch images ahead of servers', async (before, at) => {
  const { aggregate } = (await at('POST', '/os-aggregates', { body: { aggregate: { name: 'warm' } } })).body
  const { host } = (await list(at, '/os-services?binary=nova-compute', 'services'))[0]
  await at('POST', `/os-aggregates/${aggregate.id}/action`, { body: { add_host: { host } } })
  const path = `/os-aggregates/${aggregate.id}/images`
  assert.deepEqual(await both('POST', path, before, at, { cache: [{ id: here.house.yard.imageId }] }), [404, 202])
  assert.equal((await at('POST', path, { body: { cache: [{ id: randomUUID() }] } })).status, 400)
  assert.equal((await at('POST', path, { body: { cache: [{ id: here.house.yard.imageId }] }, as: 'member' })).status, 403)
})
microversion('2.82', 'compute is told that an accelerator is bound', async (before, at) => {
  const body = { events: [{ server_uuid: id, name: 'accelerator-request-bound', tag: randomUUID() }] }
  assert.deepEqual(await both('POST', '/os-server-external-events', before, at, body), [400, 200])
})
microversion('2.88', 'a hypervisor shows since when it runs, and no longer what it has', async (before, at) => {
  assert.deepEqual(await has('uptime', '/os-hypervisors/detail', 'hypervisors', before, at), [false, true])
  assert.deepEqual(await has('vcpus', '/os-hypervisors/detail', 'hypervisors', before, at), [true, false])
  assert.deepEqual(await both('GET', '/os-hypervisors/statistics', before, at), [200, 404])
})
