import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { DEMO, OTHER, refusalTests } from '../../kernel/http/testing.ts'
import { onStep, type StepRecord } from '../../kernel/trace/trace.ts'
import { GiB } from '../../kernel/units/units.ts'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

let house: VolumeHouse
const steps: StepRecord[] = []
const unhear = onStep((step) => void steps.push(step))
before(async () => {
  house = await volumeHouse()
  await house.request('PUT', `/os-quota-sets/${DEMO}`, { body: { quota_set: { volumes: 1000, snapshots: 1000 } } })
})
after(async () => {
  unhear()
  await house.close()
})
const list = async (query: Record<string, string>, as = 'member') => (await house.request('GET', '/volumes/detail', { as, query })).body

refusalTests(async () => (await volumeHouse()).service.api)

test('a volume is accepted, placed, made and available; its trace tells', async () => {
  steps.length = 0
  const answer = await house.request('POST', '/volumes', {
    as: 'member',
    body: { volume: { size: 1, name: 'data', metadata: { a: 'b' } } },
  })
  assert.equal(answer.status, 202)
  assert.equal(answer.body.volume.status, 'creating')
  await house.idle()
  const { id } = answer.body.volume
  const volume = await house.show(id)
  assert.deepEqual(
    [
      volume.status,
      volume.size,
      volume.bootable,
      volume.volume_type,
      volume.availability_zone,
      volume['os-vol-host-attr:host'],
      volume.metadata,
    ],
    ['available', 1, 'false', '__DEFAULT__', 'nova', 'host@lvm#group', { a: 'b' }],
  )
  assert.deepEqual(house.storage.volumes.get(id), { sizeGiB: 1, from: null })
  const own = steps.filter((step) => step.subject === `volume:${id}` && step.step > 0)
  assert.deepEqual(
    own.map((step) => [step.step, step.name, step.evidence.text]),
    [
      [44, 'create-volume', '1 GiB asked, volumes 0+1 of 1000, gigabytes 0+1 of 1000'],
      [45, 'schedule-volume', '1 of 1 back ends fit; host@lvm#group: 100 GiB free'],
      [47, 'logical-volume', `/dev/group/volume-${id}`],
    ],
  )
  assert.equal((await house.request('DELETE', `/volumes/${id}`, { as: 'member' })).status, 202)
  await house.idle()
  assert.equal((await house.request('GET', `/volumes/${id}`)).status, 404)
  assert.equal(house.storage.volumes.size, 0)
})

test('others neither see nor touch it; readers only look', async () => {
  const { id } = await house.volume()
  for (const method of ['GET', 'DELETE']) {
    const { status, body } = await house.request(method, `/volumes/${id}`, { as: 'other' })
    assert.equal(status, 404)
    assert.equal(body.itemNotFound.code, 404)
  }
  assert.equal((await house.request('DELETE', `/volumes/${id}`, { as: 'reader' })).status, 403)
  const seen = await house.request('GET', `/volumes/${id}`, { as: 'reader' })
  assert.equal(seen.status, 200)
  assert.ok(!('os-vol-host-attr:host' in seen.body.volume))
  assert.deepEqual((await list({}, 'other')).volumes, [])
  assert.equal((await house.request('POST', '/volumes', { as: 'reader', body: { volume: { size: 1 } } })).status, 403)
})

test('bad input is 4xx and says why', async () => {
  const bad = async (volume: unknown, pattern: RegExp, status = 400) => {
    const answer = await house.request('POST', '/volumes', { as: 'member', body: { volume } })
    assert.equal(answer.status, status, JSON.stringify(answer.body))
    assert.match((Object.values(answer.body)[0] as any).message, pattern)
  }
  await bad({}, /size/)
  await bad({ size: 0 }, /size/)
  await bad({ size: 1.5 }, /size/)
  await bad({ size: 'much' }, /size/)
  await bad({ size: 1, name: 'x'.repeat(256) }, /name/)
  await bad({ size: 1, imageRef: randomUUID() }, /Invalid image identifier/)
  await bad({ size: 1, imageRef: randomUUID(), source_volid: randomUUID() }, /not from several/)
  await bad({ size: 1, snapshot_id: randomUUID() }, /Snapshot .* could not be found/, 404)
  await bad({ size: 1, source_volid: randomUUID() }, /Volume .* could not be found/, 404)
  await bad({ size: 1, volume_type: 'none' }, /type/, 404)
  await bad({ size: 1, availability_zone: 'moon' }, /Availability zone 'moon' is invalid/)
  await bad({ size: 1, metadata: { a: 'x'.repeat(256) } }, /metadata/)
  const large = house.images.add({ virtual_size: 3 * GiB })
  await bad({ size: 2, imageRef: large }, /needs 3GB/)
})

test('a volume of an image is bootable and remembers it; a copy of it, too', async () => {
  const imageRef = house.images.add({ hw_disk_bus: 'virtio', min_disk: 1 })
  const volume = await house.volume({ imageRef })
  assert.equal(volume.bootable, 'true')
  assert.equal(volume.volume_image_metadata.image_id, imageRef)
  assert.equal(volume.volume_image_metadata.hw_disk_bus, 'virtio')
  assert.equal(house.storage.volumes.get(volume.id)!.from, imageRef)
  const copy = await house.volume({ size: undefined, source_volid: volume.id })
  assert.deepEqual([copy.size, copy.bootable, copy.source_volid], [1, 'true', volume.id])
  assert.equal(house.storage.volumes.get(copy.id)!.from, volume.id)
})

