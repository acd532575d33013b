import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { timestamp } from '../../kernel/db/columns.ts'
import { eachDatabase } from '../../kernel/db/testing.ts'
import { migrations } from '../db/migrations.ts'
import type { VolumeTables } from '../db/tables.ts'
import { findType } from '../db/types.ts'
import type { Viewer, VolumeContext } from './context.ts'
import { listRows } from './listing.ts'
import { limitsOf, reserving, setLimits, usageOf } from './quota.ts'

const viewer: Viewer = { projectId: 'p', userId: 'u', isAdmin: false, mayName: false, token: null, requestId: 'r' }

eachDatabase<VolumeTables>(migrations, (open) => {
  const place = async () => {
    const database = await open()
    const context = { database } as VolumeContext
    const type = (await findType(database.db, '__DEFAULT__'))!
    const take = (size = 1, name = 'v') =>
      reserving(context, 'p', async (trx, reserve) => {
        const text = await reserve({ volumes: 1, gigabytes: size, volumeGiB: size, typeName: type.name })
        const at = timestamp()
        const id = randomUUID()
        const row = {
          id,
          project_id: 'p',
          user_id: 'u',
          name,
          description: null,
          size,
          reserved_size: size,
          status: 'creating',
          type_id: type.id,
        }
        const flags = { bootable: 0, readonly: 0, multiattach: 0, host: null, placement_json: null, snapshot_id: null, source_volid: null }
        const rest = { availability_zone: 'nova', previous_status: null, created_at: at, updated_at: at }
        await trx
          .insertInto('volumes')
          .values({ ...row, ...flags, ...rest })
          .execute()
        return text
      })
    return { database, context, take }
  }

  test('of many requests at once exactly as many as the quota has room for get a place', async () => {
    const { database, take } = await place()
    const results = await Promise.allSettled(Array.from({ length: 25 }, () => take()))
    assert.equal(results.filter((one) => one.status === 'fulfilled').length, 10)
    for (const one of results)
      if (one.status === 'rejected') assert.deepEqual([one.reason.status, one.reason.code], [413, 'VolumeLimitExceeded'])
    assert.deepEqual(await usageOf(database.db, 'p'), { volumes: 10, volumes___DEFAULT__: 10, gigabytes: 10, gigabytes___DEFAULT__: 10 })
  })

  test('limits: the class over the defaults, the project over the class, types, per volume', async () => {
    const { database, context, take } = await place()
    await setLimits(context, null, { volumes: 3 })
    await setLimits(context, 'p', { gigabytes: 8, per_volume_gigabytes: 5, volumes___DEFAULT__: 2 })
    const limits = await limitsOf(database.db, 'p')
    assert.deepEqual([limits.volumes, limits.gigabytes, limits.snapshots, limits.snapshots___DEFAULT__], [3, 8, 10, -1])
    await assert.rejects(take(6), { status: 413, code: 'VolumeSizeExceedsLimit' })
    assert.equal(await take(5), 'volumes 0+1 of 3, gigabytes 0+5 of 8')
    await assert.rejects(take(4), { status: 413, code: 'VolumeSizeExceedsAvailableQuota' })
    await take(1)
    await assert.rejects(take(1), { code: 'VolumeLimitExceeded', message: /volumes___DEFAULT__/ })
    await assert.rejects(setLimits(context, 'p', { apples: 1 }), { status: 400 })
  })

  test('pages go on where they ended, whatever the order', async () => {
    const { context, take } = await place()
    for (const name of ['b', 'a', 'a', '', 'c']) await take(1, name)
    for (const sort of ['name:asc', 'name:desc', 'created_at:asc', 'size:desc,name:asc', 'host:asc']) {
      const seen: string[] = []
      for (let marker: string | undefined; ; marker = seen.at(-1)) {
        const { rows, more } = await listRows(context, viewer, 'volumes', { sort, limit: '2', ...(marker ? { marker } : {}) })
        seen.push(...rows.map((row) => row.id))
        if (!more) break
      }
      assert.equal(new Set(seen).size, 5, sort)
    }
  })
})
