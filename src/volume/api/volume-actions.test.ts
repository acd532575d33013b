import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { Fault } from '../../kernel/errors/errors.ts'
import { DEMO } from '../../kernel/http/testing.ts'
import { GiB } from '../../kernel/units/units.ts'
import { addMetadata } from '../app/metadata.ts'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

let house: VolumeHouse
before(async () => {
  house = await volumeHouse()
})
after(() => house.close())

const action = async (id: string, body: object, as = 'member') => {
  const answer = await house.request('POST', `/volumes/${id}/action`, { as, body })
  await house.idle()
  return answer
}

test('a volume grows, never shrinks; in vain it says so and counts as before', async () => {
  const { id } = await house.volume()
  assert.equal((await action(id, { 'os-extend': { new_size: 1 } })).status, 400)
  assert.equal((await action(id, { 'os-extend': { new_size: 5000 } })).status, 413)
  assert.equal((await action(id, { 'os-extend': { new_size: '3' } })).status, 202)
  assert.deepEqual([(await house.show(id)).size, house.storage.volumes.get(id)!.sizeGiB], [3, 3])
  house.storage.failing.set('extend', new Fault(507, 'NoSpace', 'the group is full'))
  await action(id, { 'os-extend': { new_size: 4 } })
  house.storage.failing.clear()
  const volume = await house.show(id)
  assert.deepEqual([volume.status, volume.size], ['error_extending', 3])
  const { body } = await house.request('GET', `/os-quota-sets/${DEMO}`, { query: { usage: 'true' } })
  assert.equal(body.quota_set.gigabytes.in_use, 3)
})

test('3.42: a volume grows while servers have it; its target is made again, and compute is told', async () => {
  const { id } = await house.volume()
  const server = randomUUID()
  const reserved = (await house.request('POST', '/attachments', { body: { attachment: { volume_uuid: id, instance_uuid: server } } })).body
  const attachment = `/attachments/${reserved.attachment.id}`
  const grow = async (new_size: number, version = '3.42') => {
    const headers = { 'openstack-api-version': `volume ${version}` }
    const { status } = await house.request('POST', `/volumes/${id}/action`, { as: 'member', headers, body: { 'os-extend': { new_size } } })
    await house.idle()
    return status
  }
  assert.equal(await grow(2), 400, 'reserved is not in use')
  await house.request('PUT', attachment, { body: { attachment: { connector: { host: 'h' } } } })
  await house.request('POST', `${attachment}/action`, { body: { 'os-complete': null } })
  assert.equal(await grow(2, '3.41'), 400)
  house.notices.length = house.storage.asked.length = 0
  assert.equal(await grow(2), 202)
  assert.deepEqual(house.storage.asked, ['extend', 'exportVolume'])
  assert.deepEqual(house.notices, [{ name: 'volume-extended', server_uuid: server, tag: id, status: 'completed' }])
  assert.deepEqual([(await house.show(id)).status, (await house.show(id)).size], ['in-use', 2])
  house.storage.failing.set('extend', new Fault(507, 'NoSpace', 'the group is full'))
  assert.equal(await grow(3), 202)
  house.storage.failing.clear()
  assert.deepEqual([(await house.show(id)).status, (await house.show(id)).size], ['error_extending', 2])
  assert.equal((await house.request('DELETE', attachment)).body.attachments.length, 0)
})

test('that compute does not hear of a volume is told; it has grown all the same', async () => {
  const deaf = await volumeHouse({ notifyCompute: () => Promise.reject(new Fault(503, 'Down', 'compute is away')) })
  const { id } = await deaf.volume()
  await deaf.request('POST', `/volumes/${id}/action`, { body: { 'os-attach': { instance_uuid: randomUUID() } } })
  assert.equal((await deaf.request('POST', `/volumes/${id}/action`, { as: 'member', body: { 'os-extend': { new_size: 2 } } })).status, 202)
  await deaf.idle()
  assert.deepEqual([(await deaf.show(id)).status, (await deaf.show(id)).size], ['in-use', 2])
  const { messages } = (await deaf.request('GET', '/messages', { as: 'member', query: { resource_uuid: id } })).body
  assert.match(messages[0].user_message, /^extend volume: The volume has grown, but .* \(compute is away\)/)
  await deaf.close()
})

