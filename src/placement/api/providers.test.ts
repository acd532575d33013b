import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { refusalTests } from '../../kernel/http/testing.ts'
import { type PlacementHouse, placementHouse, uuid } from '../testing.ts'

let house: PlacementHouse
before(async () => {
  house = await placementHouse()
})
after(() => house.close())

refusalTests(async () => house.service.api)

const fault = (answer: { status: number; body: any }) => [answer.status, answer.body.errors?.[0].code]

describe('the version document and faults', () => {
  test('the version is shown to everybody', async () => {
    for (const path of ['/placement', '/placement/']) {
      const { status, body } = await house.server.request('GET', path, { as: null })
      assert.equal(status, 200)
      assert.deepEqual(body.versions[0], {
        id: 'v1.0',
        status: 'CURRENT',
        min_version: '1.0',
        max_version: '1.39',
        links: [{ rel: 'self', href: '' }],
      })
    }
  })

  test('a fault has status, title, detail, request id and code; a version too new says what there is', async () => {
    const { body, headers } = await house.ask('GET', `/resource_providers/${uuid(404)}`)
    assert.deepEqual(body, {
      errors: [
        {
          status: 404,
          title: 'Not Found',
          detail: `No resource provider with uuid ${uuid(404)} found`,
          request_id: headers['x-openstack-request-id'],
          code: 'placement.undefined_code',
        },
      ],
    })
    const future = await house.ask('GET', '/resource_providers', { version: '1.99' })
    assert.deepEqual([future.status, future.body.errors[0].max_version], [406, '1.39'])
    assert.equal((await house.ask('GET', '/traits', { version: '1.5' })).status, 404)
    assert.equal((await house.ask('GET', '/traits', { version: 'latest' })).status, 200)
  })

  test('members may not look at the machines, but at their own usage', async () => {
    assert.equal((await house.ask('GET', '/resource_providers', { as: 'member' })).status, 403)
    assert.equal(
      (await house.ask('GET', '/usages', { as: 'member', query: { project_id: 'd0000000000000000000000000000001' } })).status,
      200,
    )
    assert.equal(
      (await house.ask('GET', '/usages', { as: 'other', query: { project_id: 'd0000000000000000000000000000001' } })).status,
      403,
    )
    assert.equal((await house.ask('GET', '/usages')).status, 400)
  })
})

