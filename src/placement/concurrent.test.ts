import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { type Database, openDatabase } from '../kernel/db/database.ts'
import { onMariaDb, throughAnotherNode } from '../kernel/db/testing.ts'
import { silent } from '../kernel/log/log.ts'
import { claimAll, providerUsages } from './app/allocation.ts'
import type { PlacementContext } from './app/context.ts'
import { setInventories } from './app/inventory.ts'
import { createProvider, provider, removeProvider } from './app/provider.ts'
import { migrations } from './db/migrations.ts'
import type { PlacementTables } from './db/tables.ts'
import { uuid } from './testing.ts'

/** Two control processes on one database, asked at the same time. */
onMariaDb((fresh) => {
  const opened: Database<PlacementTables>[] = []
  after(async () => void (await Promise.all(opened.map((one) => one.close()))))
  const pair = async (): Promise<PlacementContext[]> => {
    const url = await fresh()
    const one = await openDatabase<PlacementTables>(url, migrations)
    const two = await openDatabase<PlacementTables>(throughAnotherNode(url), migrations)
    opened.push(one, two)
    await one.migrate()
    return [one, two].map((database) => ({ database, log: silent() }))
  }
  const storm = async (both: PlacementContext[], count: number, ask: (context: PlacementContext, n: number) => Promise<unknown>) => {
    const results = await Promise.allSettled(Array.from({ length: count }, (_, n) => ask(both[n % 2]!, n)))
    for (const one of results) if (one.status === 'rejected') assert.ok((one.reason.status ?? 500) < 500, one.reason.stack)
    return results.filter((one) => one.status === 'fulfilled').length
  }
  const claim = (n: number, providers: number[]) => ({
    consumer: uuid(1000 + n),
    allocations: Object.fromEntries(providers.map((one) => [uuid(one), { VCPU: 1 }])),
    projectId: 'p',
    userId: 'u',
    generation: null,
  })

  describe('placement, two processes at once', () => {
    test('no provider gives more than it has, also where claims cross', async () => {
      const both = await pair()
      for (const n of [1, 2]) {
        await createProvider(both[0]!, { uuid: uuid(n), name: `host-${n}` })
        await setInventories(both[0]!, uuid(n), { generation: 0, inventories: { VCPU: { total: 12 } }, reservedMayBeAll: true })
      }
      const won = await storm(both, 40, (context, n) => claimAll(context, [claim(n, n % 3 === 0 ? [1, 2] : n % 3 === 1 ? [2, 1] : [1])]))
      assert.ok(won >= 12)
      const used = (await providerUsages(both[1]!, uuid(1))).usages.VCPU
      assert.equal(used, 12)
      assert.ok((await providerUsages(both[1]!, uuid(2))).usages.VCPU! <= 12)
    })

    test('a generation is moved by one; who comes later hears of it', async () => {
      const both = await pair()
      await createProvider(both[0]!, { uuid: uuid(1), name: 'host' })
      const set = (context: PlacementContext, n: number) =>
        setInventories(context, uuid(1), { generation: 0, inventories: { VCPU: { total: n + 1 } }, reservedMayBeAll: true })
      assert.equal(await storm(both, 10, set), 1)
      assert.equal((await provider(both[1]!, uuid(1))).generation, 1)
      assert.equal(await storm(both, 8, (context) => createProvider(context, { name: 'same' })), 1)
    })

    test('a provider goes, or somebody holds something of it; not both', async () => {
      const both = await pair()
      for (let n = 1; n <= 10; n++) {
        await createProvider(both[0]!, { uuid: uuid(n), name: `host-${n}` })
        await setInventories(both[0]!, uuid(n), { generation: 0, inventories: { VCPU: { total: 1 } }, reservedMayBeAll: true })
        const won = await storm(both, 2, (context, i) =>
          i === n % 2 ? removeProvider(context, uuid(n)) : claimAll(context, [claim(n, [n])]),
        )
        assert.equal(won, 1)
      }
    })
  })
})
