import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Saga } from '../../kernel/saga/saga.ts'
import { arrivalTests, sagaTests } from '../../kernel/saga/testing.ts'
import { specOfImage } from '../app/image-spec.ts'
import { requestOf } from '../app/instance-spec.ts'
import { findInstance } from '../db/instances.ts'
import { offloadServer, shelveServer } from './shelve-server.ts'
import { type Case, eventually, worldOf, Yard } from './testing.ts'
import { unshelveInPlace, unshelveServer } from './unshelve-server.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open() // of one host: what fails there fails
})
after(() => yard.cloud.stop())

const row = async (id: string) => (await findInstance(yard.context.database.db, id))!
const act = (id: string, body: object, version = '2.93') =>
  yard.cloud.api('POST', `/compute/v2.1/servers/${id}/action`, body, { 'openstack-api-version': `compute ${version}` })
const show = async (id: string) => (await yard.cloud.api('GET', `/compute/v2.1/servers/${id}`)).server
const attach = (id: string, volumeId: string, version = '2.93') =>
  yard.cloud.api(
    'POST',
    `/compute/v2.1/servers/${id}/os-volume_attachments`,
    { volumeAttachment: { volumeId } },
    { 'openstack-api-version': `compute ${version}` },
  )
const portsOf = async (id: string) =>
  (await yard.context.networks.ports({ device_id: id })).map((port: any) => [port.id, port.fixed_ips, port['binding:host_id']])
const allocationsOf = async (id: string) => Object.keys((await yard.context.placement.allocations(id)).allocations)

async function picture(at: Yard) {
  const made = await at.cloud.api('POST', '/image/v2/images', { name: 'picture', disk_format: 'qcow2', container_format: 'bare' })
  return { imageId: made.id as string }
}

/** As it is between the two sagas of shelving. */
async function stillOnItsHost(at: Yard, id: string) {
  await shelvedAway(at, id)
  await act(id, { unshelve: null })
  await at.settled()
  await act(id, { 'os-stop': null })
  await at.settled()
  await at.context.database.db.updateTable('instances').set({ vm_state: 'shelved' }).where('id', '=', id).execute()
  return {}
}

async function shelvedAway(at: Yard, id: string) {
  const volumeId = await at.volume()
  await at.cloud.api('POST', `/compute/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId } })
  await at.settled()
  await act(id, { shelve: null })
  await at.settled()
  const { shelvedImageId } = requestOf(await row(id))
  return { image: specOfImage(await at.context.images.image(shelvedImageId!)), zone: null, target: null }
}

const whole: [saga: Saga<any>, one: Omit<Case, 'kind'>][] = [
  [shelveServer, { status: 'SHELVED', task: 'shelving_offloading', failed: ['ACTIVE', 'SHUTOFF'], input: picture }],
  [unshelveServer, { status: 'ACTIVE', failed: ['SHELVED_OFFLOADED'], input: shelvedAway }],
  [unshelveInPlace, { status: 'ACTIVE', failed: ['SHELVED'], input: stillOnItsHost }],
]
for (const [saga, one] of whole) sagaTests({ saga, service: 'compute', world: worldOf(() => yard, { kind: saga.kind, ...one }) })

// it only goes forward: what it leaves half done is done when it is begun again
arrivalTests({
  saga: offloadServer,
  service: 'compute',
  world: worldOf(() => yard, { kind: offloadServer.kind, status: 'SHELVED_OFFLOADED', input: stillOnItsHost }),
})

describe('with two hosts', () => {
  let former: Yard
  before(async () => {
    former = yard
    yard = await Yard.open({ hosts: 2 })
  })
  after(async () => {
    await yard.cloud.stop()
    yard = former
  })

  test('a shelved server is on no host and keeps its addresses and volumes; it comes back from what was kept of its disk', async () => {
    const id = await yard.server()
    const [, volumeId] = [await act(id, { 'os-stop': null }), await yard.volume()]
    await yard.settled()
    await yard.cloud.api('POST', `/compute/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId } })
    await yard.settled()
    const [[port, addresses]] = (await portsOf(id)) as [[string, unknown]]
    await act(id, { shelve: null })
    await assert.rejects(act(id, { unshelve: null }), /409/)
    await yard.settled()

    assert.equal((await show(id)).status, 'SHELVED_OFFLOADED')
    assert.deepEqual([(await row(id)).host, await allocationsOf(id)], [null, []])
    assert.deepEqual(await portsOf(id), [[port, addresses, '']])
    const volume = async (of = volumeId) => (await yard.cloud.api('GET', `/volume/v3/volumes/${of}`)).volume
    assert.equal((await volume()).status, 'reserved')
    const { images } = await yard.cloud.api('GET', '/image/v2/images?name=one-shelved')
    assert.equal(images.length, 1)
    await assert.rejects(act(id, { shelve: null }), /409.*shelved_offloaded/)
    await assert.rejects(act(id, { shelveOffload: null }), /409/)
    await assert.rejects(act(id, { unshelve: { availability_zone: 'nova' } }, '2.76'), /400.*'availability_zone' was unexpected/)
    await assert.rejects(act(id, { unshelve: { host: 'node1' } }, '2.90'), /400.*'host' was unexpected/)
    await assert.rejects(act(id, { unshelve: { host: 'nowhere' } }), /400.*nowhere could not be found/)

    const more = await yard.volume()
    await assert.rejects(attach(id, more, '2.19'), /409.*shelved_offloaded/)
    await attach(id, more)
    await yard.settled()
    assert.equal((await volume(more)).status, 'in-use')

    await act(id, { unshelve: { host: 'node2' } })
    await yard.settled()
    assert.deepEqual([(await show(id)).status, (await row(id)).host, (await row(id)).image_id], ['ACTIVE', 'node2', yard.imageId])
    assert.deepEqual(await portsOf(id), [[port, addresses, 'node2']])
    assert.equal((await allocationsOf(id)).length, 1)
    for (const one of [volumeId, more]) assert.equal((await volume(one)).status, 'in-use')
    assert.deepEqual((await yard.cloud.api('GET', '/image/v2/images?name=one-shelved')).images, [])
    assert.deepEqual(await yard.leaks(), [])

    await act(id, { migrate: null })
    await yard.settled()
    assert.equal((await show(id)).status, 'VERIFY_RESIZE', 'its image is gone: the disk is carried whole')
    await act(id, { confirmResize: null })
    await yard.settled()
    await yard.remove(id)
  })

  test('with a shelved server goes what was kept of it', async () => {
    const id = await yard.server()
    await act(id, { shelve: null })
    await yard.settled()
    const left = async () => (await yard.cloud.api('GET', `/image/v2/images?instance_uuid=${id}`)).images
    assert.equal((await left()).length, 1)
    await yard.cloud.api('DELETE', `/compute/v2.1/servers/${id}`)
    await yard.settled()
    assert.deepEqual(await eventually(left, (images) => images.length === 0), [])
    assert.deepEqual(await yard.leaks(), [])
  })
})
