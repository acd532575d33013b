import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

let house: VolumeHouse
before(async () => {
  house = await volumeHouse()
})
after(() => house.close())

const snap = async (volume_id: string, more = {}, headers?: Record<string, string>) => {
  const answer = await house.request('POST', '/snapshots', {
    as: 'member',
    headers,
    body: { snapshot: { volume_id, name: 'then', ...more } },
  })
  await house.idle()
  return answer
}
const action = async (path: string, body: object, as = 'member') => {
  const answer = await house.request('POST', `${path}/action`, { as, body })
  await house.idle()
  return answer
}
const show = async (id: string) => (await house.request('GET', `/snapshots/${id}`, { as: 'member' })).body.snapshot

test('a snapshot is made, shown, changed, made a volume of, and goes', async () => {
  const volume = await house.volume()
  const made = await snap(volume.id, { metadata: { a: 'b' } })
  assert.equal(made.status, 202)
  const { id } = made.body.snapshot
  const extended = 'os-extended-snapshot-attributes:progress'
  assert.deepEqual([extended in made.body.snapshot, extended in (await show(id))], [false, true])
  assert.equal((await house.request('POST', '/snapshots', { as: 'member', body: { snapshot: { volume_id: null } } })).status, 404)
  const snapshot = await show(id)
  assert.deepEqual([snapshot.status, snapshot.size, snapshot.volume_id, snapshot.metadata], ['available', 1, volume.id, { a: 'b' }])
  assert.equal(house.storage.snapshots.get(id), volume.id)
  const put = await house.request('PUT', `/snapshots/${id}`, { as: 'member', body: { snapshot: { name: 'once' } } })
  assert.equal(put.body.snapshot.name, 'once')
  assert.equal((await house.request('GET', `/snapshots/${id}`, { as: 'other' })).status, 404)
  const listed = (await house.request('GET', '/snapshots/detail', { as: 'member', query: { volume_id: volume.id } })).body.snapshots
  assert.deepEqual(
    listed.map((one: any) => one.id),
    [id],
  )
  const copy = await house.volume({ snapshot_id: id, size: 2 })
  assert.deepEqual([copy.status, copy.size, copy.snapshot_id], ['available', 2, id])
  assert.equal((await house.request('DELETE', `/volumes/${volume.id}`, { as: 'member' })).status, 400)
  assert.equal((await house.request('DELETE', `/snapshots/${id}`, { as: 'member' })).status, 202)
  await house.idle()
  assert.equal((await house.request('GET', `/snapshots/${id}`)).status, 404)
  assert.equal((await house.request('DELETE', `/volumes/${volume.id}`, { as: 'member' })).status, 202)
  await house.idle()
})

test('cascade takes all snapshots along', async () => {
  const volume = await house.volume()
  for (let i = 0; i < 3; i++) await snap(volume.id)
  assert.equal(house.storage.snapshots.size, 3)
  assert.equal((await house.request('DELETE', `/volumes/${volume.id}`, { as: 'member', query: { cascade: 'true' } })).status, 202)
  await house.idle()
  assert.equal(house.storage.snapshots.size, 0)
  assert.equal((await house.request('GET', `/volumes/${volume.id}`)).status, 404)
})

test('of a volume in use only by force, or since 3.66', async () => {
  const volume = await house.volume()
  await action(`/volumes/${volume.id}`, { 'os-attach': { host_name: 'h' } })
  const old = { 'openstack-api-version': 'volume 3.50' }
  assert.equal((await snap(volume.id, {}, old)).status, 400)
  assert.equal((await snap(volume.id, { force: true }, old)).status, 202)
  assert.equal((await snap(volume.id)).status, 202)
})

test('a volume reverts to its newest snapshot only', async () => {
  const volume = await house.volume()
  const [first, second] = [(await snap(volume.id)).body.snapshot.id, (await snap(volume.id)).body.snapshot.id]
  assert.equal((await action(`/volumes/${volume.id}`, { revert: { snapshot_id: first } })).status, 400)
  assert.equal((await action(`/volumes/${volume.id}`, { revert: { snapshot_id: second } })).status, 202)
  assert.equal((await house.show(volume.id)).status, 'available')
  assert.equal((await show(second)).status, 'available')
  assert.ok(house.storage.asked.includes('revertToSnapshot'))
})

test('a snapshot that cannot be made is in error, says why, and can be deleted', async () => {
  const volume = await house.volume()
  const { Fault } = await import('../../kernel/errors/errors.ts')
  house.storage.failing.set('createSnapshot', new Fault(507, 'NoSpace', 'the group is full'))
  const { id } = (await snap(volume.id)).body.snapshot
  house.storage.failing.clear()
  assert.equal((await show(id)).status, 'error')
  const { messages } = (await house.request('GET', '/messages', { as: 'member', query: { resource_uuid: id } })).body
  assert.match(messages[0].user_message, /create snapshot: the group is full/)
  assert.equal((await house.request('DELETE', `/messages/${messages[0].id}`, { as: 'member' })).status, 204)
  assert.equal((await house.request('DELETE', `/snapshots/${id}`, { as: 'member' })).status, 202)
  await house.idle()
})

test('a snapshot that an administrator lets be asked for while its volume is being deleted goes with it', async () => {
  const volume = await house.volume()
  const removal = house.storage.hold('remove')
  assert.equal((await house.request('DELETE', `/volumes/${volume.id}`, { as: 'member' })).status, 202)
  await removal.come
  const reset = { 'os-reset_status': { status: 'available' } }
  assert.equal((await house.request('POST', `/volumes/${volume.id}/action`, { body: reset })).status, 202)
  const asked = { volume_id: volume.id, metadata: { a: 'b' } }
  const { status, body } = await house.request('POST', '/snapshots', { as: 'member', body: { snapshot: asked } })
  assert.equal(status, 202)
  removal.goOn()
  await house.idle()
  assert.equal((await house.request('GET', `/volumes/${volume.id}`)).status, 404)
  assert.equal((await house.request('GET', `/snapshots/${body.snapshot.id}`)).status, 404)
  const { db } = house.service.context.database
  assert.deepEqual(await db.selectFrom('properties').selectAll().where('owner_id', '=', body.snapshot.id).execute(), [])
  assert.ok(!house.storage.snapshots.has(body.snapshot.id))
})
