import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type PlacementHouse, placementHouse, uuid } from './testing.ts'

let house: PlacementHouse
before(async () => {
  house = await placementHouse()
})
after(() => house.close())

const owner = { projectId: 'p1', userId: 'u1' }

describe('the placement client', () => {
  test('a provider is made once and renamed', async () => {
    const { client } = house
    const [a, b] = await Promise.all([client.ensureProvider(uuid(1), 'one'), client.ensureProvider(uuid(1), 'one')])
    assert.equal(a.uuid, b.uuid)
    assert.equal((await client.ensureProvider(uuid(1), 'uno')).name, 'uno')
    assert.equal((await client.provider(uuid(1))).name, 'uno')
    await assert.rejects(client.provider(uuid(99)), { status: 404 })
    await client.removeProvider(uuid(1))
    await client.removeProvider(uuid(1))
  })

  test('candidates, claim, usages, consumers, release', async () => {
    const { client } = house
    const host = await house.host(2, 4)
    await client.setTraits(host, ['COMPUTE_NODE', 'CUSTOM_FAST'])
    await client.setAggregates(host, [uuid(77)])
    const query = {
      resources: { VCPU: 3, MEMORY_MB: 512 },
      required: ['CUSTOM_FAST', '!COMPUTE_STATUS_DISABLED'],
      memberOf: [[uuid(77), uuid(78)]],
    }
    const { requests, summaries } = await client.candidates({ ...query, limit: 5 })
    assert.deepEqual(requests, [{ [host]: { VCPU: 3, MEMORY_MB: 512 } }])
    assert.deepEqual(summaries[host]!.resources.MEMORY_MB, { capacity: 3584, used: 0 })
    assert.deepEqual(summaries[host]!.traits, ['COMPUTE_NODE', 'CUSTOM_FAST'])

    assert.equal(await client.claim(uuid(100), { ...owner, allocations: requests[0]! }), true)
    assert.equal(await client.claim(uuid(101), { ...owner, allocations: requests[0]! }), false)
    assert.deepEqual((await client.candidates(query)).requests, [])
    assert.deepEqual(await client.usages(host), { VCPU: 3, MEMORY_MB: 512, DISK_GB: 0 })
    assert.deepEqual(await client.consumersOf(host), { allocations: { [uuid(100)]: { MEMORY_MB: 512, VCPU: 3 } } })
    assert.equal(await client.claim(uuid(100), { ...owner, allocations: { [host]: { VCPU: 4 } } }), true)
    assert.deepEqual(await client.allocations(uuid(100)), { ...owner, generation: 2, allocations: { [host]: { VCPU: 4 } } })
    await assert.rejects(client.removeProvider(host), { status: 409, code: 'placement.resource_provider.inuse' })
    await assert.rejects(client.setInventories(host, { MEMORY_MB: { total: 1 } }), { status: 409, code: 'placement.inventory.inuse' })
    await client.release(uuid(100))
    await client.release(uuid(100))
    assert.deepEqual(await client.allocations(uuid(100)), { allocations: {}, projectId: null, userId: null, generation: null })
    assert.equal((await client.candidates(query)).requests.length, 1)
    await client.removeProvider(host)
    assert.equal(await client.claim(uuid(102), { ...owner, allocations: requests[0]! }), false)
    assert.equal(await client.claimTogether({ [uuid(102)]: { ...owner, allocations: requests[0]! } }), false)
  })

  test('writers of one provider at the same time all arrive', async () => {
    const { client } = house
    const host = await house.host(3)
    await Promise.all([
      client.setTraits(host, ['COMPUTE_NODE']),
      client.setAggregates(host, [uuid(5)]),
      client.setInventories(host, { VCPU: { total: 7 } }),
      client.claim(uuid(200), { ...owner, allocations: { [host]: { VCPU: 1 } } }),
    ])
    assert.deepEqual((await client.candidates({ resources: { VCPU: 6 }, required: ['COMPUTE_NODE'], memberOf: [[uuid(5)]] })).requests, [
      { [host]: { VCPU: 6 } },
    ])
  })
})
