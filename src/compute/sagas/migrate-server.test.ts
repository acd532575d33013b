import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Saga } from '../../kernel/saga/saga.ts'
import { sagaTests } from '../../kernel/saga/testing.ts'
import { changeMigration } from '../app/migration.ts'
import { findInstance, updateInstance } from '../db/instances.ts'
import { COMPUTE_CONTROL, computeTopic, control, host } from '../rpc.ts'
import { liveMigrateServer } from './live-migrate-server.ts'
import { confirmMigration, migrateServer, revertMigration } from './migrate-server.ts'
import { type Case, recorded, worldOf, Yard } from './testing.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open({ hosts: 2 })
})
after(() => yard.cloud.stop())

const row = async (id: string) => (await findInstance(yard.context.database.db, id))!
const act = (id: string, body: object, version = '2.93') =>
  yard.cloud.api('POST', `/compute/v2.1/servers/${id}/action`, body, { 'openstack-api-version': `compute ${version}` })
const get = (path: string, version = '2.93') =>
  yard.cloud.api('GET', `/compute/v2.1${path}`, undefined, { 'openstack-api-version': `compute ${version}` })

async function migrated(at: Yard, id: string) {
  await at.cloud.api('POST', `/compute/v2.1/servers/${id}/action`, { migrate: null })
  await at.settled()
  const { migrations } = await get(`/os-migrations?instance_uuid=${id}`)
  return { migrationId: migrations[0].uuid }
}

const cases: [saga: Saga<any>, one: Omit<Case, 'kind'>][] = [
  [
    migrateServer,
    {
      status: 'VERIFY_RESIZE',
      failed: ['ACTIVE', 'SHUTOFF'],
      input: async (at, id) => ({ migrationId: await recorded(at, id, 'migration'), target: null }),
    },
  ],
  [confirmMigration, { status: 'ACTIVE', failed: ['ERROR'], input: migrated }],
  [revertMigration, { status: 'ACTIVE', failed: ['ERROR'], input: migrated }],
  [
    liveMigrateServer,
    {
      status: 'ACTIVE',
      input: async (at, id) => ({ migrationId: await recorded(at, id, 'live-migration'), target: null, blockMigration: 'auto' }),
    },
  ],
]

/** As after shelving: what its disk stands on is an image that is not there any more. */
async function withoutImage(id: string): Promise<void> {
  const { request_json: json } = await row(id)
  const request = JSON.parse(json)
  const baseImage = { ...request.image, id: randomUUID(), hashValue: null, checksum: null }
  await updateInstance(yard.context.database.db, id, { request_json: JSON.stringify({ ...request, baseImage }) })
}

describe('without its image', () => {
  for (const [saga, one] of cases.filter(([{ kind }]) => kind.includes('migrate-server')))
    sagaTests({
      saga,
      service: 'compute',
      world: worldOf(() => yard, {
        kind: saga.kind,
        ...one,
        async input(at, id) {
          await withoutImage(id)
          return await one.input(at, id)
        },
      }),
    })
})

for (const [saga, one] of cases) sagaTests({ saga, service: 'compute', world: worldOf(() => yard, { kind: saga.kind, ...one }) })

const portsOf = async (id: string) =>
  (await yard.context.networks.ports({ device_id: id })).map((port: any) => [port.id, port.fixed_ips, port['binding:host_id'], port.status])

test('a server goes to another host and back, or stays there; its ports go with it', async () => {
  const id = await yard.server()
  const source = (await row(id)).host!
  const other = source === 'node1' ? 'node2' : 'node1'
  const [[port, addresses]] = (await portsOf(id)) as [[string, unknown]]
  await assert.rejects(act(id, { migrate: { host: source } }), /400.*current host/)
  await assert.rejects(act(id, { migrate: { host: 'nowhere' } }), /400.*nowhere could not be found/)
  await assert.rejects(act(id, { migrate: { host: other } }, '2.55'), /400.*'host' was unexpected/)

  await act(id, { migrate: { host: other } })
  await yard.settled()
  assert.deepEqual([(await row(id)).host, (await row(id)).vm_state], [other, 'resized'])
  assert.deepEqual(await portsOf(id), [[port, addresses, other, 'ACTIVE']])
  const [migration] = (await get(`/os-migrations?instance_uuid=${id}`)).migrations
  assert.deepEqual(
    [migration.migration_type, migration.status, migration.source_compute, migration.dest_compute],
    ['migration', 'finished', source, other],
  )
  const holders = Object.keys((await yard.context.placement.allocations(migration.uuid)).allocations)
  assert.equal(holders.length, 1, 'the place that was left is kept')
  await act(id, { revertResize: null })
  await yard.settled()
  assert.deepEqual([(await row(id)).host, (await row(id)).vm_state], [source, 'active'])
  assert.deepEqual(await portsOf(id), [[port, addresses, source, 'ACTIVE']])

  await act(id, { migrate: null })
  await yard.settled()
  await act(id, { confirmResize: null })
  await yard.settled()
  assert.deepEqual([(await row(id)).host, (await row(id)).vm_state], [other, 'active'])
  const all = (await get(`/os-migrations?instance_uuid=${id}`)).migrations.map((one: any) => one.status)
  assert.deepEqual(all, ['confirmed', 'reverted'])
  assert.deepEqual(await yard.leaks(), [])
  await yard.remove(id)
})

