import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Fault } from '../../kernel/errors/errors.ts'
import { eventually } from '../sagas/testing.ts'
import { House } from '../testing.ts'

let house: House
let id: string
before(async () => {
  house = await House.open()
  id = (await house.server(fromImage())).id
})
after(() => house.stop())

const fromImage = () => ({
  imageRef: '',
  block_device_mapping_v2: [
    {
      source_type: 'image',
      destination_type: 'volume',
      uuid: house.yard.imageId,
      boot_index: 0,
      volume_size: 1,
      delete_on_termination: true,
    },
  ],
})
const act = (body: object, as: 'member' | 'stranger' = 'member') => house.ask('POST', `/servers/${id}/action`, { body, as, at: '2.45' })
const image = async (imageId: string) => (await house.request('GET', `/image/v2/images/${imageId}`)).body
/** What happens before a host hears such a message; answers how it comes to hear it. */
async function heldUp(name: string, meanwhile: () => Promise<void>): Promise<() => void> {
  const { bus } = house.yard.cloud
  const { call } = bus
  const heard = Promise.withResolvers<void>()
  bus.call = (async (topic, message, ...rest) => {
    if (message.name === name) await heard.promise
    return await call.call(bus, topic, message, ...rest)
  }) as typeof call
  await meanwhile().finally(() => (bus.call = call))
  return () => heard.resolve()
}
const volume = async (path: string) => (await house.request('GET', `/volume/v3/${path}`)).body

describe('an image of a server that boots from a volume', () => {
  let imageId: string
  let snapshot: string

  test('is a record without data that names snapshots of its volumes', async () => {
    const made = await act({ createImage: { name: 'picture', metadata: { why: 'test' } } })
    assert.equal(made.status, 202, made.message)
    imageId = made.body.image_id
    await house.rested(id)
    const one = await image(imageId)
    assert.deepEqual([one.status, one.size, one.image_type, one.why, one.bdm_v2], ['active', 0, 'snapshot', 'test', 'True'])
    const [device] = JSON.parse(one.block_device_mapping)
    assert.deepEqual(
      [device.source_type, device.destination_type, device.boot_index, device.volume_size, device.delete_on_termination],
      ['snapshot', 'volume', 0, 1, true],
    )
    snapshot = device.snapshot_id
    const taken = (await volume(`snapshots/${snapshot}`)).snapshot
    assert.deepEqual([taken.status, taken.name], ['available', 'snapshot for picture'])
  })

  test('is not written onto a volume: the server stays as it is', async () => {
    const { status, message } = await house.ask('POST', `/servers/${id}/action`, { body: { rebuild: { imageRef: imageId } }, at: '2.93' })
    assert.deepEqual([status, /has no data to write onto volume/.test(message)], [400, true])
    assert.equal((await house.rested(id)).status, 'ACTIVE')
  })

  test('brings up servers on volumes of their own, made from the snapshots', async () => {
    const made = await house.server({ imageRef: imageId })
    assert.deepEqual([made.status, made.image], ['ACTIVE', ''], made.fault?.message)
    const [{ id: volumeId }] = made['os-extended-volumes:volumes_attached']
    const root = (await volume(`volumes/${volumeId}`)).volume
    assert.deepEqual([root.snapshot_id, root.bootable, root.status], [snapshot, 'true', 'in-use'])
    await house.remove(made.id)
    assert.equal(
      await eventually(
        async () => (await house.request('GET', `/volume/v3/volumes/${volumeId}`)).status,
        (now) => now === 404,
      ),
      404,
    )
  })

  test('keeps its snapshots when the server goes: their volume stays, the server does not', async () => {
    const one = await house.server(fromImage())
    const [root] = (await house.ask('GET', `/servers/${one.id}/os-volume_attachments`)).body.volumeAttachments
    const wish = { snapshot: { volume_id: root.volumeId, force: true } }
    assert.equal((await house.request('POST', '/volume/v3/snapshots', { body: wish })).status, 202)
    await house.ask('DELETE', `/servers/${one.id}`)
    await house.yard.settled()
    assert.equal((await house.ask('GET', `/servers/${one.id}`)).status, 404)
    assert.equal((await volume(`volumes/${root.volumeId}`)).volume.status, 'available')
  })

  test('is refused over the quota of snapshots, and of what is no record nothing is made', async () => {
    const quota = (snapshots: number) =>
      house.yard.cloud.api('PUT', `/volume/v3/os-quota-sets/${house.alpha}`, { quota_set: { snapshots } })
    await quota(1)
    const refused = await act({ createImage: { name: 'more' } })
    assert.deepEqual([refused.status, refused.message], [403, 'Quota exceeded for resources: snapshots'])
    await quota(-1)
    assert.equal((await act({ createBackup: { name: 'x', backup_type: 'daily', rotation: 1 } })).status, 400)
    const broken = (
      await house.request('POST', '/image/v2/images', {
        body: { name: 'broken', disk_format: 'raw', container_format: 'bare', block_device_mapping: '{' },
      })
    ).body.id
    await house.request('PUT', `/image/v2/images/${broken}/file`, { text: '', headers: { 'content-type': 'application/octet-stream' } })
    const failed = await house.ask('POST', '/servers', { body: house.wish({ imageRef: broken }) })
    assert.match(failed.message, /Block Device Mapping is Invalid/)
  })

  test('is nothing to others: neither its snapshots nor images are theirs to make volumes of', async () => {
    const wish = (source: object) =>
      house.wish({ imageRef: '', block_device_mapping_v2: [{ destination_type: 'volume', boot_index: 0, ...source }] })
    for (const source of [
      { source_type: 'snapshot', uuid: snapshot, volume_size: 1 },
      { source_type: 'image', uuid: imageId, volume_size: 1 },
    ])
      assert.equal((await house.ask('POST', '/servers', { as: 'stranger', body: wish(source) })).status, 400)
  })
})

