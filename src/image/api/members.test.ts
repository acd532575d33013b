import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { OTHER } from '../../kernel/http/testing.ts'
import { type ImageHouse, imageHouse } from '../testing.ts'

let house: ImageHouse
before(async () => {
  house = await imageHouse()
})
after(() => house.close())

test('an image is shared with a project, which accepts it and then lists it', async () => {
  const id = await house.image({ visibility: 'shared' }, 'member')
  const members = `/image/v2/images/${id}/members`
  assert.equal((await house.request('GET', `/image/v2/images/${id}`, { as: 'other' })).status, 404)
  const added = await house.request('POST', members, { as: 'member', body: { member: OTHER } })
  assert.equal(added.status, 200)
  assert.deepEqual([added.body.member_id, added.body.status, added.body.image_id], [OTHER, 'pending', id])
  assert.equal((await house.request('POST', members, { as: 'member', body: { member: OTHER } })).status, 409)
  assert.equal((await house.request('GET', `/image/v2/images/${id}`, { as: 'other' })).status, 200)

  const listed = async (query = {}) =>
    (await house.request('GET', '/image/v2/images', { as: 'other', query })).body.images.map((one: any) => one.id)
  assert.deepEqual(await listed(), [])
  assert.deepEqual(await listed({ member_status: 'pending' }), [id])
  assert.equal((await house.request('PUT', `${members}/${OTHER}`, { as: 'member', body: { status: 'accepted' } })).status, 403)
  assert.equal((await house.request('PUT', `${members}/${OTHER}`, { as: 'other', body: { status: 'maybe' } })).status, 400)
  assert.equal((await house.request('PUT', `${members}/${OTHER}`, { as: 'other', body: { status: 'accepted' } })).body.status, 'accepted')
  assert.deepEqual(await listed(), [id])
  assert.deepEqual(await listed({ visibility: 'shared' }), [id])

  assert.equal((await house.request('GET', members, { as: 'member' })).body.members.length, 1)
  assert.equal((await house.request('GET', `${members}/${OTHER}`, { as: 'other' })).body.status, 'accepted')
  assert.equal((await house.request('DELETE', `${members}/${OTHER}`, { as: 'other' })).status, 403)
  assert.equal((await house.request('DELETE', `${members}/${OTHER}`, { as: 'member' })).status, 204)
  assert.equal((await house.request('DELETE', `${members}/${OTHER}`, { as: 'member' })).status, 404)
  assert.deepEqual(await listed(), [])
})

test('only shared images have members, 128 at most', async () => {
  const lonely = await house.image({ visibility: 'private' })
  assert.equal((await house.request('POST', `/image/v2/images/${lonely}/members`, { body: { member: OTHER } })).status, 403)
  assert.equal((await house.request('GET', `/image/v2/images/${lonely}/members`)).status, 404)
  const shared = await house.image()
  for (let i = 0; i < 128; i++) await house.request('POST', `/image/v2/images/${shared}/members`, { body: { member: `p${i}` } })
  assert.equal((await house.request('POST', `/image/v2/images/${shared}/members`, { body: { member: 'one-more' } })).status, 413)
})
