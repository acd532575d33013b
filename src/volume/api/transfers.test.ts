import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

let house: VolumeHouse
before(async () => {
  house = await volumeHouse()
})
after(() => house.close())

const offer = (volume_id: string, more = {}, path = '/volume-transfers') =>
  house.request('POST', path, { as: 'member', body: { transfer: { volume_id, name: 'gift', ...more } } })
const accept = (id: string, auth_key: string, as = 'other', path = '/volume-transfers') =>
  house.request('POST', `${path}/${id}/accept`, { as, body: { accept: { auth_key } } })
const snapshotOf = async (volume_id: string) => {
  const { body } = await house.request('POST', '/snapshots', { as: 'member', body: { snapshot: { volume_id } } })
  await house.idle()
  return body.snapshot.id
}

test('a volume and its snapshots go to whoever has the key, once, and count there', async () => {
  const volume = await house.volume()
  const snapshot = await snapshotOf(volume.id)
  const { status, body } = await offer(volume.id)
  const { id, auth_key } = body.transfer
  assert.deepEqual([status, auth_key.length, body.transfer.no_snapshots, body.transfer.accepted], [202, 16, false, false])
  assert.equal((await house.show(volume.id)).status, 'awaiting-transfer')
  assert.equal((await offer(volume.id)).status, 400)
  assert.equal((await house.request('GET', `/volume-transfers/${id}`, { as: 'other' })).status, 404)
  const shown = (await house.request('GET', `/volume-transfers/${id}`, { as: 'member' })).body.transfer
  assert.equal('auth_key' in shown, false)
  assert.equal((await accept(id, 'guessed')).status, 400)
  const taken = await accept(id, auth_key)
  assert.deepEqual([taken.status, Object.keys(taken.body.transfer).sort()], [202, ['id', 'links', 'name', 'volume_id']])
  assert.equal((await accept(id, auth_key)).status, 404)
  assert.equal((await house.request('GET', `/volumes/${volume.id}`, { as: 'member' })).status, 404)
  assert.equal((await house.request('GET', `/volumes/${volume.id}`, { as: 'other' })).body.volume.status, 'available')
  assert.equal((await house.request('GET', `/snapshots/${snapshot}`, { as: 'other' })).status, 200)
})

test('snapshots can be kept back; an offer can be withdrawn; before 3.55 nobody speaks of snapshots', async () => {
  const volume = await house.volume()
  const snapshot = await snapshotOf(volume.id)
  const withdrawn = (await offer(volume.id)).body.transfer.id
  assert.equal((await house.request('DELETE', `/volume-transfers/${withdrawn}`, { as: 'other' })).status, 404)
  assert.equal((await house.request('DELETE', `/volume-transfers/${withdrawn}`, { as: 'member' })).status, 202)
  assert.equal((await house.show(volume.id)).status, 'available')
  const { id, auth_key } = (await offer(volume.id, { no_snapshots: true })).body.transfer
  const listed = (await house.request('GET', '/volume-transfers/detail', { as: 'member' })).body.transfers
  assert.deepEqual(
    listed.map((one: any) => [one.id, one.no_snapshots]),
    [[id, true]],
  )
  assert.deepEqual((await house.request('GET', '/volume-transfers', { as: 'other' })).body.transfers, [])
  const old = { 'openstack-api-version': 'volume 3.54' }
  assert.equal((await house.request('GET', '/volume-transfers', { as: 'member', headers: old })).status, 404)
  const plain = (await house.request('GET', `/os-volume-transfer/${id}`, { as: 'member', headers: old })).body.transfer
  assert.equal('no_snapshots' in plain, false)
  assert.equal((await accept(id, auth_key)).status, 202)
  assert.equal((await house.request('GET', `/snapshots/${snapshot}`, { as: 'member' })).status, 200)
})

test('an offer that an operator has ended by decree opens nothing beside the next one', async () => {
  const { id } = await house.volume()
  const first = (await offer(id)).body.transfer
  await house.request('POST', `/volumes/${id}/action`, { body: { 'os-reset_status': { status: 'available' } } })
  const second = (await offer(id)).body.transfer
  assert.equal((await accept(first.id, first.auth_key)).status, 404)
  assert.equal((await accept(second.id, second.auth_key)).status, 202)
})

test('the quota of the one who takes it holds', async () => {
  const volume = await house.volume()
  const { id, auth_key } = (await offer(volume.id)).body.transfer
  const other = (await house.request('GET', '/limits', { as: 'other' })).body.limits.absolute.totalVolumesUsed
  const set = (volumes: number) => house.request('PUT', '/os-quota-class-sets/default', { body: { quota_class_set: { volumes } } })
  assert.equal((await set(other)).status, 200)
  assert.equal((await accept(id, auth_key)).status, 413)
  assert.equal((await house.show(volume.id)).status, 'awaiting-transfer')
  await set(10)
  assert.equal((await accept(id, auth_key)).status, 202)
})
