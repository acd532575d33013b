import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FilterName, SCHEDULER_DEFAULTS } from '../app/scheduler/settings.ts'
import { House } from '../testing.ts'

let house: House
before(async () => {
  const enabledFilters: FilterName[] = [...SCHEDULER_DEFAULTS.enabledFilters, 'SameHostFilter', 'DifferentHostFilter', 'JsonFilter']
  house = await House.open({ hosts: 3, config: { scheduler: { ...SCHEDULER_DEFAULTS, enabledFilters } } })
})
after(() => house.stop())
const set = (quota_set: object, project = house.alpha) =>
  house.ask('PUT', `/os-quota-sets/${project}`, { as: 'admin', body: { quota_set } })
const living = async () => (await house.ask('GET', '/servers')).body.servers.map((one: any) => one.id)
const clear = async () => house.remove(...(await living()))

describe('quotas', () => {
  test('thirty requests at once for ten places: exactly ten are accepted', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, () => house.ask('POST', '/servers', { body: house.wish() })))
    const refused = answers.filter((one) => one.status === 403)
    assert.equal(answers.filter((one) => one.status === 202).length, 10)
    assert.equal(refused.length, 20)
    assert.equal(refused[0]!.message, 'Quota exceeded for instances: Requested 1, but already used 10 of 10 instances')
    assert.equal((await living()).length, 10)
    await house.yard.settled()
    await clear()
    const { quota_set } = (await house.ask('GET', `/os-quota-sets/${house.alpha}/detail`)).body
    assert.deepEqual([quota_set.instances, quota_set.cores.in_use, quota_set.ram.in_use], [{ limit: 10, in_use: 0, reserved: 0 }, 0, 0])
  })

  test('of several servers as many as there is room for, at least min_count', async () => {
    await set({ instances: 3 })
    const first = await house.server()
    assert.equal((await house.ask('POST', '/servers', { body: house.wish({ min_count: 3, max_count: 5 }) })).status, 403)
    assert.equal((await living()).length, 1)
    assert.equal((await house.ask('POST', '/servers', { body: house.wish({ min_count: 1, max_count: 2_000_000_000 }) })).status, 202)
    assert.equal((await living()).length, 3)
    await house.yard.settled()
    await clear()
    assert.ok(first)
  })

  test('of cores and memory count the flavor', async () => {
    await set({ instances: 10, cores: 2, ram: 100 })
    const two = await house.ask('POST', '/servers', { body: house.wish({ min_count: 2 }) })
    assert.equal(two.message, 'Quota exceeded for ram: Requested 128, but already used 0 of 100 ram')
    await set({ ram: -1 })
    const three = await house.ask('POST', '/servers', { body: house.wish({ min_count: 3 }) })
    assert.equal(three.message, 'Quota exceeded for cores: Requested 3, but already used 0 of 2 cores')
  })

  test('are set, not below what is in use, and forgotten', async () => {
    const one = await house.server()
    assert.match((await set({ instances: 0 })).message, /must be greater than or equal to already used and reserved 1/)
    assert.equal((await set({ instances: 0, force: true })).status, 200)
    for (const wrong of [{ instances: -2 }, { instances: '-5' }, { cores: 'many' }, { colour: 1 }])
      assert.equal((await set(wrong)).status, 400)
    assert.equal((await house.ask('DELETE', `/os-quota-sets/${house.alpha}`, { as: 'admin' })).status, 202)
    const show = async (at: string) => (await house.ask('GET', `/os-quota-sets/${house.alpha}`, { at })).body.quota_set
    assert.equal((await show('2.1')).floating_ips, 10)
    assert.ok(!('floating_ips' in (await show('2.36'))) && 'injected_files' in (await show('2.36')))
    assert.ok(!('injected_files' in (await show('2.57'))))
    assert.equal((await house.ask('GET', '/os-quota-class-sets/gold', { as: 'admin' })).status, 404)
    assert.equal(
      (await house.ask('PUT', `/os-quota-sets/${'x'.repeat(300)}`, { as: 'admin', body: { quota_set: { cores: 1 } } })).status,
      400,
    )
    await house.remove(one.id)
  })

  test('limits and usage tell of it', async () => {
    const one = await house.server()
    const { absolute } = (await house.ask('GET', '/limits')).body.limits
    assert.deepEqual([absolute.maxTotalInstances, absolute.totalInstancesUsed, absolute.totalRAMUsed], [10, 1, 64])
    const { tenant_usage } = (await house.ask('GET', `/os-simple-tenant-usage/${house.alpha}`)).body
    assert.ok(tenant_usage.server_usages.some((each: any) => each.instance_id === one.id && each.hours >= 0 && each.state === 'active'))
    assert.equal((await house.ask('GET', `/os-simple-tenant-usage/${house.alpha}?start=never`)).status, 400)
    assert.equal((await house.ask('GET', `/os-simple-tenant-usage/${house.beta}`)).status, 403)
    await house.remove(one.id)
  })
})

