import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { House } from '../testing.ts'

let house: House
let id: string
before(async () => {
  house = await House.open()
  id = (await house.server()).id
})
after(() => house.stop())
const act = (body: object, at = '2.45') => house.ask('POST', `/servers/${id}/action`, { body, at })
const image = async (imageId: string) => (await house.request('GET', `/image/v2/images/${imageId}`)).body
const backups = async (): Promise<string[]> =>
  (await house.request('GET', `/image/v2/images?image_type=backup&instance_uuid=${id}&sort=created_at:asc`)).body.images.map(
    (one: { name: string }) => one.name,
  )

describe('backups', () => {
  test('as many of a kind are kept as are wanted: the oldest go', async () => {
    for (const name of ['first', 'second', 'third']) {
      const made = await act({ createBackup: { name, backup_type: 'daily', rotation: 2, metadata: { why: 'test' } } })
      assert.equal(made.status, 202, made.message)
      assert.equal((await house.rested(id)).status, 'ACTIVE')
      const { status, image_type, backup_type, instance_uuid, why } = await image(made.body.image_id)
      assert.deepEqual([status, image_type, backup_type, instance_uuid, why], ['active', 'backup', 'daily', id, 'test'])
    }
    assert.deepEqual(await backups(), ['second', 'third'])
    await act({ createBackup: { name: 'other', backup_type: 'weekly', rotation: 1 } }).then(() => house.rested(id))
    assert.deepEqual(await backups(), ['second', 'third', 'other'])
    const { instanceActions } = (await house.ask('GET', `/servers/${id}/os-instance-actions`)).body
    assert.equal(instanceActions[0].action, 'createBackup')
  })

  test('with none to be kept nothing stays, and no address is told', async () => {
    const made = await act({ createBackup: { name: 'none', backup_type: 'daily', rotation: '0' } }, '2.44')
    assert.deepEqual([made.status, made.headers.location], [202, undefined])
    await house.rested(id)
    assert.deepEqual(await backups(), ['other'])
    const kept = await act({ createBackup: { name: 'one', backup_type: 'daily', rotation: 1 } }, '2.44')
    assert.match(String(kept.headers.location), /\/image\/v2\/images\/[0-9a-f-]{36}$/)
    await house.rested(id)
  })

  test('that cannot be: 400, 403, 404, 409', async () => {
    for (const wrong of [{}, { name: 'x' }, { name: 'x', backup_type: 'daily', rotation: -1 }, { name: '', backup_type: 'x', rotation: 1 }])
      assert.equal((await act({ createBackup: wrong })).status, 400, JSON.stringify(wrong))
    const metadata = Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`key${i}`, 'x']))
    for (const action of [
      { createBackup: { name: 'x', backup_type: 'daily', rotation: 1, metadata } },
      { createImage: { name: 'x', metadata } },
    ])
      assert.equal((await act(action, '2.38')).message, 'Image metadata limit exceeded')
    await house.ask('POST', `/servers/${id}/action`, { as: 'admin', body: { 'os-resetState': { state: 'error' } } })
    const refused = await act({ createBackup: { name: 'x', backup_type: 'daily', rotation: 1 } })
    assert.equal(refused.message, `Cannot 'createBackup' instance ${id} while it is in vm_state error`)
    await house.ask('POST', `/servers/${id}/action`, { as: 'admin', body: { 'os-resetState': { state: 'active' } } })
  })

  test('of a locked server are made: a lock is there against changes', async () => {
    await act({ lock: null }, '2.1')
    assert.equal((await act({ createBackup: { name: 'x', backup_type: 'daily', rotation: 1 } })).status, 202)
    await house.rested(id)
    await act({ unlock: null }, '2.1')
  })
})

test('a server is restored when its deletion waits only, and none does here', async () => {
  const refused = await act({ restore: null })
  assert.deepEqual([refused.status, refused.message], [409, `Cannot 'restore' instance ${id} while it is in vm_state active`])
  assert.equal((await house.ask('POST', '/servers/none/action', { body: { restore: {} } })).status, 404)
})

test('how a disk is divided is kept for each server: asked for, or as its image says', async () => {
  const config = async () => (await house.rested(id))['OS-DCF:diskConfig']
  assert.equal(await config(), 'MANUAL')
  const change = async (word: string) => await house.ask('PUT', `/servers/${id}`, { body: { server: { 'OS-DCF:diskConfig': word } } })
  assert.equal((await change('AUTO')).body.server['OS-DCF:diskConfig'], 'AUTO')
  assert.equal((await change('NONE')).status, 400)
  const rebuilt = await act({ rebuild: { imageRef: house.yard.imageId, 'OS-DCF:diskConfig': 'AUTO' } })
  assert.equal(rebuilt.body.server['OS-DCF:diskConfig'], 'AUTO')
  assert.equal(await config(), 'AUTO')
  await act({ resize: { flavorRef: house.yard.largeFlavorId, 'OS-DCF:diskConfig': 'MANUAL' } }, '2.1')
  assert.equal(await config(), 'MANUAL')
  assert.equal((await act({ resize: { flavorRef: house.yard.flavorId, 'OS-DCF:diskConfig': 'x' } })).status, 400)
  const made = await house.ask('POST', '/servers', { body: house.wish({ 'OS-DCF:diskConfig': 'AUTO' }) })
  assert.equal(made.body.server['OS-DCF:diskConfig'], 'AUTO')
  await house.rested(made.body.server.id)
  await house.remove(made.body.server.id)
  const patch = { 'content-type': 'application/openstack-images-v2.1-json-patch' }
  const { imageId } = house.yard
  const say = (value: string) =>
    house.yard.cloud.api('PATCH', `/image/v2/images/${imageId}`, [{ op: 'add', path: '/auto_disk_config', value }], patch)
  await say('disabled')
  const refused = await house.ask('POST', '/servers', { body: house.wish({ 'OS-DCF:diskConfig': 'AUTO' }) })
  assert.deepEqual([refused.status, refused.message], [400, `Requested image ${imageId} has automatic disk resize disabled.`])
  await say('True')
  const said = await house.ask('POST', '/servers', { body: house.wish() })
  assert.equal(said.body.server['OS-DCF:diskConfig'], 'AUTO')
  await house.rested(said.body.server.id)
})