test('a server that waits to be confirmed can be deleted, and leaves nothing on either host', async () => {
  const id = await yard.server()
  await act(id, { migrate: null })
  await yard.settled()
  await yard.cloud.api('DELETE', `/compute/v2.1/servers/${id}`)
  await yard.settled()
  assert.deepEqual(await yard.leaks(), [])
  assert.equal((await get(`/os-migrations?instance_uuid=${id}`)).migrations[0].status, 'confirmed')
})

test('a flavor for which there is no room where the server is takes it to another host', async () => {
  const id = await yard.server()
  const source = (await row(id)).host!
  const key = { extra_specs: { 'capabilities:host': source === 'node1' ? 'node2' : 'node1' } }
  const { flavor } = await yard.cloud.api('POST', '/compute/v2.1/flavors', { flavor: { name: 'elsewhere', ram: 96, vcpus: 1, disk: 1 } })
  await yard.cloud.api('POST', `/compute/v2.1/flavors/${flavor.id}/os-extra_specs`, key)
  await act(id, { resize: { flavorRef: flavor.id } })
  await yard.settled()
  assert.notEqual((await row(id)).host, source)
  assert.equal((await row(id)).vm_state, 'resized')
  assert.equal((await get(`/os-migrations?instance_uuid=${id}`)).migrations[0].migration_type, 'resize')
  await act(id, { revertResize: null })
  await yard.settled()
  assert.equal((await row(id)).host, source)
  assert.equal(JSON.parse((await row(id)).flavor_json).name, 'small')
  await yard.remove(id)
})

test('a resize that stays on its host is in the list as well, from there to there', async () => {
  const id = await yard.server()
  const source = (await row(id)).host!
  const seen = async () => {
    const { migrations } = await get(`/os-migrations?instance_uuid=${id}&migration_type=resize`)
    return migrations.map((one: any) => [one.status, one.source_compute, one.dest_compute])
  }
  for (const [end, status] of [
    ['revertResize', 'reverted'],
    ['confirmResize', 'confirmed'],
  ] as const) {
    await act(id, { resize: { flavorRef: yard.largeFlavorId } })
    await yard.settled()
    assert.deepEqual((await seen())[0], ['finished', source, source])
    await act(id, { [end]: null })
    await yard.settled()
    assert.deepEqual((await seen())[0], [status, source, source])
  }
  assert.equal(JSON.parse((await row(id)).flavor_json).name, 'large')
  await yard.remove(id)
})

test('what a list of migrations is not asked for is refused from 2.59 on, and ignored before', async () => {
  await assert.rejects(get('/os-migrations?colour=red'), /400.*'colour' was unexpected/)
  await assert.rejects(get('/os-migrations?user_id=me', '2.79'), /400.*'user_id' was unexpected/)
  await assert.rejects(get('/os-migrations?limit=-1'), /400/)
  assert.ok((await get('/os-migrations?colour=red', '2.58')).migrations)
  assert.deepEqual((await get('/os-migrations?user_id=nobody')).migrations, [])
})

test('a guest goes live; nothing of it stays where it was', async () => {
  const id = await yard.server()
  const source = (await row(id)).host!
  const other = source === 'node1' ? 'node2' : 'node1'
  const live = (more: object = {}) => ({ 'os-migrateLive': { host: null, block_migration: 'auto', ...more } })
  await assert.rejects(act(id, live({ host: source })), /400.*current host/)
  await assert.rejects(act(id, live({ disk_over_commit: false })), /400.*disk_over_commit/)
  await assert.rejects(act(id, live(), '2.24'), /400/)
  await assert.rejects(act(id, live({ force: true }), '2.68'), /400.*force/)
  await assert.rejects(act(id, { 'os-migrateLive': { block_migration: 'auto' } }), /400/)
  await act(id, live({ host: other }))
  await yard.settled()
  assert.deepEqual([(await row(id)).host, (await row(id)).vm_state, (await row(id)).task_state], [other, 'active', null])
  assert.equal((await portsOf(id))[0]![2], other)
  const [migration] = (await get(`/os-migrations?instance_uuid=${id}`)).migrations
  assert.deepEqual([migration.migration_type, migration.status], ['live-migration', 'completed'])
  await assert.rejects(get(`/servers/${id}/migrations/${migration.id}`), /404.*not in progress/)
  assert.deepEqual((await get(`/servers/${id}/migrations`)).migrations, [])
  assert.deepEqual(await yard.leaks(), [])
  // the hosts of this cloud share nothing
  await act(id, live({ block_migration: false }))
  await yard.settled()
  assert.equal((await row(id)).host, other)
  const { instanceActions } = await get(`/servers/${id}/os-instance-actions`)
  assert.match(instanceActions[0].message, /do not share their storage/)
  await yard.remove(id)
})

