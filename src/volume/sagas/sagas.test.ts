import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onMariaDb } from '../../kernel/db/testing.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import type { Saga } from '../../kernel/saga/saga.ts'
import { arrivalTests, type SagaWorld, sagaTests } from '../../kernel/saga/testing.ts'
import { StorageStandIn, type VolumeHouse, volumeHouse } from '../testing.ts'
import { sagas } from './all.ts'

interface Scene {
  house: VolumeHouse
  volumeId: string
  snapshotId: string
  imageRef: string
  otherRef: string
}

const post = (house: VolumeHouse, path: string, body: object) => house.request('POST', path, { as: 'member', body })

/** One request that begins each kind of saga. */
const begin: Record<string, (scene: Scene) => Promise<any>> = {
  'create-volume': ({ house, imageRef }) => post(house, '/volumes', { volume: { size: 1, imageRef } }),
  'delete-volume': ({ house, volumeId }) => house.request('DELETE', `/volumes/${volumeId}`, { as: 'member', query: { cascade: 'true' } }),
  'extend-volume': ({ house, volumeId }) => post(house, `/volumes/${volumeId}/action`, { 'os-extend': { new_size: 2 } }),
  'reimage-volume': ({ house, volumeId, otherRef }) => post(house, `/volumes/${volumeId}/action`, { 'os-reimage': { image_id: otherRef } }),
  'create-snapshot': ({ house, volumeId }) => post(house, '/snapshots', { snapshot: { volume_id: volumeId } }),
  'delete-snapshot': ({ house, snapshotId }) => house.request('DELETE', `/snapshots/${snapshotId}`, { as: 'member' }),
  'revert-volume': ({ house, volumeId, snapshotId }) => post(house, `/volumes/${volumeId}/action`, { revert: { snapshot_id: snapshotId } }),
  'upload-image': ({ house, volumeId }) => post(house, `/volumes/${volumeId}/action`, { 'os-volume_upload_image': { image_name: 'x' } }),
}

/** A volume with a snapshot, and an image. */
async function scene(databaseUrl: string): Promise<Scene> {
  const house = await volumeHouse({ databaseUrl })
  const [imageRef, otherRef] = [house.images.add(), house.images.add()]
  const { id } = await house.volume()
  const { body } = await post(house, '/snapshots', { snapshot: { volume_id: id } })
  await house.idle()
  return { house, volumeId: id, snapshotId: body.snapshot.id, imageRef, otherRef }
}

/** What there is, in the books and on the storage host, without names. */
async function picture({ house }: Scene) {
  const { db } = house.service.context.database
  const volumes = await db
    .selectFrom('volumes')
    .select(['status', 'size', 'reserved_size', 'host', 'bootable', 'previous_status'])
    .orderBy('created_at')
    .execute()
  const snapshots = await db.selectFrom('snapshots').select('status').orderBy('created_at').execute()
  const { storage, images } = house
  return {
    volumes,
    snapshots,
    stored: [...storage.volumes.values()].map((one) => one.sizeGiB),
    imaged: [...storage.volumes.values()].filter((one) => one.from !== null).length,
    fetched: storage.fetched.size,
    kept: storage.snapshots.size,
    images: images.images.size,
  }
}

const FINAL = ['available', 'error', 'error_deleting', 'error_extending']

/** What a failure left that it should not have: a state that is no end, something on the storage host, or anything that cannot be deleted. */
async function leftovers(one: Scene, kind: string, before: Awaited<ReturnType<typeof picture>>): Promise<string[]> {
  const after = await picture(one)
  const found = [...after.volumes, ...after.snapshots].filter((row) => !FINAL.includes(row.status)).map((row) => `status ${row.status}`)
  const same = (what: string, now: unknown, then: unknown) => {
    if (JSON.stringify(now) !== JSON.stringify(then)) found.push(`${what}: ${JSON.stringify(now)}, not ${JSON.stringify(then)}`)
  }
  same('images', after.images, before.images)
  same('images on the storage host', after.fetched, 0)
  if (kind.startsWith('create')) same('on the storage host', [after.stored, after.kept], [before.stored, before.kept])
  if (kind === 'create-volume') same('the new volume', [after.volumes.at(-1)!.status, after.volumes.at(-1)!.host], ['error', null])
  if (kind === 'create-snapshot') same('the new snapshot', after.snapshots.at(-1)!.status, 'error')
  for (const { id } of (await one.house.request('GET', '/volumes')).body.volumes)
    same('deleting', (await one.house.request('DELETE', `/volumes/${id}`, { query: { cascade: 'true' } })).status, 202)
  await one.house.idle()
  same('after all is deleted', await picture(one), {
    volumes: [],
    snapshots: [],
    stored: [],
    imaged: 0,
    fetched: 0,
    kept: 0,
    images: before.images,
  })
  return found
}

