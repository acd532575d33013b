import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type VolumeHouse, volumeHouse } from '../testing.ts'

let house: VolumeHouse
before(async () => {
  house = await volumeHouse()
})
after(() => house.close())

const make = async (name: string, more = {}) =>
  (await house.request('POST', '/qos-specs', { body: { qos_specs: { name, ...more } } })).body.qos_specs
const typeOf = async (name: string) => (await house.request('POST', '/types', { body: { volume_type: { name } } })).body.volume_type
const get = (path: string, query?: Record<string, string>) => house.request('GET', path, { query })

test('QoS specs are made, changed, listed and go', async () => {
  const made = await make('slow', { total_iops_sec: '100' })
  assert.deepEqual([made.consumer, made.specs], ['back-end', { total_iops_sec: '100' }])
  const status = async (qos_specs: object) => (await house.request('POST', '/qos-specs', { body: { qos_specs } })).status
  assert.deepEqual([await status({ name: 'slow' }), await status({ name: 'x', consumer: 'nobody' }), await status({})], [409, 400, 400])
  const put = await house.request('PUT', `/qos-specs/${made.id}`, { body: { qos_specs: { consumer: 'both', read_iops_sec: '5' } } })
  assert.deepEqual(put.body.qos_specs, { consumer: 'both', read_iops_sec: '5' })
  const drop = async (keys: string[]) => (await house.request('PUT', `/qos-specs/${made.id}/delete_keys`, { body: { keys } })).status
  assert.deepEqual([await drop(['total_iops_sec']), await drop(['total_iops_sec'])], [202, 400])
  const shown = { id: made.id, name: 'slow', consumer: 'both', specs: { read_iops_sec: '5' } }
  assert.deepEqual((await get('/qos-specs')).body.qos_specs, [shown])
  assert.equal((await house.request('DELETE', `/qos-specs/${made.id}`)).status, 202)
  assert.equal((await get(`/qos-specs/${made.id}`)).status, 404)
})

test('a type has one; the connection says what is for the front end', async () => {
  const [fast, other] = [await make('fast', { consumer: 'front-end', total_iops_sec: '9' }), await make('other')]
  const type = await typeOf('quick')
  const link = async (id: string, verb: string) => (await get(`/qos-specs/${id}/${verb}`, { vol_type_id: type.id })).status
  assert.deepEqual([await link(fast.id, 'associate'), await link(fast.id, 'associate'), await link(other.id, 'associate')], [202, 202, 400])
  assert.equal((await get(`/qos-specs/${fast.id}/associate`)).status, 400)
  assert.deepEqual((await get(`/qos-specs/${fast.id}/associations`)).body.qos_associations, [
    { association_type: 'volume_type', id: type.id, name: 'quick' },
  ])
  assert.equal((await get(`/types/${type.id}`)).body.volume_type.qos_specs_id, fast.id)
  assert.equal((await house.request('DELETE', `/qos-specs/${fast.id}`)).status, 400)
  const volume = await house.volume({ volume_type: 'quick' })
  const attachment = { volume_uuid: volume.id, instance_uuid: volume.id, connector: { host: 'h' } }
  const { body } = await house.request('POST', '/attachments', { as: 'member', body: { attachment } })
  assert.deepEqual(body.attachment.connection_info.qos_specs, { total_iops_sec: '9' })
  assert.equal(await link(fast.id, 'disassociate'), 202)
  assert.equal((await get(`/qos-specs/${fast.id}/disassociate_all`)).status, 202)
  assert.equal((await house.request('DELETE', `/qos-specs/${fast.id}`, { query: { force: 'true' } })).status, 202)
  assert.equal((await get(`/types/${type.id}`)).body.volume_type.qos_specs_id, null)
})

test('rates that are said for each GiB are those of the volume in its connection', async () => {
  const specs = {
    total_iops_sec_per_gb: '30',
    read_bytes_sec_per_gb: '10',
    read_bytes_sec_per_gb_min: '100',
    write_bytes_sec_per_gb: '1000',
    write_bytes_sec_max: '1500',
    write_iops_sec_max: '7',
  }
  const qos = await make('by size', { consumer: 'both', ...specs })
  const type = await typeOf('sized')
  await get(`/qos-specs/${qos.id}/associate`, { vol_type_id: type.id })
  const volume = await house.volume({ volume_type: 'sized', size: 2 })
  const attachment = { volume_uuid: volume.id, instance_uuid: volume.id, connector: { host: 'h' } }
  const attach = () => house.request('POST', '/attachments', { as: 'member', body: { attachment } })
  assert.deepEqual((await attach()).body.attachment.connection_info.qos_specs, {
    total_iops_sec: '60',
    read_bytes_sec: '100',
    write_bytes_sec: '1500',
    write_iops_sec_max: '7',
  })
  await house.request('PUT', `/qos-specs/${qos.id}`, { body: { qos_specs: { total_iops_sec_per_gb: 'many' } } })
  const refused = await attach()
  assert.deepEqual([refused.status, /total_iops_sec_per_gb="many"/.test(JSON.stringify(refused.body).replaceAll('\\', ''))], [400, true])
})

test('capabilities of a back end, with and without its pool', async () => {
  for (const host of ['host@lvm', encodeURIComponent('host@lvm#group')]) {
    const { status, body } = await get(`/capabilities/${host}`)
    assert.deepEqual([status, body.storage_protocol, body.namespace], [200, 'iSCSI', 'OS::Storage::Capabilities::host@lvm'])
  }
  assert.equal((await get('/capabilities/nobody')).status, 404)
})

test('who makes a snapshot outside says how far it is', async () => {
  const volume = await house.volume()
  const { id } = (await house.request('POST', '/snapshots', { as: 'member', body: { snapshot: { volume_id: volume.id } } })).body.snapshot
  await house.idle()
  const act = async (body: object, as?: string) => (await house.request('POST', `/snapshots/${id}/action`, { as, body })).status
  const told = { 'os-update_snapshot_status': { status: 'error', progress: '80%' } }
  assert.equal(await act(told, 'member'), 400)
  await act({ 'os-reset_status': { status: 'creating' } })
  assert.equal(await act({ 'os-update_snapshot_status': { status: 'deleting' } }, 'member'), 400)
  assert.equal(await act(told, 'member'), 202)
  const { snapshot } = (await get(`/snapshots/${id}`)).body
  assert.deepEqual([snapshot.status, snapshot['os-extended-snapshot-attributes:progress']], ['error', '80%'])
})
