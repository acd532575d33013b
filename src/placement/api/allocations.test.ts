import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type PlacementHouse, placementHouse, uuid } from '../testing.ts'

let house: PlacementHouse
let host: string
before(async () => {
  house = await placementHouse()
  host = await house.host(1, 4)
})
after(() => house.close())

const owner = { project_id: 'p', user_id: 'u' }
const one = (vcpus: number) => ({ [host]: { resources: { VCPU: vcpus } } })

describe('allocations', () => {
  test('as each microversion writes and reads them', async () => {
    const at = `/allocations/${uuid(100)}`
    const listed = [{ resource_provider: { uuid: host }, resources: { VCPU: 1 } }]
    assert.equal((await house.ask('PUT', at, { version: '1.0', body: { allocations: listed } })).status, 204)
    assert.equal((await house.ask('PUT', at, { version: '1.8', body: { allocations: listed } })).status, 400)
    assert.equal((await house.ask('PUT', at, { version: '1.12', body: { allocations: one(2), ...owner } })).status, 204)
    const old = (await house.ask('GET', at, { version: '1.11' })).body
    assert.deepEqual([Object.keys(old), old.allocations[host].resources], [['allocations'], { VCPU: 2 }])
    const shown = (await house.ask('GET', at)).body
    assert.deepEqual([shown.consumer_generation, shown.consumer_type, shown.project_id, shown.user_id], [2, 'unknown', 'p', 'u'])
    const put = (body: object, version?: string) => house.ask('PUT', at, { version, body: { ...owner, ...body } })
    assert.equal((await put({ allocations: one(1), consumer_generation: null }, '1.28')).body.errors[0].code, 'placement.concurrent_update')
    assert.equal((await put({ allocations: one(1), consumer_generation: 2 }, '1.28')).status, 204)
    assert.equal((await put({ allocations: one(1), consumer_generation: 3 })).status, 400)
    assert.equal((await put({ allocations: one(1), consumer_generation: 3, consumer_type: 'INSTANCE' })).status, 204)
    assert.equal((await put({ allocations: one(9), consumer_generation: 4, consumer_type: 'INSTANCE' })).status, 409)
    for (const allocations of [{ [host]: { resources: {} } }, { [host]: { resources: { VCPU: 0 } } }, { x: { resources: { VCPU: 1 } } }, 5])
      assert.equal((await put({ allocations, consumer_generation: 4, consumer_type: 'INSTANCE' })).status, 400, JSON.stringify(allocations))
    assert.equal((await house.ask('PUT', '/allocations/x', { version: '1.12', body: { allocations: one(1), ...owner } })).status, 400)
    assert.deepEqual((await house.ask('GET', `/resource_providers/${host}/allocations`)).body.allocations, {
      [uuid(100)]: { resources: { VCPU: 1 }, consumer_generation: 4 },
    })
    assert.deepEqual((await house.ask('GET', '/usages?project_id=p', { version: '1.9' })).body, { usages: { VCPU: 1 } })
    assert.deepEqual((await house.ask('GET', '/usages?project_id=p')).body, { usages: { INSTANCE: { VCPU: 1, consumer_count: 1 } } })
    assert.deepEqual((await house.ask('GET', '/usages?project_id=p&consumer_type=all')).body, {
      usages: { all: { VCPU: 1, consumer_count: 1 } },
    })
    assert.deepEqual((await house.ask('GET', '/usages?project_id=p&consumer_type=unknown')).body, { usages: {} })
    assert.deepEqual((await house.ask('GET', '/usages?project_id=p&user_id=other')).body, { usages: {} })
    assert.equal((await house.ask('DELETE', at)).status, 204)
    assert.equal((await house.ask('DELETE', at)).status, 404)
    assert.deepEqual((await house.ask('GET', at)).body, { allocations: {} })
  })

  test('several consumers in one request', async () => {
    const claim = (n: number, generation: number | null) => ({
      allocations: n ? one(n) : {},
      ...owner,
      consumer_generation: generation,
      consumer_type: 'INSTANCE',
    })
    const post = (body: object) => house.ask('POST', '/allocations', { body })
    assert.equal((await post({ [uuid(1)]: claim(3, null), [uuid(2)]: claim(3, null) })).status, 409)
    assert.equal((await post({ [uuid(1)]: claim(1, null), [uuid(2)]: claim(3, null) })).status, 204)
    const of = (n: number, project_id: string, generation: number) => ({ ...claim(n, generation), project_id })
    assert.equal((await post({ [uuid(1)]: of(2, 'x', 1), [uuid(2)]: of(1, 'y', 1) })).status, 204)
    assert.equal((await post({ [uuid(1)]: of(1, 'z', 2), [uuid(2)]: of(1, 'z', 1) })).status, 409)
    const shown = async (n: number) => {
      const { body } = await house.ask('GET', `/allocations/${uuid(n)}`)
      return [body.allocations[host].resources.VCPU, body.project_id, body.user_id, body.consumer_type, body.consumer_generation]
    }
    assert.deepEqual(
      [await shown(1), await shown(2)],
      [
        [2, 'x', 'u', 'INSTANCE', 2],
        [1, 'y', 'u', 'INSTANCE', 2],
      ],
    )
    assert.equal((await post({ [uuid(1)]: claim(0, 2), [uuid(2)]: claim(0, 2) })).status, 204)
    assert.equal((await post({})).status, 400)
    assert.deepEqual(await house.client.usages(host), { VCPU: 0, MEMORY_MB: 0, DISK_GB: 0 })
  })
})