const rootDiskOf = async (id: string) => await yard.cloud.bus.call(computeTopic((await row(id)).host!), host.rootDisk, { uuid: id })

test('a server that was shelved once, whose image is gone with that, goes live with its whole disk, and back', async () => {
  const id = await yard.server()
  for (const body of [{ shelve: null }, { unshelve: null }]) {
    await act(id, body)
    await yard.settled()
  }
  const before = await rootDiskOf(id)
  assert.match(before!.base!, /^[0-9a-f]{40}$/)
  for (let times = 0; times < 2; times++) {
    const source = (await row(id)).host
    await act(id, { 'os-migrateLive': { host: null, block_migration: 'auto' } })
    await yard.settled()
    const { instanceActions } = await get(`/servers/${id}/os-instance-actions`)
    assert.notEqual((await row(id)).host, source, instanceActions[0].message)
    assert.deepEqual(await rootDiskOf(id), { ...before!, base: null }, 'it stands alone, though the host it came from has the image')
  }
  assert.deepEqual(await yard.leaks(), [])
  await yard.remove(id)
})

test('a disk that stands alone is not put on an image again, wherever one is', async () => {
  const id = await yard.server()
  const { request_json: json } = await row(id)
  const goes = async () => {
    await act(id, { migrate: null })
    await yard.settled()
    await act(id, { confirmResize: null })
    await yard.settled()
    return (await rootDiskOf(id))!.base
  }
  assert.notEqual(await goes(), null)
  await withoutImage(id)
  assert.equal(await goes(), null)
  await updateInstance(yard.context.database.db, id, { request_json: json })
  assert.equal(await goes(), null)
  await yard.remove(id)
})

test('a host does not part with a guest that is on its way to it, whatever is said of the server’s state', async () => {
  const id = await yard.server()
  const other = (await row(id)).host === 'node1' ? 'node2' : 'node1'
  const departed = () => yard.cloud.bus.call(COMPUTE_CONTROL, control.departed, { host: other, uuids: [id] })
  assert.deepEqual(
    (await departed()).map((one) => one.uuid),
    [id],
  )
  const migrationId = await recorded(yard, id, 'live-migration')
  await changeMigration(yard.context.database.db, migrationId, { dest_host: other })
  assert.deepEqual(await departed(), [])
  await changeMigration(yard.context.database.db, migrationId, { status: 'error' })
  await yard.remove(id)
})

test('a stopped server does not go live, and one that is alone cannot go', async () => {
  const id = await yard.server()
  await act(id, { 'os-stop': null })
  await yard.settled()
  await assert.rejects(act(id, { 'os-migrateLive': { host: null, block_migration: 'auto' } }), /409/)
  await act(id, { migrate: null })
  await yard.settled()
  assert.equal((await row(id)).vm_state, 'resized')
  await act(id, { confirmResize: null })
  await yard.settled()
  assert.equal((await row(id)).vm_state, 'stopped')
  await yard.remove(id)
})

test('a guest on its way is called back when its server is to be deleted', async () => {
  const perform = liveMigrateServer.steps.find((step) => step.name === 'migrate-perform')!
  const interrupted = new AbortController()
  const asked: string[] = []
  let calledBack = (_error: Error) => {}
  const call = (_topic: string, { name }: { name: string }) => {
    asked.push(name)
    if (name === host.abortMigration.name) return Promise.resolve(calledBack(new Error('operation aborted')))
    return new Promise((_resolve, reject) => (calledBack = reject))
  }
  const run = {
    input: { serverId: 's', migrationId: 'm' },
    outputs: { was: { host: 'node1' }, 'migrate-prepare': { uri: 'tcp://x', cookie: '' }, 'migrate-begin': { plan: {} } },
    world: { bus: { call } },
    signal: interrupted.signal,
  }
  const performed = Promise.resolve(perform.action(run as any))
  interrupted.abort()
  await assert.rejects(performed, /operation aborted/)
  assert.deepEqual(asked, [host.performMigration.name, host.abortMigration.name])
})
