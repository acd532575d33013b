import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { inMemory } from '../../kernel/http/client.ts'
import { DEMO } from '../../kernel/http/testing.ts'
import { onStep, type StepRecord } from '../../kernel/trace/trace.ts'
import { VolumeClient } from '../client.ts'
import { control, VOLUME_CONTROL } from '../rpc.ts'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

let house: VolumeHouse
let client: VolumeClient
const steps: StepRecord[] = []
const unhear = onStep((step) => void steps.push(step))
before(async () => {
  house = await volumeHouse()
  await house.request('PUT', `/os-quota-sets/${DEMO}`, { body: { quota_set: { volumes: -1 } } })
  client = new VolumeClient(inMemory(house.server.edge), { token: async () => 'service' })
})
after(async () => {
  unhear()
  await house.close()
})

const connector = { host: 'compute-1', ip: '127.0.0.1', initiator: 'iqn.2026-11.cloud.yun:compute-1', mountpoint: '/dev/vdb' }
const action = (id: string, body: object, as = 'member') => house.request('POST', `/volumes/${id}/action`, { as, body })

test('reserve, export, complete, end: as the compute service does it, each step twice', async () => {
  steps.length = 0
  const { id: volume_uuid } = await house.volume()
  const [id, instance_uuid] = [randomUUID(), randomUUID()]
  for (let i = 0; i < 2; i++) {
    const reserved = await client.createAttachment({ id, volume_uuid, instance_uuid })
    assert.deepEqual([reserved.id, reserved.status, reserved.connection_info], [id, 'reserved', {}])
  }
  assert.equal((await client.volume(volume_uuid)).status, 'reserved')
  let password = ''
  for (let i = 0; i < 2; i++) {
    const attaching = await client.updateAttachment(id, connector)
    const info = attaching.connection_info as any
    assert.equal(attaching.status, 'attaching')
    assert.deepEqual(
      [
        info.driver_volume_type,
        info.target_portal,
        info.target_iqn,
        info.target_lun,
        info.auth_method,
        info.auth_username,
        info.access_mode,
      ],
      ['iscsi', '127.0.0.1:3260', `iqn.2010-10.org.openstack:volume-${volume_uuid}`, 1, 'CHAP', 'yun', 'rw'],
    )
    assert.deepEqual([info.volume_id, info.attachment_id, info.encrypted, info.target_discovered], [volume_uuid, id, false, false])
    assert.match(info.auth_password, /^[A-Za-z0-9]{16}$/)
    if (i > 0) assert.equal(info.auth_password, password)
    password = info.auth_password
  }
  assert.deepEqual(house.storage.exports.get(volume_uuid), { secret: password, readOnly: false })
  for (let i = 0; i < 2; i++) await client.completeAttachment(id)
  const volume = await client.volume(volume_uuid)
  assert.equal(volume.status, 'in-use')
  assert.deepEqual(
    volume.attachments.map((one) => [one.attachment_id, one.server_id, one.device, one.host_name]),
    [[id, instance_uuid, '/dev/vdb', 'compute-1']],
  )
  assert.deepEqual(await house.bus.call(VOLUME_CONTROL, control.desiredExports, { backend: 'host@lvm#group' }), [
    { volumeId: volume_uuid, secret: password, readOnly: false },
  ])
  assert.equal((await house.request('DELETE', `/volumes/${volume_uuid}`, { as: 'member' })).status, 400)
  for (let i = 0; i < 2; i++) await client.deleteAttachment(id)
  assert.equal(house.storage.exports.size, 0)
  assert.equal((await client.volume(volume_uuid)).status, 'available')
  assert.deepEqual(await house.bus.call(VOLUME_CONTROL, control.desiredExports, { backend: 'host@lvm#group' }), [])
  const own = steps.filter((step) => step.subject === `volume:${volume_uuid}` && step.step >= 46 && step.step !== 47)
  assert.deepEqual(
    own.map((step) => [step.step, step.evidence.text]),
    [
      [46, `iqn.2010-10.org.openstack:volume-${volume_uuid} at 127.0.0.1:3260, LUN 1, CHAP on`],
      [50, 'volume data is available again, 1 GiB kept'],
    ],
  )
  assert.ok(!JSON.stringify(steps).includes(password))
})

