import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DEMO, OTHER } from '../../kernel/http/testing.ts'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

let house: VolumeHouse
before(async () => {
  house = await volumeHouse()
})
after(() => house.close())
const ask = (method: string, path: string, body?: object, as = 'admin') => house.request(method, path, { as, body })

test('quotas: defaults, own limits, usage, the class, limits', async () => {
  await house.volume({ size: 2 })
  const defaults = (await ask('GET', `/os-quota-sets/${DEMO}/defaults`)).body.quota_set
  assert.deepEqual(
    [defaults.volumes, defaults.snapshots, defaults.gigabytes, defaults.per_volume_gigabytes, defaults.backups, defaults.groups],
    [10, 10, 1000, -1, 10, 10],
  )
  assert.equal(defaults.volumes___DEFAULT__, -1)
  assert.equal((await ask('PUT', `/os-quota-sets/${DEMO}`, { quota_set: { volumes: '1', tenant_id: DEMO } })).body.quota_set.volumes, 1)
  const used = (await house.request('GET', `/os-quota-sets/${DEMO}`, { as: 'member', query: { usage: 'True' } })).body.quota_set
  assert.deepEqual([used.volumes.limit, used.volumes.in_use, used.gigabytes.in_use, used.gigabytes___DEFAULT__.in_use], [1, 1, 2, 2])
  const over = await ask('POST', '/volumes', { volume: { size: 1 } }, 'member')
  assert.equal(over.status, 413)
  assert.match(over.body.overLimit.message, /Maximum number of volumes allowed \(1\) exceeded/)
  assert.equal((await ask('PUT', `/os-quota-sets/${DEMO}`, { quota_set: { volumes: 5 } }, 'member')).status, 403)
  assert.equal((await ask('GET', `/os-quota-sets/${OTHER}`, undefined, 'member')).status, 403)
  assert.equal((await ask('PUT', `/os-quota-sets/${DEMO}`, { quota_set: { volumes: 'x' } })).status, 400)
  assert.equal((await ask('PUT', `/os-quota-sets/${DEMO}`, { quota_set: { apples: 1 } })).status, 400)
  const { absolute } = (await ask('GET', '/limits', undefined, 'member')).body.limits
  assert.deepEqual([absolute.maxTotalVolumes, absolute.totalVolumesUsed, absolute.totalGigabytesUsed], [1, 1, 2])
  assert.equal((await ask('DELETE', `/os-quota-sets/${DEMO}`)).status, 200)
  assert.equal((await ask('PUT', '/os-quota-class-sets/default', { quota_class_set: { snapshots: 7 } })).body.quota_class_set.snapshots, 7)
  assert.equal((await ask('GET', '/os-quota-class-sets/default')).body.quota_class_set.snapshots, 7)
})

test('hosts, and what lies on them', async () => {
  const volume = await house.volume({ size: 3 })
  const host = (await house.show(volume.id))['os-vol-host-attr:host'].split('#')[0]
  const { hosts } = (await ask('GET', '/os-hosts')).body
  assert.deepEqual([hosts[0].host_name, hosts[0]['service-state'], hosts[0]['service-status']], [host, 'enabled', 'available'])
  const [total, ...projects] = (await ask('GET', `/os-hosts/${host}`)).body.host.map((one: any) => one.resource)
  assert.deepEqual([total.project, projects[0].project], ['(total)', DEMO])
  assert.ok(Number(total.total_volume_gb) >= 3 && Number(total.volume_count) >= 1)
  assert.equal((await ask('GET', '/os-hosts/none')).status, 404)
  assert.equal((await ask('GET', '/os-hosts', undefined, 'member')).status, 403)
  await house.request('DELETE', `/volumes/${volume.id}`)
})

