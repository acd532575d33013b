import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { timestamp } from '../../kernel/db/columns.ts'
import type { Saga } from '../../kernel/saga/saga.ts'
import { sagaTests } from '../../kernel/saga/testing.ts'
import { unconfirmed } from '../app/migration.ts'
import { findInstance } from '../db/instances.ts'
import { attachInterface, detachInterface } from './attach-interface.ts'
import { attachVolume, detachVolume } from './attach-volume.ts'
import { extendVolume } from './extend-volume.ts'
import { rebuildServer } from './rebuild-server.ts'
import { finishReimage, rebuildOnVolume, reimageServer } from './reimage-server.ts'
import { rescueServer, unrescueServer } from './rescue-server.ts'
import { confirmResize, resizeServer, revertResize } from './resize-server.ts'
import { backupServer, snapshotServer } from './snapshot-server.ts'
import { snapshotVolumes } from './snapshot-volumes.ts'
import { type Case, recorded, worldOf, Yard } from './testing.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open()
})
after(() => yard.cloud.stop())

const act = (body: object) => async (at: Yard, id: string) => {
  await at.cloud.api('POST', `/compute/v2.1/servers/${id}/action`, body)
  await at.settled()
  return {}
}
const image = async (at: Yard, id: string) => ({
  image: JSON.parse((await findInstance(at.context.database.db, id))!.request_json).image,
})
const rootOf = (at: Yard, id: string) =>
  at.context.database.db.selectFrom('block_devices').selectAll().where('server_id', '=', id).executeTakeFirstOrThrow()

/** The server has its volume, by one attachment. */
async function rootIsNotInUse(at: Yard, id: string): Promise<string[]> {
  const { volume_id, id: own } = await rootOf(at, id)
  const { volume } = await at.cloud.api('GET', `/volume/v3/volumes/${volume_id}`)
  const ids = volume.attachments.map((one: { attachment_id: string }) => one.attachment_id)
  return volume.status === 'in-use' && ids.join() === own ? [] : [`the volume is ${volume.status}, by ${ids.join()}, not ${own}`]
}

async function record(at: Yard, id: string) {
  const properties = { image_type: 'backup', backup_type: 'daily', instance_uuid: id }
  const wanted = { name: 'picture', disk_format: 'qcow2', container_format: 'bare', ...properties }
  return { imageId: (await at.cloud.api('POST', '/image/v2/images', wanted)).id }
}
async function resized(at: Yard, id: string) {
  await act({ resize: { flavorRef: at.largeFlavorId } })(at, id)
  return { migrationId: (await unconfirmed(at.context.database.db, id))!.id }
}

async function device(at: Yard, id: string) {
  const [attachmentId, volumeId] = [randomUUID(), await at.volume()]
  await at.context.database.db
    .insertInto('block_devices')
    .values({
      id: attachmentId,
      server_id: id,
      volume_id: volumeId,
      device: '/dev/vdb',
      boot_index: null,
      delete_on_termination: 1,
      tag: null,
      volume_type: null,
      source_type: 'volume',
      source_id: null,
      size: 1,
      created_at: timestamp(),
    })
    .execute()
  return { attachmentId, volumeId }
}