describe('resource providers', () => {
  test('create, show, rename, list, delete; as the microversion has it', async () => {
    const old = await house.ask('POST', '/resource_providers', { version: '1.0', body: { name: 'old' } })
    assert.equal(old.status, 201)
    assert.match(String(old.headers.location), /\/placement\/resource_providers\/[0-9a-f-]{36}$/)
    const made = await house.ask('POST', '/resource_providers', { body: { name: 'a', uuid: uuid(1) } })
    assert.equal(made.status, 200)
    assert.equal(made.headers['cache-control'], 'no-cache')
    const { links, ...rest } = made.body
    assert.deepEqual(rest, { uuid: uuid(1), name: 'a', generation: 0, parent_provider_uuid: null, root_provider_uuid: uuid(1) })
    assert.deepEqual(
      links.map((link: any) => link.rel),
      ['self', 'inventories', 'usages', 'aggregates', 'traits', 'allocations'],
    )
    assert.equal((await house.ask('GET', `/resource_providers/${uuid(1)}`, { version: '1.0' })).body.links.length, 3)
    assert.deepEqual(fault(await house.ask('POST', '/resource_providers', { body: { name: 'a' } })), [409, 'placement.duplicate_name'])
    assert.equal((await house.ask('PUT', `/resource_providers/${uuid(1)}`, { body: { name: 'b' } })).body.name, 'b')
    assert.deepEqual(fault(await house.ask('PUT', `/resource_providers/${uuid(1)}`, { body: { name: 'old' } })), [
      409,
      'placement.duplicate_name',
    ])
    const listed = await house.ask('GET', '/resource_providers', { query: { name: 'b' } })
    assert.deepEqual(
      listed.body.resource_providers.map((one: any) => one.uuid),
      [uuid(1)],
    )
    assert.equal((await house.ask('DELETE', `/resource_providers/${uuid(1)}`)).status, 204)
    assert.equal((await house.ask('DELETE', `/resource_providers/${uuid(1)}`)).status, 404)
  })

  test('wrong documents are 400', async () => {
    for (const body of [{}, { name: '' }, { name: 5 }, { name: 'x', uuid: 'x' }, { name: 'x', more: 1 }, [], { name: 'x'.repeat(201) }])
      assert.equal((await house.ask('POST', '/resource_providers', { body })).status, 400, JSON.stringify(body))
    assert.equal((await house.ask('POST', '/resource_providers', { text: '{"name":' })).status, 400)
    assert.equal((await house.ask('POST', '/resource_providers', { body: { name: 'x', parent_provider_uuid: uuid(404) } })).status, 400)
    for (const query of [
      'color=red',
      'resources=VCPU',
      'resources=NOPE:1',
      'required=nope',
      'required=CUSTOM_NOPE',
      'member_of=x',
      'in_tree=x',
      'uuid=x',
    ])
      assert.equal((await house.ask('GET', `/resource_providers?${query}`)).status, 400, query)
    assert.equal((await house.ask('GET', '/resource_providers?required=COMPUTE_NODE', { version: '1.17' })).status, 400)
  })

  test('trees: parents, loops, moves', async () => {
    const make = (n: number, parent?: number) =>
      house.ask('POST', '/resource_providers', {
        body: { name: `tree-${n}`, uuid: uuid(n), ...(parent ? { parent_provider_uuid: uuid(parent) } : {}) },
      })
    await make(10)
    assert.equal((await make(11, 10)).body.root_provider_uuid, uuid(10))
    assert.equal((await make(12, 11)).body.root_provider_uuid, uuid(10))
    await make(20)
    assert.deepEqual(fault(await house.ask('DELETE', `/resource_providers/${uuid(10)}`)), [
      409,
      'placement.resource_provider.cannot_delete_parent',
    ])
    const move = (n: number, parent: number | null, version?: string) =>
      house.ask('PUT', `/resource_providers/${uuid(n)}`, {
        version,
        body: { name: `tree-${n}`, parent_provider_uuid: parent && uuid(parent) },
      })
    assert.equal((await move(10, 12)).status, 400)
    assert.equal((await move(11, 20, '1.36')).status, 400)
    assert.equal((await move(11, 20)).body.root_provider_uuid, uuid(20))
    const tree = await house.ask('GET', `/resource_providers?in_tree=${uuid(12)}`)
    assert.deepEqual(tree.body.resource_providers.map((one: any) => one.uuid).toSorted(), [uuid(11), uuid(12), uuid(20)])
    assert.equal((await move(11, null)).body.root_provider_uuid, uuid(11))
    assert.equal((await house.ask('GET', `/resource_providers/${uuid(12)}`)).body.root_provider_uuid, uuid(11))
  })

  test('filters by what there is, traits and aggregates', async () => {
    const host = await house.host(30, 2)
    await house.client.setTraits(host, ['HW_CPU_X86_AVX2', 'CUSTOM_GOLD'])
    await house.client.setAggregates(host, [uuid(900)])
    const names = async (query: string) =>
      (await house.ask('GET', `/resource_providers?${query}`)).body.resource_providers.map((one: any) => one.name)
    assert.deepEqual(await names('resources=VCPU:2,MEMORY_MB:3584'), ['host-30'])
    assert.deepEqual(await names('resources=VCPU:3'), [])
    assert.deepEqual(await names('required=CUSTOM_GOLD,!COMPUTE_NODE'), ['host-30'])
    assert.deepEqual(await names('required=in:COMPUTE_NODE,CUSTOM_GOLD&required=HW_CPU_X86_AVX2'), ['host-30'])
    assert.deepEqual(await names(`member_of=in:${uuid(901)},${uuid(900)}`), ['host-30'])
    assert.ok(!(await names(`member_of=!${uuid(900)}`)).includes('host-30'))
  })
})