test('an image is made of a volume; when that fails nothing is left of it', async () => {
  const imageRef = house.images.add({ hw_disk_bus: 'virtio' })
  const { id } = await house.volume({ imageRef })
  const ask = { 'os-volume_upload_image': { image_name: 'mine', disk_format: 'qcow2', container_format: 'bare', force: false } }
  const accepted = await house.request('POST', `/volumes/${id}/action`, { as: 'member', body: ask })
  assert.ok(house.images.images.has(accepted.body['os-volume_upload_image'].image_id), 'whoever hears the id finds the image')
  await house.idle()
  const { status, body } = await action(id, ask)
  assert.equal(status, 202)
  const answer = body['os-volume_upload_image']
  assert.deepEqual([answer.status, answer.image_name, answer.disk_format, answer.visibility], ['uploading', 'mine', 'qcow2', 'private'])
  const image = house.images.images.get(answer.image_id)!
  assert.deepEqual([image.owner, image.min_disk, image.hw_disk_bus, image.image_id], [DEMO, 1, 'virtio', undefined])
  assert.equal((await house.show(id)).status, 'available')
  house.storage.failing.set('uploadToImage', new Fault(503, 'Down', 'no'))
  const failed = await action(id, ask)
  house.storage.failing.clear()
  assert.ok(!house.images.images.has(failed.body['os-volume_upload_image'].image_id))
  assert.equal((await house.show(id)).status, 'available')
  const loud = { 'os-volume_upload_image': { image_name: 'all', visibility: 'public' } }
  assert.equal((await action(id, loud)).status, 403)
})

test('flags, status by decree, deletion by force', async () => {
  const { id } = await house.volume()
  assert.equal((await action(id, { 'os-set_bootable': { bootable: true } })).status, 200)
  assert.equal((await house.show(id)).bootable, 'true')
  assert.equal((await action(id, { 'os-update_readonly_flag': { readonly: 'True' } })).status, 202)
  assert.equal((await house.show(id)).metadata.readonly, 'True')
  assert.equal((await action(id, { 'os-update_readonly_flag': { readonly: false } })).status, 202)
  assert.equal((await house.show(id)).metadata.readonly, 'False', 'that it is no longer is said, too')
  assert.equal((await action(id, { 'os-update_readonly_flag': { readonly: 'True' } })).status, 202)
  assert.deepEqual((await action(id, { 'os-set_image_metadata': { metadata: { a: 'b' } } })).body, { metadata: { a: 'b' } })
  assert.equal((await action(id, { 'os-unset_image_metadata': { key: 'a' } })).status, 200)
  assert.equal((await action(id, { 'os-reset_status': { status: 'error' } })).status, 403)
  assert.equal((await action(id, { 'os-reset_status': { status: 'creating' } }, 'admin')).status, 202)
  assert.equal((await house.request('DELETE', `/volumes/${id}`, { as: 'member' })).status, 400)
  assert.equal((await action(id, { 'os-force_delete': {} })).status, 403)
  assert.equal((await action(id, { 'os-force_delete': {} }, 'admin')).status, 202)
  assert.equal((await house.request('GET', `/volumes/${id}`)).status, 404)
})

test('a volume that is detached by decree has no target any more', async () => {
  const { id } = await house.volume()
  assert.equal((await action(id, { 'os-initialize_connection': { connector: { host: 'node-1', initiator: 'iqn.a' } } })).status, 200)
  assert.ok(house.storage.exports.has(id))
  assert.equal((await action(id, { 'os-reset_status': { status: 'available', attach_status: 'detached' } }, 'admin')).status, 202)
  assert.deepEqual([house.storage.exports.has(id), (await house.show(id)).status], [false, 'available'])
})

test('what is noted of a volume that goes in the same moment does not stay', async () => {
  const { context } = house.service
  await assert.rejects(addMetadata(context, 'volume', randomUUID(), { a: 'b' }), { status: 404 })
  const { id } = await house.volume()
  const noted = addMetadata(context, 'volume', id, { a: 'b' }).catch((error) => error)
  await house.request('DELETE', `/volumes/${id}`, { as: 'member' })
  await noted
  await house.idle()
  assert.deepEqual(await context.database.db.selectFrom('properties').selectAll().where('owner_id', '=', id).execute(), [])
})