async function attached(at: Yard, id: string) {
  const volumeId = await at.volume()
  await at.cloud.api('POST', `/compute/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId } })
  await at.settled()
  const row = await at.context.database.db.selectFrom('block_devices').select('id').where('server_id', '=', id).executeTakeFirstOrThrow()
  return { attachmentId: row.id, volumeId }
}

const cases: [saga: Saga<any>, one: Omit<Case, 'kind'>][] = [
  [snapshotServer, { status: 'ACTIVE', input: record }],
  [backupServer, { status: 'ACTIVE', input: async (at, id) => ({ ...(await record(at, id)), kind: 'daily', rotation: 1 }) }],
  [
    snapshotVolumes,
    {
      status: 'ACTIVE',
      async input(at, id) {
        const { volumeId } = await attached(at, id)
        return { ...(await record(at, id)), name: 'picture', snapshots: [{ id: randomUUID(), volumeId }] }
      },
    },
  ],
  [
    resizeServer,
    {
      status: 'VERIFY_RESIZE',
      failed: ['ACTIVE', 'SHUTOFF'],
      async input(at, id) {
        const { flavor } = await at.cloud.api('GET', `/compute/v2.1/flavors/${at.largeFlavorId}`)
        const spec = { id: flavor.id, name: flavor.name, vcpus: 1, ramMiB: 128, rootGiB: 1, ephemeralGiB: 0, swapMiB: 0, extraSpecs: {} }
        return { flavor: spec, migrationId: await recorded(at, id, 'resize') }
      },
    },
  ],
  [confirmResize, { status: 'ACTIVE', failed: ['ERROR'], input: resized }],
  [revertResize, { status: 'ACTIVE', failed: ['ERROR'], input: resized }],
  [rebuildServer, { status: 'ACTIVE', failed: ['ACTIVE', 'SHUTOFF'], input: image }],
  [
    rebuildOnVolume,
    { status: 'ACTIVE', failed: ['ACTIVE', 'SHUTOFF'], own: (at) => at.onVolume(), wrong: rootIsNotInUse, input: () => ({}) },
  ],
  [
    reimageServer,
    {
      status: 'REBUILD',
      task: 'rebuild_spawning',
      failed: ['ACTIVE', 'SHUTOFF'],
      own: (at) => at.onVolume(),
      wrong: rootIsNotInUse,
      async input(at, id) {
        const root = await rootOf(at, id)
        return { image: { id: at.imageId, name: 'tiny' }, volumeId: root.volume_id, attachmentId: root.id, holdId: randomUUID() }
      },
    },
  ],
  [
    finishReimage,
    {
      status: 'ACTIVE',
      failed: ['ERROR', 'ACTIVE', 'SHUTOFF'],
      own: (at) => at.onVolume(),
      wrong: rootIsNotInUse,
      async input(at, id) {
        await act({ 'os-stop': null })(at, id)
        const { db } = at.context.database
        await db.updateTable('instances').set({ vm_state: 'active', task_state: 'rebuild_spawning' }).where('id', '=', id).execute()
        return {}
      },
    },
  ],
  [rescueServer, { status: 'RESCUE', failed: ['ACTIVE', 'SHUTOFF'], input: image }],
  [unrescueServer, { status: 'ACTIVE', failed: ['ERROR'], input: act({ rescue: null }) }],
  [attachVolume, { status: 'ACTIVE', input: device }],
  [detachVolume, { status: 'ACTIVE', input: attached }],
  [extendVolume, { status: 'ACTIVE', input: attached }],
  [
    attachInterface,
    {
      status: 'ACTIVE',
      input: (at) => ({ wanted: { portId: randomUUID(), networkId: at.networkId, fixedIp: null, given: false, tag: null } }),
    },
  ],
  [
    detachInterface,
    {
      status: 'ACTIVE',
      async input(at, id) {
        const [port] = await at.context.networks.ports({ device_id: id })
        return { portId: port!.id }
      },
    },
  ],
]

for (const [saga, one] of cases) sagaTests({ saga, service: 'compute', world: worldOf(() => yard, { kind: saga.kind, ...one }) })

test('a server that was stopped is stopped when it has been rebuilt', async () => {
  const id = await yard.server()
  await act({ 'os-stop': null })(yard, id)
  await act({ rebuild: { imageRef: yard.imageId } })(yard, id)
  const { server } = await yard.cloud.api('GET', `/compute/v2.1/servers/${id}`)
  assert.deepEqual([server.status, server['OS-EXT-STS:power_state']], ['SHUTOFF', 4])
  await act({ 'os-start': null })(yard, id)
  assert.equal((await yard.cloud.api('GET', `/compute/v2.1/servers/${id}`)).server.status, 'ACTIVE')
  await yard.remove(id)
})

test('a server whose volume got no other image is left alone by what would come next', async () => {
  const id = await yard.server(yard.onVolume())
  const { database, engine } = yard.context
  const subject = `server:${id}`
  await database.transaction((trx) => engine.submit(trx, { kind: 'finish-reimage', subject, input: { serverId: id } }))
  engine.wake(subject)
  await yard.settled()
  const { server } = await yard.cloud.api('GET', `/compute/v2.1/servers/${id}`)
  assert.deepEqual([server.status, server['OS-EXT-STS:task_state'], server['OS-EXT-STS:power_state']], ['ACTIVE', null, 1])
  await yard.remove(id)
})

test('a port for a server that was put away meanwhile: refused, and nothing of it is left', async () => {
  const id = await yard.server()
  await act({ shelve: null })(yard, id)
  const { database, engine, networks } = yard.context
  const ports = await networks.ports({ device_id: id })
  const subject = `server:${id}`
  const wanted = { portId: randomUUID(), networkId: yard.networkId, fixedIp: null, given: false, tag: null }
  const late = await database.transaction((trx) =>
    engine.submit(trx, { kind: 'attach-interface', subject, input: { serverId: id, wanted } }),
  )
  engine.wake(subject)
  const { error } = await engine.finished(late)
  assert.match(error!.message, /Cannot 'attach_interface' instance \S+ while it is in vm_state shelved_offloaded/)
  assert.deepEqual(await networks.ports({ device_id: id }), ports)
  await yard.remove(id)
})
