import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { refusalTests } from '../../kernel/http/testing.ts'
import { House } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open()
})
after(() => house.stop())

refusalTests(async () => house.yard.cloud.control.compute.api)

describe('who may what', () => {
  test('a stranger does not learn of a server', async () => {
    const one = await house.server()
    for (const path of ['', '/os-instance-actions', '/trace', '/metadata', '/tags', '/ips', '/os-interface', '/os-volume_attachments'])
      assert.equal((await house.ask('GET', `/servers/${one.id}${path}`, { as: 'stranger', at: '2.93' })).status, 404, path)
    assert.equal((await house.ask('DELETE', `/servers/${one.id}`, { as: 'stranger' })).status, 404)
    assert.equal((await house.ask('POST', `/servers/${one.id}/action`, { as: 'stranger', body: { 'os-stop': null } })).status, 404)
    assert.deepEqual((await house.ask('GET', '/servers', { as: 'stranger' })).body.servers, [])
    assert.deepEqual((await house.ask('GET', '/servers?all_tenants=1', { as: 'stranger' })).body.servers, [])
    assert.equal((await house.ask('GET', `/servers?marker=${one.id}`, { as: 'stranger' })).status, 400)
    assert.equal((await house.ask('GET', `/servers/${one.id}`, { as: 'admin' })).status, 200)
    await house.remove(one.id)
  })

  test('a reader reads and changes nothing', async () => {
    const one = await house.server()
    const reads = async (path: string) => (await house.ask('GET', path, { as: 'reader', at: '2.93' })).status
    assert.equal(await reads(`/servers/${one.id}`), 200)
    assert.equal(await reads(`/servers/${one.id}/trace`), 200)
    assert.equal(await reads('/servers/detail'), 200)
    const changes: [method: string, path: string, body?: object][] = [
      ['POST', '/servers', house.wish()],
      ['PUT', `/servers/${one.id}`, { server: { name: 'two' } }],
      ['DELETE', `/servers/${one.id}`],
      ['POST', `/servers/${one.id}/action`, { 'os-stop': null }],
      ['PUT', `/servers/${one.id}/metadata`, { metadata: {} }],
      ['PUT', `/servers/${one.id}/tags/a`, {}],
      ['POST', '/os-server-groups', { server_group: { name: 'g', policies: ['affinity'] } }],
    ]
    for (const [method, path, body] of changes) {
      const { status, message } = await house.ask(method, path, { as: 'reader', body, at: '2.26' })
      assert.equal(status, 403, `${method} ${path}`)
      assert.match(message, /^Policy doesn't allow os_compute_api:/)
    }
    await house.remove(one.id)
  })

  test("operators' routes are closed to members", async () => {
    const { routes, policy } = house.yard.cloud.control.compute.api.find((api) => api.prefix === '/compute/v2.1')!
    assert.ok(policy)
    const operators = ['/os-hypervisors', '/os-services', '/os-aggregates', '/os-availability-zone/detail', '/os-simple-tenant-usage']
    for (const path of operators) {
      assert.ok(routes.some((route) => route.path === path))
      assert.equal((await house.ask('GET', path)).status, 403, path)
      assert.equal((await house.ask('GET', path, { as: 'admin' })).status, 200, path)
    }
    assert.equal((await house.ask('POST', '/flavors', { body: { flavor: { name: 'mine', ram: 1, vcpus: 1, disk: 1 } } })).status, 403)
    assert.equal((await house.ask('GET', `/os-quota-sets/${house.beta}`)).status, 403)
    assert.equal((await house.ask('GET', `/limits?tenant_id=${house.beta}`)).status, 403)
    assert.equal((await house.ask('PUT', `/os-quota-sets/${house.alpha}`, { body: { quota_set: { cores: 1 } } })).status, 403)
  })
})
