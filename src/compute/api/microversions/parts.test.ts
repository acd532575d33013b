import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { eventually } from '../../sagas/testing.ts'
import { type Ask, both, inOneHouse } from './testing.ts'

/** What microversions changed of what is done to a server, and of what hangs on it. */

let id: string
const here = inOneHouse({
  async prepare(house) {
    id = (await house.server()).id
  },
})
const { microversion } = here

const act = (ask: Ask, action: string, body: unknown = null) => ask('POST', `/servers/${id}/action`, { body: { [action]: body } })
/** Whether a body has what its microversion does not know. */
const unknown = async (ask: Ask, path: string, body: unknown) => /was unexpected/.test((await ask('POST', path, { body })).message)

microversion('2.6', 'consoles are asked for in one way', async (before, at) => {
  const body = { remote_console: { protocol: 'vnc', type: 'novnc' } }
  assert.deepEqual(await both('POST', `/servers/${id}/remote-consoles`, before, at, body), [404, 200])
  assert.deepEqual(
    [(await act(before, 'os-getVNCConsole', { type: 'novnc' })).status, (await act(at, 'os-getVNCConsole', { type: 'novnc' })).status],
    [200, 404],
  )
})
microversion('2.8', 'a console may be an mks one', async (before, at) => {
  const asked = async (ask: Ask) =>
    (await ask('POST', `/servers/${id}/remote-consoles`, { body: { remote_console: { protocol: 'mks', type: 'webmks' } } })).message
  assert.match(await asked(before), /'mks' is not one of/)
  assert.match(await asked(at), /no mks console/)
})
microversion('2.14', 'an evacuation finds out for itself whether storage is shared', async (before, at) => {
  assert.match((await act(before, 'evacuate', {})).message, /'onSharedStorage' is a required property/)
  assert.match((await act(at, 'evacuate', { onSharedStorage: 'False' })).message, /'onSharedStorage' was unexpected/)
})
microversion('2.17', 'a guest’s kernel may be made to dump its memory', async (before, at) => {
  assert.deepEqual([(await act(before, 'trigger_crash_dump')).status, (await act(at, 'trigger_crash_dump')).status], [404, 202])
  const { instanceActions } = (await at('GET', `/servers/${id}/os-instance-actions`)).body
  assert.equal(instanceActions[0].action, 'trigger_crash_dump')
  await act(at, 'os-stop').then(() => here.house.rested(id))
  assert.equal((await act(at, 'trigger_crash_dump')).status, 409)
  await act(at, 'os-start').then(() => here.house.rested(id))
})
microversion('2.20', 'volumes come and go while a server is shelved', async (before, at) => {
  const { db } = here.house.yard.context.database
  const become = (vm_state: 'shelved' | 'active') => db.updateTable('instances').set({ vm_state }).where('id', '=', id).execute()
  await become('shelved')
  const path = `/servers/${id}/os-volume_attachments`
  const volumeId = randomUUID()
  assert.deepEqual(await both('POST', path, before, at, { volumeAttachment: { volumeId } }), [409, 404])
  assert.deepEqual(await both('DELETE', `${path}/${volumeId}`, before, at), [409, 404])
  await become('active')
})
microversion('2.21', 'what was done to a server outlives it', async (before, at) => {
  const gone = (await here.house.server()).id
  await here.house.remove(gone)
  assert.deepEqual(await both('GET', `/servers/${gone}/os-instance-actions`, before, at), [404, 200])
})
microversion('2.22', 'a live migration may be told to come to its end', async (before, at) =>
  assert.deepEqual(
    [
      await before('POST', `/servers/${id}/migrations/1/action`, { body: { force_complete: null } }),
      await at('POST', `/servers/${id}/migrations/1/action`, { body: { force_complete: null } }),
    ].map(({ message }) => /Migration 1 not found/.test(message)),
    [false, true],
  ),
)
microversion('2.23', 'the live migrations of a server are listed', async (before, at) =>
  assert.deepEqual(await both('GET', `/servers/${id}/migrations`, before, at), [404, 200]),
)
microversion('2.24', 'a live migration may be broken off', async (before, at) =>
  assert.deepEqual(
    [await before('DELETE', `/servers/${id}/migrations/1`), await at('DELETE', `/servers/${id}/migrations/1`)].map(({ message }) =>
      /Migration 1 not found/.test(message),
    ),
    [false, true],
  ),
)
microversion('2.25', 'a live migration finds out for itself what must be copied', async (before, at) => {
  const live = (ask: Ask, own: object) => act(ask, 'os-migrateLive', { host: 'nowhere', ...own })
  assert.match((await live(before, { block_migration: 'auto', disk_over_commit: false })).message, /'auto' is not one of/)
  assert.match((await live(before, { block_migration: true })).message, /'disk_over_commit' is a required property/)
  assert.match((await live(at, { block_migration: 'auto', disk_over_commit: false })).message, /'disk_over_commit' was unexpected/)
  assert.doesNotMatch((await live(at, { block_migration: 'auto' })).message, /Invalid input/)
})
microversion('2.29', 'an evacuation may be forced past the scheduler', async (before, at) => {
  const path = `/servers/${id}/action`
  const body = { evacuate: { host: 'nowhere', force: true } }
  assert.deepEqual([await unknown(before, path, body), await unknown(at, path, body)], [true, false])
})
microversion('2.30', 'a live migration may be forced past the scheduler', async (before, at) => {
  const path = `/servers/${id}/action`
  const body = { 'os-migrateLive': { host: 'nowhere', block_migration: 'auto', force: true } }
  assert.deepEqual([await unknown(before, path, body), await unknown(at, path, body)], [true, false])
})
microversion('2.31', 'a proxy learns where any kind of console token leads', async (before, at) => {
  const { url } = (await at('POST', `/servers/${id}/remote-consoles`, { body: { remote_console: { protocol: 'vnc', type: 'novnc' } } }))
    .body.remote_console
  const path = `/os-console-auth-tokens/${/token=([\w-]+)/.exec(new URL(url).searchParams.get('path')!)![1]}`
  assert.deepEqual(await both('GET', path, before, at), [401, 200])
  assert.equal((await at('GET', path)).body.console.instance_uuid, id)
  assert.equal((await at('GET', path, { as: 'member' })).status, 403)
  assert.equal((await at('GET', '/os-console-auth-tokens/none')).status, 404)
})
microversion('2.44', 'floating IPs are bound by the network service', async (before, at) => {
  const tried = async (ask: Ask) => (await act(ask, 'addFloatingIp', { address: '192.0.2.1' })).message
  assert.match(await tried(before), /floating IP not found/)
  assert.match(await tried(at), /resource could not be found/)
})
microversion('2.45', 'the new image’s id is in the answer', async (before, at) => {
  const old = await act(before, 'createImage', { name: 'old' })
  await here.house.rested(id)
  const now = await act(at, 'createImage', { name: 'new' })
  await here.house.rested(id)
  assert.deepEqual([old.body, typeof old.headers.location], [undefined, 'string'])
  assert.deepEqual([typeof now.body.image_id, now.headers.location], ['string', undefined])
})
microversion('2.48', 'diagnostics have the same words for every hypervisor', async (before, at) => {
  const counted = async (ask: Ask) => (await ask('GET', `/servers/${id}/diagnostics`)).body
  const [old, now] = [await counted(before), await counted(at)]
  assert.ok('cpu0_time' in old && 'vda_read' in old && 'memory' in old, JSON.stringify(old))
  assert.ok('cpu_details' in now && !('name' in now.disk_details[0]), JSON.stringify(now))
})
microversion('2.49', 'what is attached may have a tag', async (before, at) => {
  const volume = { volumeAttachment: { volumeId: randomUUID(), tag: 'data' } }
  const port = { interfaceAttachment: { port_id: randomUUID(), tag: 'nic' } }
  for (const [path, body] of [
    [`/servers/${id}/os-volume_attachments`, volume],
    [`/servers/${id}/os-interface`, port],
  ] as const)
    assert.deepEqual([await unknown(before, path, body), await unknown(at, path, body)], [true, false])
})
/** A rebuild that is refused for something else when it is not refused for what it says. */
const rebuild = (own: object) => ({ rebuild: { imageRef: randomUUID(), ...own } })
microversion('2.54', 'a rebuilt server may have another key', async (before, at) => {
  const path = `/servers/${id}/action`
  assert.deepEqual(
    [await unknown(before, path, rebuild({ key_name: null })), await unknown(at, path, rebuild({ key_name: null }))],
    [true, false],
  )
})
microversion('2.56', 'a cold migration may name its host', async (before, at) => {
  const path = `/servers/${id}/action`
  const body = { migrate: { host: 'nowhere' } }
  assert.deepEqual([await unknown(before, path, body), await unknown(at, path, body)], [true, false])
})
microversion('2.57', 'a rebuilt server may have other user data, and no files', async (before, at) => {
  const path = `/servers/${id}/action`
  assert.deepEqual(
    [await unknown(before, path, rebuild({ user_data: null })), await unknown(at, path, rebuild({ user_data: null }))],
    [true, false],
  )
  assert.deepEqual(
    [await unknown(before, path, rebuild({ personality: [] })), await unknown(at, path, rebuild({ personality: [] }))],
    [false, true],
  )
})
microversion('2.58', 'actions come in pages and by time, and say when they changed', async (before, at) => {
  const list = async (ask: Ask, query: string) => (await ask('GET', `/servers/${id}/os-instance-actions${query}`)).body
  assert.deepEqual(
    [(await list(before, '?limit=1')).instanceActions.length > 1, (await list(at, '?limit=1')).instanceActions.length],
    [true, 1],
  )
  const { instanceActions, links } = await list(at, '?limit=1')
  assert.match(links[0].href, new RegExp(`marker=${instanceActions[0].request_id}`))
  assert.notEqual(
    (await list(at, `?limit=1&marker=${instanceActions[0].request_id}`)).instanceActions[0].request_id,
    instanceActions[0].request_id,
  )
  assert.deepEqual((await list(at, '?changes-since=2999-01-01T00:00:00Z')).instanceActions, [])
  assert.deepEqual([(await list(before, '')).instanceActions[0].updated_at, typeof instanceActions[0].updated_at], [undefined, 'string'])
  assert.equal((await at('GET', `/servers/${id}/os-instance-actions?marker=none`)).status, 400)
})
microversion('2.60', 'a volume that several servers may have can be attached', async (before, at) => {
  const { api } = here.house.yard.cloud
  await api('POST', '/volume/v3/types', { volume_type: { name: 'shared', extra_specs: { multiattach: '<is> True' } } })
  const { volume } = await api('POST', '/volume/v3/volumes', { volume: { size: 1, volume_type: 'shared' } })
  await eventually(
    async () => (await api('GET', `/volume/v3/volumes/${volume.id}`)).volume,
    (now) => now.status === 'available',
  )
  const body = { volumeAttachment: { volumeId: volume.id } }
  assert.deepEqual(await both('POST', `/servers/${id}/os-volume_attachments`, before, at, body), [400, 200])
  await here.house.rested(id)
})
microversion('2.62', 'an action’s steps say on which host they were', async (before, at) => {
  const actions = (await at('GET', `/servers/${id}/os-instance-actions`)).body.instanceActions
  const { request_id } = actions.find((one: any) => one.action === 'create')
  const step = async (ask: Ask, as: 'admin' | 'member') =>
    (await ask('GET', `/servers/${id}/os-instance-actions/${request_id}`, { as })).body.instanceAction.events[0]
  const [old, now, theirs] = [await step(before, 'admin'), await step(at, 'admin'), await step(at, 'member')]
  assert.deepEqual(
    ['host' in old, 'hostId' in old, typeof now.host, now.hostId.length, 'host' in theirs],
    [false, false, 'string', 56, false],
  )
  assert.equal(theirs.hostId, (await at('GET', `/servers/${id}`)).body.server.hostId)
})
microversion('2.66', 'actions are listed up to a time', async (before, at) => {
  const list = async (ask: Ask) =>
    (await ask('GET', `/servers/${id}/os-instance-actions?changes-before=2001-01-01T00:00:00Z`)).body.instanceActions.length
  assert.deepEqual([(await list(before)) > 0, await list(at)], [true, 0])
})
microversion('2.68', 'no migration is forced past the scheduler any more', async (before, at) => {
  const path = `/servers/${id}/action`
  for (const body of [
    { evacuate: { host: 'nowhere', force: true } },
    { 'os-migrateLive': { host: 'nowhere', block_migration: 'auto', force: true } },
  ])
    assert.deepEqual([await unknown(before, path, body), await unknown(at, path, body)], [false, true])
})
microversion('2.77', 'a shelved server may come back in another zone', async (before, at) => {
  const path = `/servers/${id}/action`
  const body = { unshelve: { availability_zone: 'nova' } }
  assert.deepEqual([await unknown(before, path, body), await unknown(at, path, body)], [true, false])
})
microversion('2.78', 'a server shows its NUMA nodes', async (before, at) => {
  assert.deepEqual(await both('GET', `/servers/${id}/topology`, before, at), [404, 200])
  assert.deepEqual((await at('GET', `/servers/${id}/topology`)).body, { nodes: [], pagesize_kb: null })
})
microversion('2.84', 'operators read what went wrong in a step', async (before, at) => {
  const actions = (await at('GET', `/servers/${id}/os-instance-actions`)).body.instanceActions
  const { request_id } = actions.find((one: any) => one.action === 'create')
  const step = async (ask: Ask) => (await ask('GET', `/servers/${id}/os-instance-actions/${request_id}`)).body.instanceAction.events[0]
  assert.deepEqual(['details' in (await step(before)), 'details' in (await step(at))], [false, true])
})
microversion('2.87', 'a server that boots from a volume may be rescued', async (before, at) => {
  const disk = { source_type: 'image', destination_type: 'volume', boot_index: 0, volume_size: 1, uuid: here.house.yard.imageId }
  const { id: booted } = await here.house.server({ imageRef: '', block_device_mapping_v2: [{ ...disk, delete_on_termination: true }] })
  const body = { rescue: { rescue_image_ref: here.house.yard.imageId } }
  const path = `/servers/${booted}/action`
  assert.deepEqual(await both('POST', path, before, at, body), [400, 200])
  assert.equal((await here.house.rested(booted)).status, 'RESCUE')
  await here.house.remove(booted)
})
microversion('2.91', 'a shelved server may come back on a host that is named', async (before, at) => {
  const path = `/servers/${id}/action`
  const body = { unshelve: { host: 'nowhere' } }
  assert.deepEqual([await unknown(before, path, body), await unknown(at, path, body)], [true, false])
})