describe('inventories, traits, aggregates, classes', () => {
  test('inventories under their generation', async () => {
    const host = await house.host(40, 4)
    const at = `/resource_providers/${host}/inventories`
    const { body } = await house.ask('GET', at)
    assert.deepEqual(body.inventories.VCPU, { total: 4, reserved: 0, min_unit: 1, max_unit: 2147483647, step_size: 1, allocation_ratio: 1 })
    const generation = body.resource_provider_generation
    const put = (g: number, inventories: object) => house.ask('PUT', at, { body: { resource_provider_generation: g, inventories } })
    assert.deepEqual(fault(await put(generation - 1, {})), [409, 'placement.concurrent_update'])
    assert.equal((await put(generation, { CUSTOM_NOPE: { total: 1 } })).status, 400)
    assert.equal((await put(generation, { VCPU: { total: 1, reserved: 2 } })).status, 400)
    assert.equal((await put(generation, { VCPU: { total: 8, allocation_ratio: 16 } })).body.resource_provider_generation, generation + 1)
    assert.equal(
      (
        await house.ask('PUT', `/resource_providers/${uuid(404)}/inventories`, {
          body: { resource_provider_generation: 0, inventories: {} },
        })
      ).status,
      404,
    )
    const added = await house.ask('POST', at, {
      body: { resource_class: 'DISK_GB', total: 5, resource_provider_generation: generation + 1 },
    })
    assert.equal(added.status, 201)
    assert.equal((await house.ask('POST', at, { body: { resource_class: 'DISK_GB', total: 5 } })).status, 409)
    const one = { resource_provider_generation: generation + 2, total: 6 }
    assert.equal((await house.ask('PUT', `${at}/DISK_GB`, { body: one })).body.total, 6)
    assert.equal((await house.ask('PUT', `${at}/VGPU`, { body: { ...one, resource_provider_generation: generation + 3 } })).status, 400)
    assert.equal((await house.ask('GET', `${at}/VGPU`)).status, 404)
    assert.equal(await house.client.claim(uuid(5000), { allocations: { [host]: { VCPU: 1 } }, projectId: 'p', userId: 'u' }), true)
    assert.deepEqual(fault(await house.ask('DELETE', `${at}/VCPU`)), [409, 'placement.inventory.inuse'])
    assert.deepEqual(fault(await house.ask('DELETE', at)), [409, 'placement.inventory.inuse'])
    assert.equal((await house.ask('DELETE', `${at}/DISK_GB`)).status, 204)
    assert.equal((await house.ask('DELETE', `${at}/DISK_GB`)).status, 404)
    await house.client.release(uuid(5000))
    assert.equal((await house.ask('DELETE', at)).status, 204)
    assert.deepEqual((await house.ask('GET', at)).body.inventories, {})
  })

  test('traits', async () => {
    assert.equal((await house.ask('PUT', '/traits/CUSTOM_A')).status, 201)
    assert.equal((await house.ask('PUT', '/traits/CUSTOM_A')).status, 204)
    assert.equal((await house.ask('PUT', '/traits/WRONG')).status, 400)
    assert.equal((await house.ask('GET', '/traits/CUSTOM_A')).status, 204)
    assert.equal((await house.ask('GET', '/traits/CUSTOM_B')).status, 404)
    assert.equal((await house.ask('DELETE', '/traits/COMPUTE_NODE')).status, 400)
    assert.deepEqual((await house.ask('GET', '/traits?name=in:CUSTOM_A,COMPUTE_NODE,X')).body.traits, ['COMPUTE_NODE', 'CUSTOM_A'])
    assert.equal((await house.ask('GET', '/traits?name=CUSTOM_A')).status, 400)
    const host = await house.host(41)
    const { generation } = await house.client.provider(host)
    const put = (traits: string[], g = generation) =>
      house.ask('PUT', `/resource_providers/${host}/traits`, { body: { resource_provider_generation: g, traits } })
    assert.equal((await put(['CUSTOM_NOPE'])).status, 400)
    assert.deepEqual((await put(['CUSTOM_A', 'COMPUTE_NODE'])).body, {
      traits: ['COMPUTE_NODE', 'CUSTOM_A'],
      resource_provider_generation: generation + 1,
    })
    assert.deepEqual(fault(await put([])), [409, 'placement.concurrent_update'])
    assert.deepEqual((await house.ask('GET', '/traits?name=startswith:CUSTOM_A&associated=true')).body.traits, ['CUSTOM_A'])
    assert.equal((await house.ask('DELETE', '/traits/CUSTOM_A')).status, 409)
    assert.equal((await house.ask('DELETE', `/resource_providers/${host}/traits`)).status, 204)
    assert.equal((await house.ask('DELETE', '/traits/CUSTOM_A')).status, 204)
    assert.equal((await house.ask('DELETE', '/traits/CUSTOM_A')).status, 404)
  })

  test('aggregates, with and without a generation', async () => {
    const host = await house.host(42)
    const at = `/resource_providers/${host}/aggregates`
    assert.deepEqual((await house.ask('PUT', at, { version: '1.1', body: [uuid(7)] })).body, { aggregates: [uuid(7)] })
    const { generation } = await house.client.provider(host)
    const put = (g: number) => house.ask('PUT', at, { body: { resource_provider_generation: g, aggregates: [uuid(8)] } })
    assert.deepEqual(fault(await put(generation - 1)), [409, 'placement.concurrent_update'])
    assert.deepEqual((await put(generation)).body, { aggregates: [uuid(8)], resource_provider_generation: generation + 1 })
    assert.deepEqual((await house.ask('GET', at)).body.aggregates, [uuid(8)])
  })

  test('resource classes', async () => {
    assert.equal((await house.ask('POST', '/resource_classes', { body: { name: 'CUSTOM_C' } })).status, 201)
    assert.equal((await house.ask('POST', '/resource_classes', { body: { name: 'CUSTOM_C' } })).status, 409)
    assert.equal((await house.ask('POST', '/resource_classes', { body: { name: 'VCPU' } })).status, 400)
    assert.equal((await house.ask('PUT', '/resource_classes/CUSTOM_C')).status, 204)
    assert.equal((await house.ask('PUT', '/resource_classes/CUSTOM_D')).status, 201)
    assert.equal(
      (await house.ask('PUT', '/resource_classes/CUSTOM_D', { version: '1.2', body: { name: 'CUSTOM_E' } })).body.name,
      'CUSTOM_E',
    )
    assert.equal((await house.ask('GET', '/resource_classes/CUSTOM_D')).status, 404)
    assert.ok((await house.ask('GET', '/resource_classes')).body.resource_classes.some((one: any) => one.name === 'CUSTOM_E'))
    const host = await house.host(43)
    await house.client.setInventories(host, { CUSTOM_C: { total: 1 } })
    assert.equal((await house.ask('DELETE', '/resource_classes/CUSTOM_C')).status, 409)
    assert.equal((await house.ask('DELETE', '/resource_classes/CUSTOM_E')).status, 204)
    assert.equal((await house.ask('DELETE', '/resource_classes/CUSTOM_E')).status, 404)
    assert.equal((await house.ask('DELETE', '/resource_classes/VCPU')).status, 400)
  })
})