test('a server that is on no host has its volume all the same; nobody else has without an export', async () => {
  const { id: volume_uuid } = await house.volume()
  const [id, instance_uuid] = [randomUUID(), randomUUID()]
  await client.createAttachment({ id, volume_uuid, instance_uuid })
  await client.completeAttachment(id)
  assert.equal((await client.volume(volume_uuid)).status, 'in-use')
  assert.equal(house.storage.exports.has(volume_uuid), false)
  await client.updateAttachment(id, connector)
  assert.equal(house.storage.exports.has(volume_uuid), true)
  await client.completeAttachment(id)
  await client.deleteAttachment(id)

  const { attachment } = (await house.request('POST', '/attachments', { body: { attachment: { volume_uuid, instance_uuid: null } } })).body
  await assert.rejects(client.completeAttachment(attachment.id), { status: 400 })
})

test('the secret is in no list, and not for readers', async () => {
  const { id: volume_uuid } = await house.volume()
  const made = await house.request('POST', '/attachments', {
    as: 'member',
    body: { attachment: { volume_uuid, instance_uuid: randomUUID(), connector } },
  })
  assert.equal(made.status, 200)
  const { id, connection_info } = made.body.attachment
  const secret = connection_info.auth_password
  for (const [path, as] of [
    ['/attachments', 'admin'],
    ['/attachments/detail', 'admin'],
    [`/attachments/${id}`, 'reader'],
    [`/volumes/${volume_uuid}`, 'admin'],
    ['/volumes/detail', 'admin'],
  ] as const) {
    const { status, body } = await house.request('GET', path, { as })
    assert.equal(status, 200)
    assert.ok(!JSON.stringify(body).includes(secret), path)
  }
  assert.equal((await house.request('GET', `/attachments/${id}`, { as: 'member' })).body.attachment.connection_info.auth_password, secret)
  assert.equal((await house.request('GET', `/attachments/${id}`, { as: 'other' })).status, 404)
  assert.equal((await client.attachments({ volume_id: volume_uuid })).length, 1)
  assert.equal((await house.request('DELETE', `/attachments/${id}`, { as: 'member' })).status, 200)
})

test('a volume goes to one server, unless its type says multiattach or whoever made it did; then the last one ends the export', async () => {
  const { id } = await house.volume()
  const take = (volume_uuid: string, instance_uuid = randomUUID()) =>
    house.request('POST', '/attachments', { as: 'member', body: { attachment: { volume_uuid, instance_uuid, connector } } })
  const answers = await Promise.all([take(id), take(id), take(id)])
  assert.deepEqual(answers.map((one) => one.status).sort(), [200, 400, 400])
  const type = await house.request('POST', '/types', {
    body: { volume_type: { name: 'shared', extra_specs: { multiattach: '<is> True' } } },
  })
  assert.equal(type.status, 200)
  const shared = await house.volume({ volume_type: 'shared' })
  assert.equal(shared.multiattach, true)
  for (const multiattach of [true, 'True']) assert.equal((await house.volume({ multiattach })).multiattach, true)
  assert.equal((await house.volume({ multiattach: false })).multiattach, false)
  const [one, two] = [await take(shared.id), await take(shared.id)]
  assert.equal(two.status, 200)
  const secrets = [one, two].map((answer) => answer.body.attachment.connection_info.auth_password)
  assert.equal(secrets[0], secrets[1])
  const left = await house.request('DELETE', `/attachments/${one.body.attachment.id}`)
  assert.equal(left.body.attachments.length, 1)
  assert.ok(house.storage.exports.has(shared.id))
  await house.request('DELETE', `/attachments/${two.body.attachment.id}`)
  assert.ok(!house.storage.exports.has(shared.id))
})