describe('a server that boots from a volume is rebuilt with another image', () => {
  const rebuild = async (imageRef: string, more = {}) => {
    const answer = await house.ask('POST', `/servers/${id}/action`, { body: { rebuild: { imageRef, ...more } }, at: '2.93' })
    return { answer, now: await house.rested(id) }
  }
  const root = async () => {
    const now = await house.rested(id)
    return (await volume(`volumes/${now['os-extended-volumes:volumes_attached'][0].id}`)).volume
  }
  const why = async (answer: { headers: object }) => {
    const path = `/servers/${id}/os-instance-actions/${(answer.headers as Record<string, string>)['x-openstack-request-id']}`
    return (await house.ask('GET', path)).body.instanceAction.message
  }

  test('of which its volume is a copy then', async () => {
    const imageId = await house.yard.image('another system')
    const before = await root()
    const { answer, now } = await rebuild(imageId, { name: 'anew' })
    assert.equal(answer.status, 202, answer.message)
    assert.deepEqual([now.status, now.name, now.fault], ['ACTIVE', 'anew', undefined])
    const after = await root()
    assert.deepEqual([after.id, after.status, after.size], [before.id, 'in-use', before.size])
    assert.deepEqual(
      after.attachments.map((one: any) => one.server_id),
      [id],
    )
    assert.equal(after.volume_image_metadata.image_id, imageId)
  })

  test('and is what it was when that image does not do; half written it is in error, until it is rebuilt again', async () => {
    const imageId = await house.yard.image('third system')
    const { bus } = house.yard.cloud
    const { call } = bus
    const failing = async (name: string, fault: Fault) => {
      bus.call = ((topic, message, ...rest) =>
        message.name === name ? Promise.reject(fault) : call.call(bus, topic, message, ...rest)) as typeof call
      const { answer, now } = await rebuild(imageId).finally(() => (bus.call = call))
      const { status, volume_image_metadata, attachments } = await root()
      return [
        answer.status,
        await why(answer),
        now.status,
        now.fault?.message,
        status,
        volume_image_metadata.image_id === imageId,
        attachments.length,
      ]
    }
    const unsafe = await failing('fetch-image', new Fault(400, 'ImageUnsafe', 'it reaches outside of itself'))
    const said = (text: string) => new RegExp(`did not get image ${imageId}: reimage volume: ${text}`)
    assert.match(String(unsafe.splice(1, 1)), said('it reaches outside of itself'))
    assert.deepEqual(unsafe, [202, 'ACTIVE', undefined, 'in-use', false, 1])
    const broken = await failing('reimage', new Fault(500, 'Disk', 'the disk is broken'))
    for (const text of [broken.splice(1, 1), broken.splice(2, 1)]) assert.match(String(text), said('the disk is broken'))
    assert.deepEqual(broken, [202, 'ERROR', 'error', false, 1])
    const [state, fault, inUse, changed] = (await failing('start', new Fault(500, 'LibvirtError', 'no memory'))).slice(2)
    assert.deepEqual([state, fault, inUse, changed], ['ERROR', 'no memory', 'in-use', true], 'the guest alone is missing')
    const { now } = await rebuild(imageId)
    const { status, volume_image_metadata } = await root()
    assert.deepEqual([now.status, now.fault, status, volume_image_metadata.image_id], ['ACTIVE', undefined, 'in-use', imageId])
  })

  test('stays off when it was, and is not rebuilt with an image that is too large', async () => {
    await act({ 'os-stop': null })
    await house.rested(id)
    const { now } = await rebuild(house.yard.imageId)
    assert.equal(now.status, 'SHUTOFF')
    const large = (
      await house.request('POST', '/image/v2/images', {
        body: { name: 'large', disk_format: 'raw', container_format: 'bare', min_disk: 2 },
      })
    ).body.id
    await house.request('PUT', `/image/v2/images/${large}/file`, { text: 'x', headers: { 'content-type': 'application/octet-stream' } })
    const { answer } = await rebuild(large)
    assert.deepEqual([answer.status, /Volume is smaller than the minimum size/.test(answer.message)], [400, true])
    assert.equal(
      (
        await house.ask('POST', `/servers/${id}/action`, {
          as: 'stranger',
          at: '2.93',
          body: { rebuild: { imageRef: house.yard.imageId } },
        })
      ).status,
      404,
    )
  })
})

