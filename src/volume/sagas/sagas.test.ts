import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Fault } from '../../kernel/errors/errors.ts'
import { silent } from '../../kernel/log/log.ts'
import { type Interceptor, Killed } from '../../kernel/saga/engine.ts'
import { createVolumeService } from '../service.ts'
import { StorageStandIn, type VolumeHouse, volumeHouse } from '../testing.ts'
import { sagas } from './all.ts'

interface Scene {
  house: VolumeHouse
  volumeId: string
  snapshotId: string
  imageRef: string
}

const post = (house: VolumeHouse, path: string, body: object) => house.request('POST', path, { as: 'member', body })

/** One request that begins each kind of saga. */
const begin: Record<string, (scene: Scene) => Promise<any>> = {
  'create-volume': ({ house, imageRef }) => post(house, '/volumes', { volume: { size: 1, imageRef } }),
  'delete-volume': ({ house, volumeId }) => house.request('DELETE', `/volumes/${volumeId}`, { as: 'member', query: { cascade: 'true' } }),
  'extend-volume': ({ house, volumeId }) => post(house, `/volumes/${volumeId}/action`, { 'os-extend': { new_size: 2 } }),
  'create-snapshot': ({ house, volumeId }) => post(house, '/snapshots', { snapshot: { volume_id: volumeId } }),
  'delete-snapshot': ({ house, snapshotId }) => house.request('DELETE', `/snapshots/${snapshotId}`, { as: 'member' }),
  'revert-volume': ({ house, volumeId, snapshotId }) => post(house, `/volumes/${volumeId}/action`, { revert: { snapshot_id: snapshotId } }),
  'upload-image': ({ house, volumeId }) => post(house, `/volumes/${volumeId}/action`, { 'os-volume_upload_image': { image_name: 'x' } }),
}

async function scene(interceptor: Interceptor, databaseUrl = 'sqlite::memory:'): Promise<Scene> {
  const house = await volumeHouse({ interceptor, databaseUrl })
  const imageRef = house.images.add()
  const { id } = await house.volume()
  const { body } = await post(house, '/snapshots', { snapshot: { volume_id: id } })
  await house.idle()
  return { house, volumeId: id, snapshotId: body.snapshot.id, imageRef }
}

/** What there is, in the books and on the storage host, without names. */
async function picture({ house }: Scene, db = house.service.context.database.db) {
  const volumes = await db.selectFrom('volumes').select(['status', 'size', 'reserved_size', 'host']).orderBy('created_at').execute()
  const snapshots = await db.selectFrom('snapshots').select('status').orderBy('created_at').execute()
  const { storage, images } = house
  return {
    volumes,
    snapshots,
    stored: [...storage.volumes.values()].map((one) => one.sizeGiB),
    kept: storage.snapshots.size,
    images: images.images.size,
  }
}

const FINAL = ['available', 'error', 'error_deleting', 'error_extending']

for (const saga of sagas) {
  describe(saga.kind, () => {
    for (const failing of saga.steps)
      test(`${failing.name} fails, after its work: nothing is left over`, async () => {
        let armed = false
        const one = await scene({
          async action(step, run) {
            const result = await run()
            if (armed && step.name === failing.name && saga.steps.includes(step)) throw new Fault(500, 'Broken', 'it broke')
            return result
          },
        })
        const before = await picture(one)
        armed = true
        assert.equal((await begin[saga.kind]!(one)).status, 202)
        await one.house.idle()
        const after = await picture(one)
        for (const row of [...after.volumes, ...after.snapshots]) assert.ok(FINAL.includes(row.status), row.status)
        assert.equal(after.images, before.images)
        if (saga.kind.startsWith('create')) {
          assert.deepEqual([after.stored, after.kept], [before.stored, before.kept])
          if (saga.kind === 'create-volume') assert.deepEqual([after.volumes.at(-1)!.status, after.volumes.at(-1)!.host], ['error', null])
          else assert.equal(after.snapshots.at(-1)!.status, 'error')
        }
        armed = false
        for (const { id } of (await one.house.request('GET', '/volumes')).body.volumes) {
          const { status } = await one.house.request('DELETE', `/volumes/${id}`, { query: { cascade: 'true' } })
          assert.equal(status, 202)
        }
        await one.house.idle()
        const empty = { volumes: [], snapshots: [], stored: [], kept: 0, images: before.images }
        assert.deepEqual(await picture(one), empty)
        await one.house.close()
      })

    test('killed after any record and started again, it ends as if nothing had been', async () => {
      const straight = await scene({})
      await begin[saga.kind]!(straight)
      await straight.house.idle()
      const wanted = await picture(straight)
      await straight.house.close()
      for (let n = 0; ; n++) {
        const directory = mkdtempSync(join(tmpdir(), 'yun-volume-'))
        const databaseUrl = `sqlite:${directory}/volume.sqlite`
        let left = Number.POSITIVE_INFINITY
        const one = await scene(
          {
            logged() {
              if (left-- === 0) throw new Killed()
            },
          },
          databaseUrl,
        )
        left = n
        await begin[saga.kind]!(one)
        await one.house.idle()
        const killed = left < 0
        const { bus, images } = one.house
        await one.house.service.stop()
        const again = await createVolumeService({ databaseUrl, bus, images: images.client(), log: silent(), exclusive: true })
        await again.start()
        await again.resume()
        await again.context.engine.idle()
        assert.deepEqual(await picture(one, again.context.database.db), wanted, `killed after record ${n}`)
        await again.stop()
        rmSync(directory, { recursive: true })
        if (!killed) break
      }
    })
  })
}

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
