import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { DEMO, OTHER, refusalTests } from '../../kernel/http/testing.ts'
import { type ImageHouse, imageHouse } from '../testing.ts'

let house: ImageHouse
before(async () => {
  house = await imageHouse()
})
after(() => house.close())

refusalTests(async () => house.service.api)

describe('image records', () => {
  test('a new image is queued, shared, owned by its project, with defaults and properties', async () => {
    const { status, body, headers } = await house.request('POST', '/image/v2/images', {
      as: 'member',
      body: { name: 'cirros', disk_format: 'qcow2', container_format: 'bare', tags: ['b', 'a', 'a'], os_distro: 'cirros', min_ram: 64 },
    })
    assert.equal(status, 201)
    assert.equal(headers.location, `http://localhost:80/image/v2/images/${body.id}`)
    assert.equal(headers['openstack-image-import-methods'], 'glance-direct,web-download')
    const { id, created_at, updated_at, ...rest } = body
    assert.match(id, /^[0-9a-f-]{36}$/)
    assert.match(created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    assert.equal(updated_at, created_at)
    assert.deepEqual(rest, {
      name: 'cirros',
      os_distro: 'cirros',
      owner: DEMO,
      status: 'queued',
      visibility: 'shared',
      protected: false,
      os_hidden: false,
      disk_format: 'qcow2',
      container_format: 'bare',
      min_ram: 64,
      min_disk: 0,
      size: null,
      virtual_size: null,
      checksum: null,
      os_hash_algo: null,
      os_hash_value: null,
      tags: ['a', 'b'],
      self: `/v2/images/${id}`,
      file: `/v2/images/${id}/file`,
      schema: '/v2/schemas/image',
    })
    assert.deepEqual((await house.request('GET', `/image/v2/images/${id}`, { as: 'reader' })).body, body)
  })

  test('an id can be chosen once; what clients may not set is refused', async () => {
    const id = '5f2c8f10-0000-4000-8000-000000000001'
    assert.equal((await house.request('POST', '/image/v2/images', { body: { id } })).status, 201)
    const again = await house.request('POST', '/image/v2/images', { body: { id } })
    assert.equal(again.status, 409)
    assert.deepEqual(again.body, { error: { code: 409, title: 'Conflict', message: `Image ID ${id} already exists!` } })
    for (const [body, status] of [
      [{ id: 'not-a-uuid' }, 400],
      [{ status: 'active' }, 403],
      [{ os_glance_import_task: 'x' }, 403],
      [{ locations: 'x' }, 403],
      [{ disk_format: 'floppy' }, 400],
      [{ min_ram: -1 }, 400],
      [{ min_ram: 'much' }, 400],
      [{ name: 'n'.repeat(256) }, 400],
      [{ os_distro: 5 }, 400],
      [{ tags: Array.from({ length: 129 }, (_, i) => `t${i}`) }, 413],
      [Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`p${i}`, 'x'])), 413],
    ] as const)
      assert.equal((await house.request('POST', '/image/v2/images', { body })).status, status, JSON.stringify(body).slice(0, 80))
    assert.equal(
      (await house.request('POST', '/image/v2/images', { text: '{"name":', headers: { 'content-type': 'application/json' } })).status,
      400,
    )
  })

  test('only administrators make images public or give them to others', async () => {
    assert.equal((await house.request('POST', '/image/v2/images', { as: 'member', body: { visibility: 'public' } })).status, 403)
    assert.equal((await house.request('POST', '/image/v2/images', { as: 'member', body: { owner: OTHER } })).status, 403)
    assert.equal((await house.request('POST', '/image/v2/images', { as: 'reader', body: {} })).status, 403)
    const given = await house.request('POST', '/image/v2/images', { body: { visibility: 'public', owner: OTHER } })
    assert.equal(given.body.owner, OTHER)
    const id = await house.image({}, 'member')
    assert.equal((await house.patch(id, [{ op: 'replace', path: '/visibility', value: 'public' }], 'member')).status, 403)
    assert.equal((await house.patch(id, [{ op: 'replace', path: '/owner', value: OTHER }], 'member')).status, 403)
    assert.equal((await house.patch(id, [{ op: 'replace', path: '/visibility', value: 'community' }], 'member')).status, 200)
  })

  test('others know of public and community images only', async () => {
    const mine = await house.image({ visibility: 'private' })
    const open = await house.image({ visibility: 'public' })
    const community = await house.image({ visibility: 'community' })
    assert.equal((await house.request('GET', `/image/v2/images/${mine}`, { as: 'other' })).status, 404)
    assert.equal((await house.request('DELETE', `/image/v2/images/${mine}`, { as: 'other' })).status, 404)
    assert.equal((await house.request('GET', `/image/v2/images/${open}`, { as: 'other' })).status, 200)
    assert.equal((await house.request('DELETE', `/image/v2/images/${open}`, { as: 'other' })).status, 403)
    assert.equal((await house.request('GET', `/image/v2/images/${community}`, { as: 'other' })).status, 200)
    const ids = async (query: Record<string, string> = {}) =>
      (await house.request('GET', '/image/v2/images', { as: 'other', query: { limit: '1000', ...query } })).body.images.map(
        (one: any) => one.id,
      )
    const plain = await ids()
    assert.ok(plain.includes(open) && !plain.includes(mine) && !plain.includes(community))
    assert.ok((await ids({ visibility: 'community' })).includes(community))
    assert.ok((await ids({ visibility: 'all' })).includes(community))
  })

  test('a patch adds, replaces and removes; what may not change does not', async () => {
    const id = await house.image({ os_distro: 'debian', tags: ['old'] })
    const changed = await house.patch(id, [
      { op: 'replace', path: '/name', value: 'renamed' },
      { op: 'add', path: '/hw_disk_bus', value: 'virtio' },
      { op: 'add', path: '/a~1b', value: 'slash' },
      { op: 'remove', path: '/os_distro' },
      { op: 'replace', path: '/tags', value: ['new'] },
      { op: 'replace', path: '/protected', value: true },
    ])
    assert.equal(changed.status, 200)
    const { name, hw_disk_bus, os_distro, tags } = changed.body
    assert.deepEqual(
      { name, hw_disk_bus, os_distro, tags, slash: changed.body['a/b'] },
      { name: 'renamed', hw_disk_bus: 'virtio', os_distro: undefined, tags: ['new'], slash: 'slash' },
    )
    for (const [change, status] of [
      [{ op: 'replace', path: '/status', value: 'active' }, 403],
      [{ op: 'replace', path: '/id', value: 'x' }, 403],
      [{ op: 'remove', path: '/name' }, 403],
      [{ op: 'remove', path: '/nothing' }, 409],
      [{ op: 'replace', path: '/nothing', value: 'x' }, 409],
      [{ op: 'add', path: '/locations/-', value: {} }, 400],
      [{ op: 'add', path: 'name', value: 'x' }, 400],
      [{ op: 'add', path: '/name', value: 7 }, 400],
      [{ op: 'add', path: '/name' }, 400],
      [{ op: 'move', path: '/name' }, 400],
      [{ op: 'add', path: '/os_glance_x', value: 'x' }, 403],
    ] as const)
      assert.equal((await house.patch(id, [change])).status, status, JSON.stringify(change))
    const wrongType = await house.request('PATCH', `/image/v2/images/${id}`, { body: [] })
    assert.equal(wrongType.status, 415)
    const older = (body: object[]) =>
      house.request('PATCH', `/image/v2/images/${id}`, {
        body,
        headers: { 'content-type': 'application/openstack-images-v2.0-json-patch' },
      })
    const { body } = await older([{ replace: '/name', value: 'older' }, { add: '/x', value: 'y' }, { remove: '/hw_disk_bus' }])
    assert.deepEqual([body.name, body.x, body.hw_disk_bus], ['older', 'y', undefined])
    for (const wrong of [{ op: 'replace', path: '/name', value: 'x' }, { replace: '/name', remove: '/x' }, { path: '/name' }])
      assert.equal((await older([wrong])).status, 400, JSON.stringify(wrong))
    assert.equal((await house.patch(id, [{ replace: '/name', value: 'x' } as never])).status, 400)
    for (const method of ['GET', 'DELETE'])
      assert.equal((await house.request(method, '/image/v2/images/')).status, 404, 'the id is missing')
    const protectedStill = await house.request('DELETE', `/image/v2/images/${id}`)
    assert.equal(protectedStill.status, 403)
    assert.match(protectedStill.body.error.message, /protected/)
    await house.patch(id, [{ op: 'replace', path: '/protected', value: false }])
    assert.equal((await house.request('DELETE', `/image/v2/images/${id}`)).status, 204)
    assert.equal((await house.request('DELETE', `/image/v2/images/${id}`)).status, 404)
  })

  test('formats are fixed once there is data', async () => {
    const id = await house.active()
    assert.equal((await house.patch(id, [{ op: 'replace', path: '/disk_format', value: 'raw' }])).status, 403)
    assert.equal((await house.patch(id, [{ op: 'replace', path: '/disk_format', value: 'qcow2' }])).status, 200)
  })

  test('tags come and go', async () => {
    const id = await house.image()
    assert.equal((await house.request('PUT', `/image/v2/images/${id}/tags/gold`)).status, 204)
    assert.equal((await house.request('PUT', `/image/v2/images/${id}/tags/gold`)).status, 204)
    assert.deepEqual((await house.request('GET', `/image/v2/images/${id}`)).body.tags, ['gold'])
    assert.equal((await house.request('DELETE', `/image/v2/images/${id}/tags/gold`)).status, 204)
    assert.equal((await house.request('DELETE', `/image/v2/images/${id}/tags/gold`)).status, 404)
  })

  test('discovery: versions, schemas, ways of importing, stores', async () => {
    const { status, body } = await house.request('GET', '/image', { as: null })
    assert.equal(status, 300)
    assert.deepEqual(body.versions[0], { id: 'v2.16', status: 'CURRENT', links: [{ rel: 'self', href: 'http://localhost/image/v2/' }] })
    assert.equal(body.versions.at(-1).id, 'v2.0')
    for (const name of ['image', 'images', 'member', 'members'])
      assert.equal((await house.request('GET', `/image/v2/schemas/${name}`)).body.name, name)
    assert.equal((await house.request('GET', '/image/v2/schemas/constructor')).status, 404)
    assert.deepEqual((await house.request('GET', '/image/v2/info/import')).body['import-methods'].value, ['glance-direct', 'web-download'])
    assert.equal((await house.request('GET', '/image/v2/info/stores')).body.stores[0].id, 'file')
  })
})