test('a server that is deleted while its volume is overwritten goes when that is done, and its volume with it', async () => {
  const { id: doomed, 'os-extended-volumes:volumes_attached': attached } = await house.server(fromImage())
  const root = async () => (await house.request('GET', `/volume/v3/volumes/${attached[0].id}`)).body.volume?.status
  const written = await heldUp('reimage', async () => {
    const imageRef = await house.yard.image('never seen')
    assert.equal((await house.ask('POST', `/servers/${doomed}/action`, { body: { rebuild: { imageRef } }, at: '2.93' })).status, 202)
    await eventually(root, (now) => now === 'downloading')
    assert.equal((await house.request('DELETE', `/volume/v3/volumes/${attached[0].id}`)).status, 400)
    assert.equal((await house.ask('DELETE', `/servers/${doomed}`)).status, 204)
  })
  assert.equal(await root(), 'downloading')
  written()
  await house.yard.settled()
  assert.equal((await house.ask('GET', `/servers/${doomed}`)).status, 404)
  assert.equal(await eventually(root, (now) => now === undefined), undefined)
  assert.deepEqual(await house.yard.leaks(), [])
})

describe('a volume grows while a server has it', () => {
  const rootId = async () => (await house.rested(id))['os-extended-volumes:volumes_attached'][0].id
  const kept = async () =>
    (await house.yard.context.database.db.selectFrom('block_devices').select('size').where('server_id', '=', id).executeTakeFirstOrThrow())
      .size
  const grow = (volumeId: string, new_size: number) =>
    house.request('POST', `/volume/v3/volumes/${volumeId}/action`, {
      body: { 'os-extend': { new_size } },
      headers: { 'openstack-api-version': 'volume 3.42' },
    })

  test('and its guest, which is told, has a disk of that size', async () => {
    await act({ 'os-start': null })
    const volumeId = await rootId()
    assert.equal((await grow(volumeId, 2)).status, 202)
    assert.equal(await eventually(kept, (now) => Number(now) === 2), 2)
    await house.rested(id)
    const { instanceActions } = (await house.ask('GET', `/servers/${id}/os-instance-actions`)).body
    assert.equal(instanceActions[0].action, 'extend_volume')
    const path = `/servers/${id}/os-instance-actions/${instanceActions[0].request_id}`
    const { events } = (await house.ask('GET', path, { as: 'admin' })).body.instanceAction
    assert.deepEqual([events.at(-1).event, events.at(-1).result], ['compute_extend_volume', 'Success'])
    assert.deepEqual((await volume(`volumes/${volumeId}`)).volume.status, 'in-use')
  })

  test('of which no event tells whose volume it is not; one without a tag is refused by itself', async () => {
    const send = (event: object) =>
      house.ask('POST', '/os-server-external-events', {
        as: 'admin',
        at: '2.51',
        body: { events: [{ name: 'volume-extended', server_uuid: id, ...event }] },
      })
    const actions = async () => (await house.ask('GET', `/servers/${id}/os-instance-actions`)).body.instanceActions.length
    const before = await actions()
    assert.equal((await send({ tag: house.yard.imageId })).status, 200)
    const { status, body } = await send({})
    assert.deepEqual([status, body.events[0].code, body.events[0].status], [207, 400, 'failed'])
    assert.equal(await actions(), before)
  })

  test('and goes with its server when that is deleted meanwhile', async () => {
    const { id: doomed, 'os-extended-volumes:volumes_attached': attached } = await house.server(fromImage())
    const volumeId = attached[0].id
    const grown = await heldUp('extend', async () => {
      assert.equal((await grow(volumeId, 3)).status, 202)
      assert.equal((await house.ask('DELETE', `/servers/${doomed}`)).status, 204)
      await eventually(
        async () => (await volume(`volumes/${volumeId}`)).volume.attachments.length,
        (now) => now === 0,
      )
    })
    grown()
    await house.yard.settled()
    const status = async () => (await house.request('GET', `/volume/v3/volumes/${volumeId}`)).status
    assert.equal(await eventually(status, (now) => now === 404), 404)
  })
})