test('types: public and private, extra specs, those in use stay', async () => {
  assert.equal((await ask('GET', '/types/default', undefined, 'member')).body.volume_type.name, '__DEFAULT__')
  const made = await ask('POST', '/types', {
    volume_type: { name: 'fast', extra_specs: { volume_backend_name: 'ssd' }, 'os-volume-type-access:is_public': false },
  })
  const { id } = made.body.volume_type
  assert.equal((await ask('POST', '/types', { volume_type: { name: 'fast' } })).status, 409)
  assert.equal((await ask('POST', '/types', { volume_type: { name: 'x' } }, 'member')).status, 403)
  assert.equal((await ask('GET', `/types/${id}`, undefined, 'member')).status, 404)
  assert.deepEqual(
    (await ask('GET', '/types', undefined, 'member')).body.volume_types.map((one: any) => one.name),
    ['__DEFAULT__'],
  )
  assert.equal((await ask('POST', `/types/${id}/action`, { addProjectAccess: { project: DEMO } })).status, 202)
  assert.equal((await ask('POST', `/types/${id}/action`, { addProjectAccess: { project: DEMO } })).status, 409)
  assert.equal((await ask('GET', `/types/${id}/os-volume-type-access`)).body.volume_type_access[0].project_id, DEMO)
  assert.equal((await ask('GET', `/types/${id}`, undefined, 'member')).status, 200)
  const elsewhere = await house.volume({ volume_type: 'fast' })
  assert.equal(elsewhere.status, 'error')
  assert.equal((await ask('PUT', `/types/${id}/extra_specs/volume_backend_name`, { volume_backend_name: 'lvm' })).status, 200)
  assert.equal((await house.volume({ volume_type: 'fast' })).status, 'available')
  assert.equal((await ask('POST', `/types/${id}/extra_specs`, { extra_specs: { 'note:a': 'b' } })).status, 200)
  assert.deepEqual((await ask('GET', `/types/${id}/extra_specs`)).body.extra_specs, { 'note:a': 'b', volume_backend_name: 'lvm' })
  assert.equal((await ask('DELETE', `/types/${id}/extra_specs/note:a`)).status, 202)
  assert.equal((await ask('GET', `/types/${id}/extra_specs/note:a`)).status, 404)
  assert.equal(
    (await ask('PUT', `/types/${id}`, { volume_type: { description: 'quick', is_public: true } })).body.volume_type.is_public,
    true,
  )
  assert.equal((await ask('DELETE', `/types/${id}`)).status, 400)
  const idle = (await ask('POST', '/types', { volume_type: { name: 'idle' } })).body.volume_type
  assert.equal((await ask('DELETE', `/types/${idle.id}`)).status, 202)
  const standard = (await ask('GET', '/types/default')).body.volume_type
  assert.equal((await ask('DELETE', `/types/${standard.id}`)).status, 400)
})

test('services, zones, pools, extensions', async () => {
  assert.deepEqual((await ask('GET', '/os-availability-zone', undefined, 'member')).body.availabilityZoneInfo, [
    { zoneName: 'nova', zoneState: { available: true } },
  ])
  assert.deepEqual((await ask('GET', '/scheduler-stats/get_pools')).body.pools, [{ name: 'host@lvm#group' }])
  const [pool] = (await house.request('GET', '/scheduler-stats/get_pools', { query: { detail: 'True' } })).body.pools
  assert.deepEqual([pool.capabilities.total_capacity_gb, pool.capabilities.storage_protocol], [100, 'iSCSI'])
  assert.equal((await ask('GET', '/scheduler-stats/get_pools', undefined, 'member')).status, 403)
  assert.equal((await ask('PUT', '/os-services/disable-log-reason', { host: 'host@lvm', disabled_reason: 'a new disk' })).status, 200)
  const volume = await house.volume()
  assert.equal(volume.status, 'error')
  assert.match((await ask('GET', '/messages')).body.messages[0].user_message, /is disabled: a new disk/)
  const services = (await house.request('GET', '/os-services', { query: { binary: 'cinder-volume' } })).body.services
  assert.deepEqual([services[0].host, services[0].status, services[0].disabled_reason], ['host@lvm', 'disabled', 'a new disk'])
  assert.equal((await ask('PUT', '/os-services/enable', { host: 'host@lvm', binary: 'cinder-volume' })).status, 200)
  assert.equal((await ask('PUT', '/os-services/enable', { host: 'nobody@lvm' })).status, 404)
  assert.equal((await ask('PUT', '/os-services/disable', { host: 'host@lvm', binary: 'cinder-none' })).status, 404)
  assert.equal((await ask('PUT', '/os-services/disable-log-reason', { host: 'host@lvm', binary: 'cinder-none' })).status, 400)
  assert.ok((await ask('GET', '/extensions', undefined, 'member')).body.extensions.length > 5)
})

test('nothing new comes to a frozen back end until it is thawed', async () => {
  const put = async (verb: string, host: string) => (await house.request('PUT', `/os-services/${verb}`, { body: { host } })).status
  assert.deepEqual([await put('freeze', 'nobody'), await put('thaw', 'host@lvm')], [400, 400])
  assert.deepEqual([await put('freeze', 'host@lvm'), await put('freeze', 'host@lvm')], [202, 400])
  assert.equal((await house.volume()).status, 'error')
  assert.equal(await put('thaw', 'host@lvm'), 202)
  assert.equal((await house.volume()).status, 'available')
})