describe('server groups', () => {
  const group = async (policy: string) =>
    (await house.ask('POST', '/os-server-groups', { body: { server_group: { name: policy, policies: [policy] } } })).body.server_group
  const in_ = (id: string) => ({ ...house.wish(), 'os:scheduler_hints': { group: id } })

  test('anti-affinity: four at once on three hosts, and the fourth says why not', async () => {
    const { id } = await group('anti-affinity')
    const made = await Promise.all(Array.from({ length: 4 }, () => house.ask('POST', '/servers', { body: in_(id) })))
    const servers = await Promise.all(made.map((one) => house.rested(one.body.server.id)))
    const active = servers.filter((one) => one.status === 'ACTIVE')
    const failed = servers.filter((one) => one.status === 'ERROR')
    assert.deepEqual([active.length, failed.length], [3, 1])
    assert.equal(new Set(active.map((one) => one['OS-EXT-SRV-ATTR:host'])).size, 3)
    assert.match(failed[0].fault.message, /No valid host was found/)
    assert.match(failed[0].fault.message, /anti-affinity group/)
    const shown = (await house.ask('GET', `/os-server-groups/${id}`, { at: '2.64' })).body.server_group
    assert.deepEqual([shown.policy, shown.members.length], ['anti-affinity', 4])
    assert.equal((await house.ask('GET', `/os-server-groups/${id}`, { as: 'stranger' })).status, 404)
    await clear()
    assert.equal((await house.ask('DELETE', `/os-server-groups/${id}`)).status, 204)
    assert.equal((await house.ask('DELETE', `/os-server-groups/${id}`)).status, 404)
  })

  test('affinity: all on one host', async () => {
    const { id } = await group('affinity')
    const hosts = new Set<string>()
    for (let i = 0; i < 3; i++) {
      const made = await house.ask('POST', '/servers', { body: in_(id) })
      hosts.add((await house.rested(made.body.server.id))['OS-EXT-SRV-ATTR:host'])
    }
    assert.equal(hosts.size, 1)
    await clear()
  })

  test('hints: with, and away from, another server', async () => {
    const one = await house.server()
    const hinted = async (hints: object) => {
      const made = await house.ask('POST', '/servers', { body: { ...house.wish(), 'os:scheduler_hints': hints } })
      return await house.rested(made.body.server.id)
    }
    const host = one['OS-EXT-SRV-ATTR:host']
    assert.equal((await hinted({ same_host: one.id }))['OS-EXT-SRV-ATTR:host'], host)
    assert.notEqual((await hinted({ different_host: [one.id] }))['OS-EXT-SRV-ATTR:host'], host)
    const never = await hinted({ query: '[">=", "$free_ram_mb", 99999999]' })
    assert.deepEqual([never.status, never.fault.code], ['ERROR', 500])
    assert.match(never.fault.message, /3 hosts, 3 do not satisfy/)
    const noQuery = await house.ask('POST', '/servers', { body: { ...house.wish(), 'os:scheduler_hints': { query: '[' } } })
    assert.deepEqual([noQuery.status, /not valid JSON/.test(noQuery.message)], [400, true])
    await clear()
  })

  test('of wrong words are refused, as are more than ten', async () => {
    const make = (server_group: object) => house.ask('POST', '/os-server-groups', { body: { server_group } })
    for (const wrong of [{ name: 'g' }, { name: 'g', policies: [] }, { name: 'g', policies: ['near'] }, { policies: ['affinity'] }])
      assert.equal((await make(wrong)).status, 400, JSON.stringify(wrong))
    assert.equal((await make({ name: 'g', policy: 'affinity', rules: { max_server_per_host: 2 } })).status, 400)
    const answers = await Promise.all(Array.from({ length: 12 }, () => make({ name: 'g', policies: ['affinity'] })))
    const there = (await house.ask('GET', '/os-server-groups')).body.server_groups
    assert.equal(there.length, 10)
    assert.ok(answers.some((one) => one.status === 403))
    assert.equal((await house.ask('GET', '/os-server-groups?limit=2&offset=9')).body.server_groups.length, 1)
    assert.equal((await house.ask('GET', '/os-server-groups?limit=x')).status, 400)
  })
})

test('usage of a time that ends before it begins is no question', async () => {
  const { status } = await house.ask('GET', `/os-simple-tenant-usage/${house.alpha}?start=2026-02-02T00:00:00&end=2026-01-01T00:00:00`)
  assert.equal(status, 400)
})
