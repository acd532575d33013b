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
/** Its disk in the guest. */
async function diskOf(volumeId: string) {
  const { 'OS-EXT-SRV-ATTR:host': name } = await house.rested(id)
  const { xml } = await house.yard.cloud.bus.call(computeTopic(name), host.domainXml, { uuid: id })
  return find(parseXml(xml), 'devices', 'disk').find((disk) => first(disk, 'serial')?.text === volumeId)
}

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