test('lists: pages with links, filters, order, all projects, count', async () => {
  const made: string[] = []
  for (const name of ['page-a', 'page-b', 'page-c']) made.push((await house.volume({ name, metadata: { shelf: 'lists' } })).id)
  const metadata = "{'shelf': 'lists'}"
  const first = await list({ metadata, limit: '2', sort: 'name:asc', with_count: 'true' })
  assert.deepEqual(
    first.volumes.map((one: any) => one.name),
    ['page-a', 'page-b'],
  )
  assert.equal(first.count, 3)
  const next = new URL(first.volumes_links[0].href)
  const second = (await house.request('GET', `/volumes/detail${next.search}`, { as: 'member' })).body
  assert.deepEqual(
    second.volumes.map((one: any) => one.name),
    ['page-c'],
  )
  assert.ok(!('volumes_links' in second))
  assert.deepEqual(
    (await list({ metadata, sort_key: 'name', sort_dir: 'desc' })).volumes.map((one: any) => one.name),
    ['page-c', 'page-b', 'page-a'],
  )
  assert.equal((await list({ name: 'page-b' })).volumes[0].id, made[1])
  assert.equal((await list({ 'name~': 'age-b' })).volumes.length, 1)
  const some = (await list({})).volumes.slice(0, 2).map((one: any) => one.id)
  const named = (await house.request('GET', `/volumes?id=${some[0]}&id=${some[1]}`)).body.volumes
  assert.deepEqual(named.map((one: any) => one.id).sort(), some.sort())
  assert.equal((await list({ metadata, status: 'error' })).volumes.length, 0)
  assert.equal((await list({ metadata, offset: '2' })).volumes.length, 1)
  assert.equal((await list({ metadata, all_tenants: '1' }, 'other')).volumes.length, 0)
  assert.equal((await list({ metadata, all_tenants: '1', project_id: DEMO })).volumes.length, 3)
  assert.equal((await list({ all_tenants: '1', project_id: OTHER }, 'admin')).volumes.length, 0)
  assert.equal((await house.request('GET', '/volumes', { query: { limit: 'x' } })).status, 400)
  assert.deepEqual((await house.request('GET', '/volumes', { query: { limit: '0' } })).body, { volumes: [] })
  assert.equal((await house.request('GET', '/volumes', { query: { sort: 'colour' } })).status, 400)
  assert.equal((await house.request('GET', '/volumes', { query: { marker: 'none' } })).status, 404)
  assert.equal((await house.request('GET', '/volumes/summary', { as: 'member' })).status, 200)
})

test('also below the project id, and in an old version', async () => {
  const { id } = await house.volume()
  assert.equal((await house.request('GET', `/${DEMO}/volumes/${id}`)).status, 200)
  const old = await house.request('GET', `/volumes/${id}`, { headers: { 'openstack-api-version': 'volume 3.0' } })
  assert.ok(!('volume_type_id' in old.body.volume))
  assert.equal((await house.request('GET', '/attachments', { headers: { 'openstack-api-version': 'volume 3.26' } })).status, 404)
  assert.equal((await house.request('GET', '/volumes', { headers: { 'openstack-api-version': 'volume 3.71' } })).status, 406)
})

test('names, descriptions and metadata change', async () => {
  const { id } = await house.volume()
  const put = await house.request('PUT', `/volumes/${id}`, { as: 'member', body: { volume: { name: 'new', description: 'of it' } } })
  assert.deepEqual([put.body.volume.name, put.body.volume.description], ['new', 'of it'])
  const whose = 'os-vol-tenant-attr:tenant_id'
  const shown = (await house.request('GET', `/volumes/${id}`, { as: 'member' })).body.volume
  assert.deepEqual([whose in put.body.volume, whose in shown], [false, true], 'answers to changes do not say whose it is')
  const path = `/volumes/${id}/metadata`
  assert.deepEqual((await house.request('POST', path, { as: 'member', body: { metadata: { a: '1', b: '2' } } })).body.metadata, {
    a: '1',
    b: '2',
  })
  assert.deepEqual((await house.request('PUT', `${path}/a`, { as: 'member', body: { meta: { a: '3' } } })).body.meta, { a: '3' })
  assert.equal((await house.request('PUT', `${path}/a`, { as: 'member', body: { meta: { z: '3' } } })).status, 400)
  assert.deepEqual((await house.request('GET', `${path}/a`, { as: 'member' })).body.meta, { a: '3' })
  assert.equal((await house.request('DELETE', `${path}/b`, { as: 'member' })).status, 200)
  assert.equal((await house.request('DELETE', `${path}/b`, { as: 'member' })).status, 404)
  assert.deepEqual((await house.request('PUT', path, { as: 'member', body: { metadata: { c: '4' } } })).body.metadata, { c: '4' })
})

test('a service names the volume first; the same again is the same volume', async () => {
  const id = randomUUID()
  const ask = (as: string) => house.request('POST', '/volumes', { as, body: { volume: { id, size: 1, project_id: OTHER } } })
  assert.equal((await ask('service')).body.volume.id, id)
  assert.equal((await ask('service')).body.volume.id, id)
  await house.idle()
  assert.equal((await house.show(id))['os-vol-tenant-attr:tenant_id'], OTHER)
  const stranger = await ask('member')
  assert.notEqual(stranger.body.volume.id, id)
  await house.idle()
})

test('discovery is open', async () => {
  const { server } = house
  const at = async (url: string) => {
    const answer = await server.fastify.inject({ method: 'GET', url })
    return [answer.statusCode, JSON.parse(answer.payload).versions[0].version]
  }
  assert.deepEqual(await at('/volume'), [300, '3.70'])
  assert.deepEqual(await at('/volume/'), [300, '3.70'])
  assert.deepEqual(await at('/volume/v3'), [200, '3.70'])
})