test('a storage host that is away does not keep a volume attached', async () => {
  const { id: volume_uuid } = await house.volume()
  const { id } = await client.createAttachment({ volume_uuid, instance_uuid: randomUUID(), connector })
  house.storage.stop()
  await client.deleteAttachment(id)
  house.storage.start()
  assert.equal((await client.volume(volume_uuid)).status, 'available')
  assert.deepEqual(
    await house.bus
      .call(VOLUME_CONTROL, control.desiredExports, { backend: 'host@lvm#group' })
      .then((all) => all.filter((one) => one.volumeId === volume_uuid)),
    [],
  )
})

test('the old way: reserve, initialize, attach, detach', async () => {
  const { id } = await house.volume()
  const status = async () => (await house.show(id)).status
  const instance_uuid = randomUUID()
  assert.equal((await action(id, { 'os-reserve': null })).status, 202)
  assert.equal(await status(), 'attaching')
  assert.equal((await action(id, { 'os-reserve': null })).status, 400)
  assert.equal((await action(id, { 'os-unreserve': null })).status, 202)
  assert.equal(await status(), 'available')
  await action(id, { 'os-reserve': null })
  const { status: code, body } = await action(id, { 'os-initialize_connection': { connector } })
  assert.equal(code, 200)
  assert.equal(body.connection_info.driver_volume_type, 'iscsi')
  assert.equal(body.connection_info.data.auth_password.length, 16)
  assert.equal((await action(id, { 'os-attach': { instance_uuid, mountpoint: '/dev/vdc', mode: 'rw' } })).status, 202)
  assert.equal(await status(), 'in-use')
  assert.equal((await house.show(id)).attachments[0].server_id, instance_uuid)
  assert.equal((await action(id, { 'os-begin_detaching': null })).status, 202)
  assert.equal(await status(), 'detaching')
  await action(id, { 'os-roll_detaching': null })
  assert.equal(await status(), 'in-use')
  await action(id, { 'os-begin_detaching': null })
  assert.equal((await action(id, { 'os-terminate_connection': { connector } })).status, 202)
  assert.ok(!house.storage.exports.has(id))
  assert.equal((await action(id, { 'os-detach': {} })).status, 202)
  assert.equal(await status(), 'available')
})

test('an operator takes a volume in error from a server by force', async () => {
  const { id: volume_uuid } = await house.volume()
  const { attachment } = (
    await house.request('POST', '/attachments', { body: { attachment: { volume_uuid, instance_uuid: randomUUID(), connector } } })
  ).body
  await client.completeAttachment(attachment.id)
  await action(volume_uuid, { 'os-reset_status': { status: 'error' } }, 'admin')
  const body = { 'os-force_detach': { attachment_id: attachment.id, connector: null } }
  assert.equal((await action(volume_uuid, body)).status, 403)
  assert.equal((await action(volume_uuid, body, 'admin')).status, 202)
  const { status, attachments } = await house.show(volume_uuid)
  assert.deepEqual([status, attachments, house.storage.exports.has(volume_uuid)], ['available', [], false])
})

test('a detaching that was cut off is ended', async () => {
  const cut = await volumeHouse({ staleMs: -1000 })
  const { id: volume_uuid } = await cut.volume()
  const made = await cut.request('POST', '/attachments', { body: { attachment: { volume_uuid, instance_uuid: randomUUID(), connector } } })
  const { db } = cut.service.context.database
  await db.updateTable('attachments').set({ status: 'detaching' }).where('id', '=', made.body.attachment.id).execute()
  const { lastChanges } = await cut.service.reconcilers[0]!.settle()
  assert.equal(lastChanges.length, 1)
  assert.equal((await cut.show(volume_uuid)).status, 'available')
  assert.equal(cut.storage.exports.size, 0)
  await cut.close()
})
