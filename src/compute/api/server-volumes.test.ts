import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { find, first, parseXml } from '../../drivers/libvirt/xml.ts'
import { computeTopic, host } from '../rpc.ts'
import { eventually } from '../sagas/testing.ts'
import { House } from '../testing.ts'

let house: House
let id: string
before(async () => {
  house = await House.open()
  await house.yard.cloud.api('PUT', `/volume/v3/os-quota-sets/${house.alpha}`, { quota_set: { volumes: -1 } })
  id = (await house.server()).id
})
after(() => house.stop())

const api = (method: string, path: string, body?: object) => house.yard.cloud.api(method, `/volume/v3${path}`, body)
const shown = async (volumeId: string) => (await house.request('GET', `/volume/v3/volumes/${volumeId}`, { as: 'admin' })).body.volume
async function volume(more: object = {}): Promise<string> {
  const made = await house.request('POST', '/volume/v3/volumes', { body: { volume: { size: 1, ...more } } })
  const { status } = await eventually(
    () => shown(made.body.volume.id),
    (now) => now.status === 'available',
  )
  assert.equal(status, 'available')
  return made.body.volume.id
}
async function attach(volumeId: string): Promise<void> {
  const answer = await house.ask('POST', `/servers/${id}/os-volume_attachments`, { body: { volumeAttachment: { volumeId } } })
  assert.equal(answer.status, 200, answer.message)
  await house.rested(id)
}
async function guestDisks() {
  const { 'OS-EXT-SRV-ATTR:host': name } = await house.rested(id)
  const { xml } = await house.yard.cloud.bus.call(computeTopic(name), host.domainXml, { uuid: id })
  return find(parseXml(xml), 'devices', 'disk')
}
const diskOf = async (volumeId: string) => (await guestDisks()).find((disk) => first(disk, 'serial')?.text === volumeId)
const guestDisk = async (device: string) => (await guestDisks()).find((disk) => `/dev/${first(disk, 'target')?.attributes.dev}` === device)

test('a volume is as fast as the QoS specs of its type say, and as they say now after a hard reboot', async () => {
  const { volume_type: type } = await api('POST', '/types', { volume_type: { name: 'limited' } })
  const { qos_specs: qos } = await api('POST', '/qos-specs', {
    qos_specs: { name: 'slow', consumer: 'front-end', total_iops_sec_per_gb: '30', read_bytes_sec: '1048576' },
  })
  await api('GET', `/qos-specs/${qos.id}/associate?vol_type_id=${type.id}`)
  const [limited, free] = [await volume({ volume_type: 'limited', size: 2 }), await volume()]
  await attach(limited)
  await attach(free)
  const limits = async () => first((await diskOf(limited))!, 'iotune')?.children.map(({ name, text }) => `${name} ${text}`)
  assert.deepEqual(await limits(), ['read_bytes_sec 1048576', 'total_iops_sec 60'])
  assert.equal(first((await diskOf(free))!, 'iotune'), undefined)
  await api('PUT', `/qos-specs/${qos.id}`, { qos_specs: { total_iops_sec_per_gb: '40' } })
  assert.equal((await house.ask('POST', `/servers/${id}/action`, { body: { reboot: { type: 'HARD' } } })).status, 202)
  assert.equal((await house.rested(id)).status, 'ACTIVE')
  assert.deepEqual(await limits(), ['read_bytes_sec 1048576', 'total_iops_sec 80'])
})

