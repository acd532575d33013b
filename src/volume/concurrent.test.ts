import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { onMariaDb, throughAnotherNode } from '../kernel/db/testing.ts'
import type { TestAnswer } from '../kernel/http/testing.ts'
import { DEMO } from '../kernel/http/testing.ts'
import { type VolumeHouse, volumeHouse } from './testing.ts'

/** Two control processes on one database, asked at the same time. */
onMariaDb((fresh) => {
  const houses: VolumeHouse[] = []
  after(async () => void (await Promise.all(houses.map((house) => house.close()))))
  const pair = async (): Promise<VolumeHouse[]> => {
    const url = await fresh()
    const one = await volumeHouse({ databaseUrl: url, exclusive: false })
    const two = await volumeHouse({ databaseUrl: throughAnotherNode(url), exclusive: false })
    houses.push(one, two)
    return [one, two]
  }
  const tally = (answers: TestAnswer[]) => {
    const counts: Record<number, number> = {}
    for (const { status, body } of answers) {
      assert.ok(status < 500, JSON.stringify(body))
      counts[status] = (counts[status] ?? 0) + 1
    }
    return counts
  }
  const post = (house: VolumeHouse, path: string, body: object) => house.request('POST', path, { body })

  describe('volume, two processes at once', () => {
    test('volumes, gigabytes and snapshots are never more than the quota', async () => {
      const both = await pair()
      await both[0]!.request('PUT', `/os-quota-sets/${DEMO}`, { as: 'admin', body: { quota_set: { volumes: 6, gigabytes: 100 } } })
      const make = (size: number) => (_: unknown, n: number) => post(both[n % 2]!, '/volumes', { volume: { size } })
      assert.deepEqual(tally(await Promise.all(Array.from({ length: 16 }, make(1)))), { 202: 6, 413: 10 })
      await both[1]!.request('PUT', `/os-quota-sets/${DEMO}`, { as: 'admin', body: { quota_set: { volumes: -1, gigabytes: 26 } } })
      assert.deepEqual(tally(await Promise.all(Array.from({ length: 12 }, make(5)))), { 202: 4, 413: 8 })
    })

    test('a volume that goes takes no snapshot, one that has snapshots stays', async () => {
      const both = await pair()
      for (let round = 0; round < 6; round++) {
        const volume = (await post(both[0]!, '/volumes', { volume: { size: 1 } })).body.volume
        await both[0]!.service.context.engine.idle()
        const [made, gone] = await Promise.all([
          post(both[round % 2]!, '/snapshots', { snapshot: { volume_id: volume.id, name: 's' } }),
          both[(round + 1) % 2]!.request('DELETE', `/volumes/${volume.id}`),
        ])
        tally([made, gone])
        assert.ok([made, gone].filter((one) => one.status === 202).length === 1, `${made.status} ${gone.status}`)
        for (const house of both) await house.service.context.engine.idle()
      }
    })

    test('a volume is reserved by one only', async () => {
      const both = await pair()
      const volume = (await post(both[0]!, '/volumes', { volume: { size: 1 } })).body.volume
      await both[0]!.service.context.engine.idle()
      const take = (_: unknown, n: number) =>
        both[n % 2]!.request('POST', '/attachments', {
          headers: { 'openstack-api-version': 'volume 3.44' },
          body: { attachment: { volume_uuid: volume.id, instance_uuid: randomUUID() } },
        })
      const counts = tally(await Promise.all(Array.from({ length: 8 }, take)))
      assert.equal(counts[200], 1, JSON.stringify(counts))
    })
  })
})