describe('allocation candidates', () => {
  const find = async (query: string, version?: string) => await house.ask('GET', `/allocation_candidates?${query}`, { version })
  const hosts = async (query: string) =>
    (await find(query)).body.allocation_requests.map((request: any) => Object.keys(request.allocations).toSorted().join('+'))

  test('shapes by microversion', async () => {
    const now = (await find('resources=VCPU:2')).body
    assert.deepEqual(now.allocation_requests, [{ allocations: { [host]: { resources: { VCPU: 2 } } }, mappings: { '': [host] } }])
    assert.deepEqual(now.provider_summaries[host], {
      resources: { DISK_GB: { capacity: 100, used: 0 }, MEMORY_MB: { capacity: 3584, used: 0 }, VCPU: { capacity: 4, used: 0 } },
      traits: [],
      parent_provider_uuid: null,
      root_provider_uuid: host,
    })
    const old = (await find('resources=VCPU:2', '1.10')).body
    assert.deepEqual(old.allocation_requests, [{ allocations: [{ resource_provider: { uuid: host }, resources: { VCPU: 2 } }] }])
    assert.deepEqual(old.provider_summaries, { [host]: { resources: { VCPU: { capacity: 4, used: 0 } } } })
    for (const query of [
      '',
      'resources=',
      'resources=VCPU:0',
      'required=COMPUTE_NODE',
      'resources=VCPU:1&limit=0',
      'resources1=VCPU:1&resources2=VCPU:1',
      'x=1',
    ])
      assert.equal((await find(query)).status, 400, query)
    assert.equal((await find('resources=VCPU:1&limit=1', '1.15')).status, 400)
  })

  test('limit, traits, trees and aggregates narrow', async () => {
    const [b, c] = [await house.host(2, 4), await house.host(3, 1)]
    await house.client.setTraits(b, ['COMPUTE_NODE'])
    await house.client.setAggregates(c, [uuid(70)])
    assert.deepEqual(await hosts('resources=VCPU:1'), [host, b, c])
    assert.deepEqual(await hosts('resources=VCPU:1&limit=2'), [host, b])
    assert.deepEqual(await hosts('resources=VCPU:2'), [host, b])
    assert.deepEqual(await hosts('resources=VCPU:1&required=COMPUTE_NODE'), [b])
    assert.deepEqual(await hosts('resources=VCPU:1&required=!COMPUTE_NODE'), [host, c])
    assert.deepEqual(await hosts('resources=VCPU:1&root_required=!COMPUTE_NODE'), [host, c])
    assert.deepEqual(await hosts(`resources=VCPU:1&in_tree=${c}`), [c])
    assert.deepEqual(await hosts(`resources=VCPU:1&member_of=${uuid(70)}`), [c])
    assert.deepEqual(await hosts(`resources=VCPU:1&member_of=!in:${uuid(70)},${uuid(71)}`), [host, b])
  })

  test('a tree gives together; groups with suffixes each take one provider', async () => {
    for (const n of [4, 5]) {
      await house.ask('POST', '/resource_providers', { body: { name: `gpu-${n}`, uuid: uuid(n), parent_provider_uuid: host } })
      await house.client.setInventories(uuid(n), { VGPU: { total: 2 } })
    }
    await house.client.setTraits(uuid(5), ['CUSTOM_BIG'])
    const pair = (...ids: string[]) => ids.toSorted().join('+')
    assert.deepEqual(await hosts('resources=VCPU:1,VGPU:1'), [pair(host, uuid(4)), pair(host, uuid(5))])
    assert.deepEqual(await hosts('resources=VCPU:1,VGPU:1&required=CUSTOM_BIG'), [pair(host, uuid(5))])
    assert.deepEqual((await find('resources=VCPU:1,VGPU:1', '1.28')).body.allocation_requests, [])
    assert.deepEqual(await hosts('resources=VCPU:1&resources1=VGPU:2&required1=!CUSTOM_BIG'), [pair(host, uuid(4))])
    const two = 'resources1=VGPU:1&resources2=VGPU:1&group_policy='
    assert.equal((await hosts(`${two}isolate`)).length, 2)
    assert.equal((await hosts(`${two}none`)).length, 4)
    const big = await find('resources_a=VGPU:2&resources_b=VGPU:2&group_policy=none')
    assert.equal(big.body.allocation_requests.length, 2)
    assert.deepEqual(big.body.allocation_requests[0].mappings, { _a: [uuid(4)], _b: [uuid(5)] })
  })
})