test('an administrator puts one volume in the place of another below a running server', async () => {
  const [one, two, small] = [await volume({ size: 2 }), await volume({ size: 2 }), await volume()]
  await attach(one)
  const path = `/servers/${id}/os-volume_attachments`
  const put = (from: string, to: string, more: { as?: 'member' | 'admin' | 'stranger'; at?: string; with?: object } = {}) =>
    house.ask('PUT', `${path}/${from}`, {
      as: more.as ?? 'admin',
      at: more.at,
      body: { volumeAttachment: { volumeId: to, ...more.with } },
    })
  const nobodys = '00000000-0000-4000-8000-000000000000'
  const statuses = async (at: string) => {
    const asked = [put(nobodys, two, { at }), put(one, nobodys, { at }), put(one, small, { at }), put(small, two, { at })]
    return (await Promise.all(asked)).map(({ status }) => status)
  }
  assert.deepEqual(await statuses('2.84'), [404, 400, 400, 400])
  assert.deepEqual(await statuses('2.85'), [404, 400, 400, 404])
  for (const at of ['2.1', '2.85']) {
    assert.equal((await put(one, two, { at, as: 'member' })).status, 403)
    assert.equal((await put(one, two, { at, as: 'stranger' })).status, 404)
  }
  assert.equal((await put(one, one)).status, 400, 'a volume that is attached is not free')
  assert.equal((await put(one, two, { at: '2.84', with: { delete_on_termination: true } })).status, 400)

  const attached = async () => (await house.ask('GET', path, { at: '2.89' })).body.volumeAttachments
  const was = (await attached()).find((each: any) => each.volumeId === one)
  const swapped = await put(one, two, { at: '2.85', with: { delete_on_termination: true } })
  assert.deepEqual([swapped.status, swapped.body], [202, undefined], swapped.message)
  await house.rested(id)
  const now = (await attached()).find((each: any) => each.volumeId === two)
  assert.deepEqual([now.device, now.delete_on_termination], [was.device, true])
  assert.equal((await attached()).filter((each: any) => each.volumeId === one).length, 0)
  assert.deepEqual([(await shown(one)).status, (await shown(two)).status], ['available', 'in-use'])
  assert.deepEqual(
    (await shown(two)).attachments.map((each: any) => [each.server_id, each.device]),
    [[id, was.device]],
  )
  assert.deepEqual(first((await guestDisk(was.device))!, 'source')?.attributes.name?.includes(two), true)
  const [action] = (await house.ask('GET', `/servers/${id}/os-instance-actions`)).body.instanceActions
  assert.equal(action.action, 'swap_volume')

  assert.equal((await put(two, one)).status, 202)
  await house.rested(id)
  assert.deepEqual([(await shown(one)).status, (await shown(two)).status], ['in-use', 'available'])
  assert.equal((await house.ask('DELETE', `${path}/${one}`)).status, 202)
  await house.rested(id)
  assert.equal((await shown(one)).status, 'available')
  assert.equal(await guestDisk(was.device), undefined)
})

test('a swap is refused where the server, or who else has the volume, is in the way', async () => {
  await api('POST', '/types', { volume_type: { name: 'shared', extra_specs: { multiattach: '<is> True' } } })
  const [one, two, shared, wanted] = [await volume(), await volume(), await volume({ volume_type: 'shared' }), await volume()]
  await attach(one)
  const put = (server: string, from: string, to: string) =>
    house.ask('PUT', `/servers/${server}/os-volume_attachments/${from}`, { as: 'admin', body: { volumeAttachment: { volumeId: to } } })
  const other = (await house.server()).id
  for (const server of [id, other]) {
    const body = { volumeAttachment: { volumeId: shared } }
    assert.equal((await house.ask('POST', `/servers/${server}/os-volume_attachments`, { body, at: '2.60' })).status, 200)
    await house.rested(server)
  }
  const refused = await put(id, shared, wanted)
  assert.deepEqual([refused.status, /more than one read\/write/.test(refused.message)], [400, true])
  assert.equal((await put(other, one, two)).status, 400)
  await house.remove(other)
  assert.equal((await put(id, shared, wanted)).status, 202, 'nobody else has it any more')
  await house.rested(id)
  assert.equal((await shown(wanted)).status, 'in-use')

  assert.equal((await house.ask('POST', `/servers/${id}/action`, { body: { 'os-stop': null } })).status, 202)
  await house.rested(id)
  assert.equal((await put(id, one, two)).status, 409)
  assert.deepEqual([(await shown(one)).status, (await shown(two)).status], ['in-use', 'available'])
})

test('also the volume that a server boots from, and while it is paused', async () => {
  const boot = { source_type: 'image', destination_type: 'volume', uuid: house.yard.imageId, boot_index: 0, volume_size: 1 }
  const rooted = await house.server({ imageRef: '', block_device_mapping_v2: [{ ...boot, delete_on_termination: true }] })
  const [{ id: root }] = rooted['os-extended-volumes:volumes_attached']
  const other = await volume()
  const act = (body: object) => house.ask('POST', `/servers/${rooted.id}/action`, { body })
  await act({ pause: null })
  await house.rested(rooted.id)
  const body = { volumeAttachment: { volumeId: other } }
  assert.equal((await house.ask('PUT', `/servers/${rooted.id}/os-volume_attachments/${root}`, { as: 'admin', body })).status, 202)
  const now = await house.rested(rooted.id)
  assert.deepEqual([now.status, now['os-extended-volumes:volumes_attached']], ['PAUSED', [{ id: other, delete_on_termination: true }]])
  await act({ unpause: null })
  await house.rested(rooted.id)
  await act({ reboot: { type: 'HARD' } })
  assert.equal((await house.rested(rooted.id)).status, 'ACTIVE')
  assert.deepEqual([(await shown(root)).status, (await shown(other)).status], ['available', 'in-use'])
  await house.remove(rooted.id)
})
