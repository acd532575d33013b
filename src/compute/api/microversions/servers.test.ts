import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { type Ask, both, inOneHouse } from './testing.ts'

/** What microversions changed of how servers are made, shown and listed. */

let id: string
const here = inOneHouse({
  async prepare(house) {
    id = (await house.server({ tags: ['red'], description: 'd' })).id
  },
})
const { microversion } = here

const show = async (ask: Ask, asking = {}) => (await ask('GET', `/servers/${id}`, asking)).body.server
/** At which of the two a server's document has an attribute. */
const shown = async (attribute: string, before: Ask, at: Ask, asking = {}) => [
  attribute in (await show(before, asking)),
  attribute in (await show(at, asking)),
]
/** Statuses of making a server with something of its own; what was made goes again. */
async function made(before: Ask, at: Ask, own: object): Promise<[number, number]> {
  const one = async (ask: Ask) => {
    const { status, body } = await ask('POST', '/servers', { body: here.house.wish(own) })
    if (status === 202) {
      await here.house.rested(body.server.id)
      await here.house.remove(body.server.id)
    }
    return status
  }
  return [await one(before), await one(at)]
}
const names = (answer: { body: any }) => answer.body.servers.map((one: any) => one.id)

microversion('2.3', 'operators see a server’s reservation, host name and user data', async (before, at) => {
  for (const name of ['reservation_id', 'launch_index', 'hostname', 'kernel_id', 'ramdisk_id', 'root_device_name', 'user_data'])
    assert.deepEqual(await shown(`OS-EXT-SRV-ATTR:${name}`, before, at), [false, true], name)
})
microversion('2.5', 'everybody may list by IPv6 address', async (before, at) => {
  const asked = (ask: Ask) => ask('GET', '/servers?ip6=fd00::1', { as: 'member' })
  assert.deepEqual([names(await asked(before)), names(await asked(at))], [[id], []])
})
microversion('2.9', 'a server shows whether it is locked', async (before, at) =>
  assert.deepEqual(await shown('locked', before, at), [false, true]),
)
microversion('2.16', 'operators see the state of a server’s host', async (before, at) => {
  assert.deepEqual(await shown('host_status', before, at), [false, true])
  assert.deepEqual(await shown('host_status', before, at, { as: 'member' }), [false, false])
})
microversion('2.19', 'servers have a description', async (before, at) => {
  assert.deepEqual(await shown('description', before, at), [false, true])
  assert.deepEqual(await both('PUT', `/servers/${id}`, before, at, { server: { description: 'e' } }), [400, 200])
  assert.deepEqual(await made(before, at, { description: 'mine' }), [400, 202])
})
microversion('2.26', 'servers have tags and are found by them', async (before, at) => {
  assert.deepEqual(await shown('tags', before, at), [false, true])
  assert.deepEqual(await both('GET', `/servers/${id}/tags`, before, at), [404, 200])
  const found = async (ask: Ask, query: string) => names(await ask('GET', `/servers?${query}`, { as: 'member' }))
  for (const query of ['tags=blue', 'tags-any=blue,green', 'not-tags=red', 'not-tags-any=red,blue'])
    assert.deepEqual([await found(before, query), await found(at, query)], [[id], []], query)
  for (const query of ['tags=red', 'tags-any=red,blue', 'not-tags=red,blue', 'not-tags-any=blue'])
    assert.deepEqual(await found(at, query), [id], query)
})
microversion('2.32', 'cards and disks may have a tag', async (before, at) => {
  const networks = [{ uuid: here.house.yard.networkId, tag: 'nic' }]
  assert.deepEqual(await made(before, at, { networks }), [400, 202])
})
microversion('2.33', 'no longer may a disk have a tag', async (before, at) => {
  const block_device_mapping_v2 = [{ source_type: 'volume', uuid: randomUUID(), tag: 'disk' }]
  const refused = async (ask: Ask) =>
    /'tag' was unexpected/.test((await ask('POST', '/servers', { body: here.house.wish({ block_device_mapping_v2 }) })).message)
  assert.deepEqual([await refused(before), await refused(at)], [false, true])
})
microversion('2.37', 'whoever makes a server says on which networks, or auto, or none', async (before, at) => {
  assert.deepEqual(await made(before, at, { networks: undefined }), [202, 400])
  assert.deepEqual(await made(before, at, { networks: 'none' }), [400, 202])
})
microversion('2.38', 'a list by a status that there is not is refused', async (before, at) =>
  assert.deepEqual(await both('GET', '/servers?status=SLEEPY', before, at), [200, 400]),
)
microversion('2.42', 'cards and disks may have a tag again', async (before, at) => {
  const networks = [{ uuid: here.house.yard.networkId, tag: 'nic' }]
  assert.deepEqual(await made(before, at, { networks }), [400, 202])
})
microversion('2.47', 'a server shows its flavor, as it was when it was made', async (before, at) => {
  assert.deepEqual(Object.keys((await show(before)).flavor), ['id', 'links'])
  assert.ok('original_name' in (await show(at)).flavor)
})
microversion('2.52', 'a server may be made with tags', async (before, at) =>
  assert.deepEqual(await made(before, at, { tags: ['blue'] }), [400, 202]),
)
microversion('2.57', 'no files are put into a server when it is made', async (before, at) => {
  const personality = [{ path: '/etc/motd', contents: Buffer.from('hello').toString('base64') }]
  assert.deepEqual(await made(before, at, { personality }), [202, 400])
})
microversion('2.63', 'a server may name the certificates of its image’s signers', async (before, at) => {
  assert.deepEqual(await shown('trusted_image_certificates', before, at), [false, true])
  assert.deepEqual((await made(before, at, { trusted_image_certificates: [] }))[0], 400)
  const { message } = await before('POST', '/servers', { body: here.house.wish({ trusted_image_certificates: ['one'] }) })
  assert.match(message, /'trusted_image_certificates' was unexpected/)
})
microversion('2.66', 'servers are listed up to a time of change', async (before, at) => {
  const asked = (ask: Ask) => ask('GET', '/servers?changes-before=2001-01-01T00:00:00Z', { as: 'member' })
  assert.deepEqual([names(await asked(before)).length > 0, names(await asked(at))], [true, []])
})
microversion('2.67', 'a volume that is made for a server may be of a type', async (before, at) => {
  const own = (volume_type: string) => ({
    imageRef: '',
    block_device_mapping_v2: [
      {
        source_type: 'image',
        destination_type: 'volume',
        boot_index: 0,
        volume_size: 1,
        uuid: here.house.yard.imageId,
        volume_type,
        delete_on_termination: true,
      },
    ],
  })
  assert.deepEqual(await made(before, at, own('__DEFAULT__')), [400, 202])
  const odd = await at('POST', '/servers', { body: here.house.wish(own('of-glass')) })
  assert.equal((await here.house.rested(odd.body.server.id)).status, 'ERROR', 'the type is asked for')
  await here.house.remove(odd.body.server.id)
})
microversion('2.71', 'a server shows its group', async (before, at) =>
  assert.deepEqual(await shown('server_groups', before, at), [false, true]),
)
microversion('2.73', 'a lock has a reason, and servers are listed by their lock', async (before, at) => {
  assert.deepEqual(await shown('locked_reason', before, at), [false, true])
  const asked = async (ask: Ask) => names(await ask('GET', '/servers?locked=true', { as: 'member' }))
  assert.deepEqual([await asked(before), await asked(at)], [[id], []])
})
microversion('2.74', 'operators may name a host for a new server without naming a zone', async (before, at) => {
  const { 'OS-EXT-SRV-ATTR:host': host } = await show(at)
  assert.deepEqual(await made(before, at, { host }), [400, 202])
  assert.deepEqual(await made(before, at, { hypervisor_hostname: 'nowhere' }), [400, 400])
})
microversion('2.75', 'unknown queries are refused; a changed server is shown in full', async (before, at) => {
  assert.deepEqual(await both('GET', '/servers?colour=red', before, at), [200, 400])
  const changed = async (ask: Ask) => 'OS-EXT-STS:vm_state' in (await ask('PUT', `/servers/${id}`, { body: { server: {} } })).body.server
  assert.deepEqual([await changed(before), await changed(at)], [false, true])
})
microversion('2.83', 'everybody may list by zone, key, configuration drive and states', async (before, at) => {
  const asked = async (ask: Ask, query: string) => names(await ask('GET', `/servers?${query}`, { as: 'member' }))
  for (const query of ['availability_zone=moon', 'key_name=none', 'config_drive=true', 'vm_state=paused', 'user_id=nobody'])
    assert.deepEqual([await asked(before, query), await asked(at, query)], [[id], []], query)
})
microversion('2.90', 'a server has the host name that its user gives it', async (before, at) => {
  assert.deepEqual(await shown('OS-EXT-SRV-ATTR:hostname', before, at, { as: 'member' }), [false, true])
  assert.deepEqual(await both('PUT', `/servers/${id}`, before, at, { server: { hostname: 'two' } }), [400, 200])
  assert.deepEqual(await made(before, at, { hostname: 'three' }), [400, 202])
})
microversion('2.93', 'a server that boots from a volume is rebuilt with another image', async (before, at) => {
  const { house } = here
  const imageId = await house.yard.image('another system')
  const server = await house.server(house.yard.onVolume())
  const path = `/servers/${server.id}/action`
  const refused = await before('POST', path, { body: { rebuild: { imageRef: imageId } } })
  assert.deepEqual(
    [refused.status, refused.message],
    [400, `Image ${imageId} is unacceptable: Unable to rebuild with a different image for a volume-backed server.`],
  )
  const volumeOf = async () => {
    const [{ id: volumeId }] = server['os-extended-volumes:volumes_attached']
    return (await house.request('GET', `/volume/v3/volumes/${volumeId}`)).body.volume
  }
  const rebuilt = async (ask: Ask, imageRef: string) => {
    const answer = await ask('POST', path, { body: { rebuild: { imageRef } } })
    const { status, image } = await house.rested(server.id)
    const { status: volume, volume_image_metadata: remembered } = await volumeOf()
    return [answer.status, answer.body.server.image, status, image, volume, remembered.image_id]
  }
  assert.deepEqual(await rebuilt(before, house.yard.imageId), [202, '', 'ACTIVE', '', 'in-use', house.yard.imageId], 'as it is')
  assert.deepEqual(await rebuilt(at, imageId), [202, '', 'ACTIVE', '', 'in-use', imageId])
  assert.deepEqual(
    await both('POST', '/os-server-external-events', before, at, { events: [{ server_uuid: id, name: 'volume-reimaged' }] }),
    [400, 200],
  )
  await house.remove(server.id)
})

test('a microversion that there is not is refused', async () => {
  assert.equal((await here.house.ask('GET', `/servers/${randomUUID()}`, { at: '2.94' })).status, 406)
})