test('a volume that is deleted by force while it grows, both in vain, counts as large as it is', async () => {
  const { id } = await house.volume()
  const [begun, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  for (const name of ['extend', 'remove']) house.storage.failing.set(name, new Fault(507, 'NoSpace', 'the disk is full'))
  house.storage.pause = () => {
    begun.resolve()
    return held.promise
  }
  try {
    assert.equal((await house.request('POST', `/volumes/${id}/action`, { body: { 'os-extend': { new_size: 2 } } })).status, 202)
    await begun.promise
    assert.equal((await house.request('POST', `/volumes/${id}/action`, { body: { 'os-force_delete': {} } })).status, 202)
    held.resolve()
    await house.idle()
    const row = await house.service.context.database.db.selectFrom('volumes').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
    assert.deepEqual([row.status, row.size, row.reserved_size], ['error_deleting', 1, 1])
  } finally {
    held.resolve()
    house.storage.pause = async () => {}
    house.storage.failing.clear()
  }
  assert.equal((await action(id, { 'os-force_delete': {} }, 'admin')).status, 202)
})

test('of two growths that an administrator lets be asked for at once the smaller one takes nothing away, and what fails counts no more', async () => {
  const grown = async (first: number, second: number, fails = false) => {
    const { id } = await house.volume()
    const ask = (what: object) => house.request('POST', `/volumes/${id}/action`, { body: what })
    const extending = house.storage.hold('extend')
    assert.equal((await ask({ 'os-extend': { new_size: first } })).status, 202)
    await extending.come
    assert.equal((await ask({ 'os-reset_status': { status: 'available' } })).status, 202)
    assert.equal((await ask({ 'os-extend': { new_size: second } })).status, 202)
    const again = fails ? house.storage.hold('extend') : null
    extending.goOn()
    await again?.come
    if (fails) house.storage.failing.set('extend', new Fault(507, 'NoSpace', 'the disk is full'))
    again?.goOn()
    await house.idle()
    house.storage.failing.clear()
    const row = await house.service.context.database.db.selectFrom('volumes').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
    const sizes = [row.size, row.reserved_size, house.storage.volumes.get(id)!.sizeGiB]
    await action(id, { 'os-force_delete': {} }, 'admin')
    return sizes
  }
  assert.deepEqual(await grown(5, 3), [5, 5, 5])
  assert.deepEqual(await grown(3, 5), [5, 5, 5])
  assert.deepEqual(await grown(3, 5, true), [3, 3, 3])
})

test('3.68: another image replaces what a volume holds, and what it remembers of its image', async () => {
  const [first, second] = [house.images.add({ hw_disk_bus: 'virtio' }), house.images.add({ name: 'other', os_distro: 'debian' })]
  const { id } = await house.volume({ imageRef: first })
  const body = { 'os-reimage': { image_id: second } }
  const at = (version: string) =>
    house.request('POST', `/volumes/${id}/action`, { as: 'member', body, headers: { 'openstack-api-version': `volume ${version}` } })
  assert.equal((await at('3.67')).status, 404)
  assert.equal((await at('3.68')).status, 202)
  await house.idle()
  const volume = await house.show(id)
  assert.deepEqual([volume.status, volume.bootable, house.storage.volumes.get(id)!.from], ['available', 'true', second])
  const { image_id, image_name, os_distro, hw_disk_bus } = volume.volume_image_metadata
  assert.deepEqual([image_id, image_name, os_distro, hw_disk_bus], [second, 'other', 'debian', undefined])
  const empty = await house.volume()
  assert.equal((await action(empty.id, body)).status, 202)
  assert.equal((await house.show(empty.id)).bootable, 'true')
})

test('an image that does not do is refused, and a volume that a server has unless it is reserved and that is said', async () => {
  const image = house.images.add()
  const { id } = await house.volume()
  const reimage = async (image_id: string, more = {}, as = 'member') => {
    const { status, body } = await action(id, { 'os-reimage': { image_id, ...more } }, as)
    return [status, body?.badRequest?.message]
  }
  assert.equal((await reimage(id))[0], 404)
  assert.match(`${await reimage(house.images.add({ status: 'queued' }))}`, /^400,.*is not active/)
  assert.match(`${await reimage(house.images.add({ size: 0 }))}`, /^400,.*has no data/)
  assert.match(`${await reimage(house.images.add({ min_disk: 2 }))}`, /^400,.*minDisk size 2GB/)
  assert.match(`${await reimage(house.images.add({ size: 2 * GiB }))}`, /^400,.*image 2GB is larger than volume size 1GB/)
  assert.match(`${await reimage(house.images.add({ virtual_size: 3 * GiB }))}`, /^400,.*virtual size is 3GB/)
  for (const body of [{ image_id: 'x' }, {}, { image_id: image, more: 1 }, { image_id: image, reimage_reserved: 'perhaps' }])
    assert.equal((await action(id, { 'os-reimage': body })).status, 400)
  assert.equal((await reimage(image, {}, 'other'))[0], 404)
  const server = randomUUID()
  const attach = async () => {
    const body = { attachment: { volume_uuid: id, instance_uuid: server } }
    return (await house.request('POST', '/attachments', { body })).body.attachment.id
  }
  const first = await attach()
  assert.match(`${await reimage(image)}`, /^400,.*status must be available or error, but current status is reserved/)
  const second = await attach()
  assert.equal((await reimage(image, { reimage_reserved: true }))[0], 409)
  await house.request('DELETE', `/attachments/${second}`)
  house.notices.length = 0
  assert.equal((await reimage(image, { reimage_reserved: 'True' }))[0], 202)
  assert.equal((await house.show(id)).status, 'reserved')
  assert.deepEqual(house.notices, [{ name: 'volume-reimaged', server_uuid: server, tag: id, status: 'completed' }])
  await house.request('POST', `/attachments/${first}/action`, { body: { 'os-complete': null } })
  assert.match(`${await reimage(image, { reimage_reserved: true })}`, /^400,.*but current status is in-use/)
})

test('a volume whose new image does not come is what it was; one that was half written is in error; both are told', async () => {
  const [first, second] = [house.images.add(), house.images.add()]
  const { id } = await house.volume({ imageRef: first })
  const told = async () =>
    (await house.request('GET', '/messages', { as: 'member', query: { resource_uuid: id } })).body.messages.map(
      (one: any) => one.user_message,
    )
  const reimage = async () => {
    assert.equal((await action(id, { 'os-reimage': { image_id: second } })).status, 202)
    house.storage.failing.clear()
    const { status, volume_image_metadata } = await house.show(id)
    return [status, volume_image_metadata.image_id]
  }
  house.storage.failing.set('fetchImage', new Fault(400, 'ImageUnsafe', 'it reaches outside of itself'))
  assert.deepEqual(await reimage(), ['available', first])
  assert.deepEqual(await told(), ['reimage volume: it reaches outside of itself'])
  house.storage.failing.set('reimage', new Fault(500, 'Disk', 'the disk is broken'))
  assert.deepEqual(await reimage(), ['error', first])
  assert.equal((await told())[0], 'reimage volume: the disk is broken')
  assert.deepEqual([...house.storage.fetched], [])
  assert.deepEqual(await reimage(), ['available', second], 'it is whole again')
})

test('an unknown action, and junk', async () => {
  const { id } = await house.volume()
  assert.equal((await action(id, { 'os-dance': null })).status, 400)
  assert.equal((await action(id, {})).status, 400)
  assert.equal((await action(id, { 'os-extend': 'x' })).status, 400)
  assert.equal((await action(id, { 'os-attach': {} })).status, 400)
  assert.equal((await action(id, { 'os-reset_status': { status: 'fine' } }, 'admin')).status, 400)
})

test('a volume gets another type where it lies; what does not fit is told', async () => {
  const typeNamed = async (name: string, extra_specs = {}) =>
    (await house.request('POST', '/types', { body: { volume_type: { name, extra_specs } } })).body.volume_type
  const shared = await typeNamed('shared', { multiattach: '<is> True', vendor_name: 'Open Source' })
  await typeNamed('elsewhere', { volume_backend_name: 'another' })
  const volume = await house.volume()
  const retype = async (new_type: string, more = {}) =>
    (await house.request('POST', `/volumes/${volume.id}/action`, { as: 'member', body: { 'os-retype': { new_type, ...more } } })).status
  assert.equal(await retype('nothing'), 400)
  assert.equal(await retype('shared', { migration_policy: 'sometimes' }), 400)
  assert.equal(await retype(shared.id, { migration_policy: 'never' }), 202)
  assert.deepEqual([(await house.show(volume.id)).volume_type, (await house.show(volume.id)).multiattach], ['shared', true])
  assert.equal(await retype('shared'), 400)
  assert.equal(await retype('elsewhere'), 202)
  assert.equal((await house.show(volume.id)).volume_type, 'shared')
  const told = (await house.request('GET', '/messages', { as: 'member', query: { resource_uuid: volume.id } })).body.messages
  assert.match(told[0].user_message, /^schedule allocate volume: No valid backend was found/)
  await house.request('POST', `/volumes/${volume.id}/action`, { body: { 'os-attach': { host_name: 'h' } } })
  assert.equal(await retype('__DEFAULT__'), 400)
})
