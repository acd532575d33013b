import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Fault } from '../../kernel/errors/errors.ts'
import { DEMO } from '../../kernel/http/testing.ts'
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
