import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { fromJson, timestamp } from '../kernel/db/columns.ts'
import { type Database, openDatabase } from '../kernel/db/database.ts'
import { onMariaDb, throughAnotherNode } from '../kernel/db/testing.ts'
import { addHost, changeAggregate, createAggregate, listAggregates } from './app/aggregate.ts'
import type { ComputeContext } from './app/context.ts'
import { createKeypair } from './app/keypair.ts'
import { reserve, setLimits, usageOf } from './app/quota.ts'
import { changeMetadata, changeTags } from './app/server.ts'
import { createServerGroup } from './app/server-group.ts'
import { insertAll, nextNumber } from './db/handle.ts'
import { findInstance } from './db/instances.ts'
import { migrations } from './db/migrations.ts'
import type { ComputeTables } from './db/tables.ts'
import { selectHost } from './sagas/schedule.ts'
import { instanceRow } from './testing.ts'

/** Two control processes on one database, asked at the same time. */
onMariaDb((fresh) => {
  const opened: Database<ComputeTables>[] = []
  after(async () => void (await Promise.all(opened.map((one) => one.close()))))
  const pair = async (): Promise<ComputeContext[]> => {
    const url = await fresh()
    const one = await openDatabase<ComputeTables>(url, migrations)
    const two = await openDatabase<ComputeTables>(throughAnotherNode(url), migrations)
    opened.push(one, two)
    await one.migrate()
    const placement = { claim: async () => true, release: async () => {} }
    return [one, two].map((database) => ({ database, placement, settings: { defaultZone: 'nova' } }) as unknown as ComputeContext)
  }
  const storm = async <T>(both: ComputeContext[], count: number, ask: (context: ComputeContext, n: number) => Promise<T>) => {
    const results = await Promise.allSettled(Array.from({ length: count }, (_, n) => ask(both[n % 2]!, n)))
    const refused = results.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
    for (const reason of refused) assert.ok((reason.status ?? 500) < 500, reason.stack)
    return { done: results.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])), refused: refused.map((one) => one.code) }
  }
  const of = (code: string, n: number) => Array.from({ length: n }, () => code)

  describe('compute, two processes at once', () => {
    test('instances, cores and ram are never more than the quota', async () => {
      const both = await pair()
      const one = (wanted: { cores: number; ram: number }) => (context: ComputeContext) =>
        context.database.transaction(async (trx) => {
          await reserve(trx, 'alpha', { instances: 1, ...wanted })
          await insertAll(trx, 'instances', [
            instanceRow({ number: await nextNumber(trx, 'instances'), vcpus: wanted.cores, ram: wanted.ram, user_id: 'ann' }),
          ])
        })
      await setLimits(both[0]!, 'alpha', { instances: 7, cores: -1, ram: -1 })
      const first = await storm(both, 20, one({ cores: 1, ram: 512 }))
      assert.deepEqual([first.done.length, first.refused], [7, of('TooManyInstances', 13)])
      await setLimits(both[1]!, 'alpha', { instances: -1, cores: 15 })
      assert.equal((await storm(both, 12, one({ cores: 2, ram: 1 }))).done.length, 4)
      await setLimits(both[0]!, 'alpha', { cores: -1, ram: 4000 + 7 * 512 })
      await storm(both, 12, one({ cores: 0, ram: 900 }))
      const used = await usageOf(both[1]!.database.db, 'alpha')
      assert.ok(used.ram <= 4000 + 7 * 512 && used.ram > 3100 + 7 * 512, String(used.ram))
      const numbers = await both[0]!.database.db.selectFrom('instances').select('number').execute()
      assert.equal(new Set(numbers.map((row) => Number(row.number))).size, numbers.length)
    })

    test('key pairs and server groups keep to their quota and names', async () => {
      const both = await pair()
      await setLimits(both[0]!, 'alpha', { key_pairs: 4, server_groups: 3 })
      const owner = { userId: 'ann', projectId: 'alpha' }
      const keys = await storm(both, 12, (context, n) => createKeypair(context, owner, { name: `k${n}`, type: 'ssh' }))
      assert.deepEqual([keys.done.length, keys.refused], [4, of('KeypairLimitExceeded', 8)])
      const same = await storm(both, 6, (context) => createKeypair(context, { ...owner, userId: 'bob' }, { name: 'k', type: 'ssh' }))
      assert.deepEqual([same.done.length, same.refused], [1, of('KeyPairExists', 5)])
      const groups = await storm(both, 10, (context, n) => createServerGroup(context, owner, { name: `g${n}`, policy: 'affinity' }))
      assert.deepEqual([groups.done.length, groups.refused], [3, of('ServerGroupLimitExceeded', 7)])
    })

    test('servers of an anti-affinity group never come to one host, those of an affinity group always do', async () => {
      const both = await pair()
      const hosts = ['a', 'b', 'c', 'd'].map((host) => ({ host, node: host, providerId: host, weight: 1, weights: {} }))
      const place = async (policy: string, count: number) => {
        const group = await createServerGroup(both[0]!, { userId: 'ann', projectId: policy }, { name: policy, policy })
        const rows = Array.from({ length: count }, (_, n) => instanceRow({ number: n, host: null, node: null, group_id: group.id }))
        for (const row of rows) await both[0]!.database.transaction((trx) => insertAll(trx, 'instances', [row]))
        const results = await Promise.allSettled(
          rows.map((row, n) =>
            selectHost({
              world: both[n % 2]!,
              input: { serverId: row.id },
              outputs: {
                'request-spec': { spec: { group: { id: group.id, policy, maxPerHost: 1 }, resources: {} } },
                'weigh-hosts': { ranked: hosts.slice(n % 4).concat(hosts.slice(0, n % 4)) },
              },
            } as never),
          ),
        )
        return results.flatMap((one) => (one.status === 'fulfilled' ? [one.value.host] : []))
      }
      for (let round = 0; round < 5; round++) {
        assert.deepEqual((await place(round % 2 ? 'soft' : 'anti-affinity', 4)).length, 4)
        if (round % 2 === 0) assert.deepEqual((await place('anti-affinity', 8)).sort(), ['a', 'b', 'c', 'd'])
      }
      const together = await place('affinity', 8)
      assert.deepEqual([together.length, new Set(together).size], [8, 1])
    })

    test('no change of metadata, tags or an aggregate is lost', async () => {
      const both = await pair()
      const row = instanceRow()
      await both[0]!.database.transaction((trx) => insertAll(trx, 'instances', [row]))
      await storm(both, 12, (context, n) => changeMetadata(context, row, (now) => ({ ...now, [`k${n}`]: 'v' })))
      await storm(both, 12, (context, n) => changeTags(context, row, (now) => [...now, `t${n}`]))
      const after = (await findInstance(both[0]!.database.db, row.id))!
      assert.equal(Object.keys(fromJson(after.metadata_json)).length, 12)
      assert.equal(fromJson<string[]>(after.tags_json).length, 12)

      const names = await storm(both, 6, (context) => createAggregate(context, 'one', 'east'))
      assert.deepEqual([names.done.length, names.refused], [1, of('AggregateNameExists', 5)])
      const at = timestamp()
      const host = { service_id: 's', provider_id: 'p', number: 1, disabled: 0, disabled_reason: null, forced_down: 0 }
      await both[0]!.database.db
        .insertInto('hosts')
        .values({ ...host, host: 'h', state_json: '{}', seen_at: at, created_at: at })
        .execute()
      const west = await createAggregate(both[0]!, 'two', 'west')
      const [east] = names.done
      await storm(both, 8, (context, n) => addHost(context, String(n % 4 < 2 ? east!.id : west.id), 'h'))
      assert.equal((await listAggregates(both[0]!.database.db)).filter((one) => one.hosts.includes('h')).length, 1)
      await storm(both, 10, (context, n) =>
        changeAggregate(context, String(west.id), (one) => ({ metadata: { ...one.metadata, [n]: 'v' } })),
      )
      const all = await listAggregates(both[1]!.database.db)
      assert.equal(Object.keys(all.find((one) => one.id === west.id)!.metadata).length, 11)
    })
  })
})