const arrived = new Map<string, Awaited<ReturnType<typeof picture>>>()

/** As it is when nothing comes in between. */
async function wanted(kind: string): Promise<Awaited<ReturnType<typeof picture>>> {
  const known = arrived.get(kind)
  if (known) return known
  const straight = await scene('sqlite::memory:')
  assert.equal((await begin[kind]!(straight)).status, 202)
  await straight.house.idle()
  const seen = await picture(straight)
  await straight.house.close()
  arrived.set(kind, seen)
  return seen
}

/** The request is made by the service itself; the saga that it submits is run by the test's engines, and all that follows by the service's own again. */
const worldOf =
  (saga: Saga<any>, databaseUrl: () => Promise<string> = async () => 'sqlite::memory:') =>
  async (): Promise<SagaWorld> => {
    const one = await scene(await databaseUrl())
    const { context } = one.house.service
    const own = context.engine
    const before = await picture(one)
    return {
      database: context.database,
      context,
      async submit(engine) {
        context.engine = engine
        assert.equal((await begin[saga.kind]!(one)).status, 202)
        context.engine = own
        const { id } = await context.database.db
          .selectFrom('sagas')
          .select('id')
          .where('kind', '=', saga.kind)
          .orderBy('created_at', 'desc')
          .executeTakeFirstOrThrow()
        return id
      },
      leftovers: () => leftovers(one, saga.kind, before),
      async arrived() {
        const [now, then] = [JSON.stringify(await picture(one)), JSON.stringify(await wanted(saga.kind))]
        return now === then ? [] : [`${now}, not ${then}`]
      },
      close: () => one.house.close(),
    }
  }

for (const saga of sagas) sagaTests({ saga, service: 'volume', world: worldOf(saga) })
onMariaDb((fresh) => {
  for (const saga of sagas) arrivalTests({ saga, service: 'volume', world: worldOf(saga, fresh) })
})

test('a full back end is left for an alternate; when none is left, the user is told', async () => {
  const house = await volumeHouse()
  const other = new StorageStandIn(house.bus, 'second@lvm#group')
  other.totalGiB = 50
  other.start()
  await other.report()
  house.storage.failing.set('create', new Fault(507, 'NoSpace', 'the group is full'))
  const volume = await house.volume()
  assert.deepEqual([volume.status, volume['os-vol-host-attr:host']], ['available', 'second@lvm#group'])
  assert.deepEqual([house.storage.volumes.size, other.volumes.size], [0, 1])
  other.failing.set('create', new Fault(507, 'NoSpace', 'also full'))
  const unlucky = await house.volume()
  assert.deepEqual([unlucky.status, unlucky['os-vol-host-attr:host']], ['error', null])
  const { messages } = (await house.request('GET', '/messages', { as: 'member', query: { resource_uuid: unlucky.id } })).body
  assert.equal(messages[0].user_message, 'schedule allocate volume: also full')
  const huge = await house.volume({ size: 900 })
  assert.equal(huge.status, 'error')
  const why = (await house.request('GET', '/messages', { as: 'member', query: { resource_uuid: huge.id } })).body.messages[0].user_message
  assert.match(
    why,
    /No valid backend was found\. host@lvm#group has 100 GiB free of the 900 asked for \(CapacityFilter\); second@lvm#group has/,
  )
  other.stop()
  await house.close()
})

test('a silent storage host gets nothing and counts as down; a disabled one, too', async () => {
  const house = await volumeHouse({ settings: { serviceDownMs: -1 } })
  const volume = await house.volume()
  assert.equal(volume.status, 'error')
  const services = (await house.request('GET', '/os-services')).body.services
  assert.deepEqual(
    services.map((one: any) => [one.binary, one.state, one.status]),
    [
      ['cinder-scheduler', 'up', 'enabled'],
      ['cinder-volume', 'down', 'enabled'],
    ],
  )
  await house.close()
})
