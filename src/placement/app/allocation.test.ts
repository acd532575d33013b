import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { queries } from '../../kernel/db/queries.ts'
import { eachDatabase } from '../../kernel/db/testing.ts'
import { silent } from '../../kernel/log/log.ts'
import { migrations } from '../db/migrations.ts'
import type { PlacementTables } from '../db/tables.ts'
import { uuid } from '../testing.ts'
import { allocationsFor, type Claim, claimAll, consumersOf, projectUsages, providerUsages, release } from './allocation.ts'
import { candidates } from './candidates.ts'
import type { PlacementContext } from './context.ts'
import { type Inventory, setInventories } from './inventory.ts'
import { createProvider, provider, removeProvider } from './provider.ts'
import { parseWishes } from './query.ts'

const host = uuid(1)
const claimOf = (n: number, allocations: Claim['allocations'], more: Partial<Claim> = {}): Claim => ({
  consumer: uuid(1000 + n),
  allocations,
  projectId: 'p',
  userId: 'u',
  ...more,
})

async function stock(context: PlacementContext, n: number, inventories: Record<string, Inventory>): Promise<string> {
  await createProvider(context, { uuid: uuid(n), name: `host-${n}` })
  await setInventories(context, uuid(n), { generation: 0, inventories, reservedMayBeAll: true })
  return uuid(n)
}

const outcomes = (results: PromiseSettledResult<unknown>[]) => ({
  won: results.filter((one) => one.status === 'fulfilled').length,
  lost: results.filter((one) => one.status === 'rejected').map((one) => one.reason),
})

describe('claims', () => {
  eachDatabase<PlacementTables>(migrations, (open) => {
    const placement = async (): Promise<PlacementContext> => ({ database: await open(), log: silent() })

    test('of 100 concurrent claims on a provider with room for 10 exactly 10 succeed', async () => {
      const context = await placement()
      await stock(context, 1, { VCPU: { total: 5, allocation_ratio: 2 } })
      const results = await Promise.allSettled(
        Array.from({ length: 100 }, (_, n) => claimAll(context, [claimOf(n, { [host]: { VCPU: 1 } }, { generation: null })])),
      )
      const { won, lost } = outcomes(results)
      assert.equal(won, 10)
      for (const reason of lost) assert.match(reason.message, /10 of 10 are used/)
      assert.deepEqual((await providerUsages(context, host)).usages, { VCPU: 10 })
      assert.equal(Object.keys((await consumersOf(context, host)).allocations).length, 10)
    })

    test('claims that cross on two providers neither hang nor overfill', async () => {
      const context = await placement()
      const [a, b] = [await stock(context, 1, { VCPU: { total: 8 } }), await stock(context, 2, { VCPU: { total: 8 } })]
      const results = await Promise.allSettled(
        Array.from({ length: 30 }, (_, n) =>
          claimAll(context, [claimOf(n, n % 2 ? { [a]: { VCPU: 1 }, [b]: { VCPU: 1 } } : { [b]: { VCPU: 1 }, [a]: { VCPU: 1 } })]),
        ),
      )
      assert.equal(outcomes(results).won, 8)
    })

    test('one consumer claimed by many at once is claimed once; the others hear of a concurrent update', async () => {
      const context = await placement()
      await stock(context, 1, { VCPU: { total: 100 } })
      await stock(context, 2, { VCPU: { total: 100 } })
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, (_, n) =>
          claimAll(context, [claimOf(0, { [uuid(1 + (n % 2))]: { VCPU: n + 1 } }, { generation: null })]),
        ),
      )
      const { won, lost } = outcomes(results)
      assert.equal(won, 1)
      for (const reason of lost) assert.equal(reason.code, 'placement.concurrent_update', reason.message)
      const held = await allocationsFor(context, uuid(1000))
      assert.equal(Object.keys(held.allocations).length, 1)
      assert.equal(held.consumer!.generation, 1)
    })

    test('inventory written beside claims: never more held than there was room for', async () => {
      const context = await placement()
      await stock(context, 1, { VCPU: { total: 20 } })
      const claims = Array.from({ length: 20 }, (_, n) => claimAll(context, [claimOf(n, { [host]: { VCPU: 1 } })]))
      const shrink = async () => {
        for (;;) {
          const { generation } = await provider(context, host)
          try {
            await setInventories(context, host, { generation, inventories: { VCPU: { total: 5 } }, reservedMayBeAll: true })
            return (await providerUsages(context, host)).usages.VCPU!
          } catch (error) {
            assert.equal((error as { code: string }).code, 'placement.concurrent_update')
          }
        }
      }
      const [atShrink, ...results] = await Promise.allSettled([shrink(), ...claims])
      const seen = (atShrink as PromiseFulfilledResult<number>).value
      const held = (await providerUsages(context, host)).usages.VCPU!
      assert.equal(held, outcomes(results).won)
      assert.ok(held <= Math.max(5, seen), `${held} held, ${seen} when it shrank`)
    })

    test('reserved, ratio, units and steps decide; what a consumer holds itself does not count against it', async () => {
      const context = await placement()
      await stock(context, 1, {
        VCPU: { total: 4, allocation_ratio: 1.5 },
        MEMORY_MB: { total: 1000, reserved: 200, min_unit: 64, max_unit: 512, step_size: 64 },
        DISK_GB: { total: 10, reserved: 10 },
      })
      const refused: [Record<string, number>, RegExp][] = [
        [{ VCPU: 7 }, /0 of 6 are used/],
        [{ MEMORY_MB: 32 }, /smallest/],
        [{ MEMORY_MB: 576 }, /largest/],
        [{ MEMORY_MB: 100 }, /multiple/],
        [{ DISK_GB: 1 }, /0 of 0/],
        [{ VGPU: 1 }, /no inventory/],
      ]
      for (const [amounts, why] of refused)
        await assert.rejects(
          claimAll(context, [claimOf(0, { [host]: amounts })]),
          (error: any) => error.status === 409 && why.test(error.message),
        )
      await claimAll(context, [claimOf(0, { [host]: { VCPU: 4, MEMORY_MB: 512 } })])
      await claimAll(context, [claimOf(0, { [host]: { VCPU: 6, MEMORY_MB: 448 } })])
      await assert.rejects(claimAll(context, [claimOf(1, { [host]: { VCPU: 1 } })]), { status: 409 })
      assert.deepEqual((await allocationsFor(context, uuid(1000))).allocations[host]!.resources, { VCPU: 6, MEMORY_MB: 448 })
    })

    test('several consumers at once: all or none, and what one gives up another may have', async () => {
      const context = await placement()
      const [a, b] = [await stock(context, 1, { VCPU: { total: 4 } }), await stock(context, 2, { VCPU: { total: 4 } })]
      await claimAll(context, [claimOf(0, { [a]: { VCPU: 4 } })])
      const tooMuch = [claimOf(1, { [b]: { VCPU: 3 } }), claimOf(2, { [b]: { VCPU: 3 } })]
      await assert.rejects(claimAll(context, tooMuch), { status: 409 })
      assert.deepEqual((await providerUsages(context, b)).usages, { VCPU: 0 })
      // A migration: the instance moves to b, the migration record holds what it had on a.
      await claimAll(context, [
        claimOf(0, { [b]: { VCPU: 4 } }, { generation: 1 }),
        claimOf(3, { [a]: { VCPU: 4 } }, { generation: null, consumerType: 'MIGRATION' }),
      ])
      await assert.rejects(claimAll(context, [claimOf(0, {}, { generation: 1 })]), { code: 'placement.concurrent_update' })
      await claimAll(context, [claimOf(3, {}, { generation: 1 })])
      assert.deepEqual((await providerUsages(context, a)).usages, { VCPU: 0 })
      const { used, consumers } = await projectUsages(context, { projectId: 'p' })
      assert.deepEqual(used, [{ type: null, resourceClass: 'VCPU', used: 4 }])
      assert.equal(consumers.get(null), 1)
      await release(context, uuid(1000))
      await assert.rejects(release(context, uuid(1000)), { status: 404 })
      await assert.rejects(claimAll(context, [claimOf(5, { [uuid(404)]: { VCPU: 1 } })]), { status: 400 })
    })

    test('a provider goes when nobody holds anything of it, also beside claims', async () => {
      const context = await placement()
      await stock(context, 1, { VCPU: { total: 4 } })
      const [gone, claimed] = await Promise.allSettled([
        removeProvider(context, host),
        claimAll(context, [claimOf(0, { [host]: { VCPU: 1 } })]),
      ])
      assert.notEqual(gone.status, claimed.status)
    })

    test('candidates and claims cost as many queries for two hundred providers as for two', async () => {
      const context = await placement()
      const count = async (work: () => Promise<unknown>) => {
        let asked = 0
        const counting = () => void asked++
        queries.subscribe(counting)
        await work()
        queries.unsubscribe(counting)
        return asked
      }
      const ask = async () => {
        const wishes = parseWishes({ resources: 'VCPU:1', required: 'COMPUTE_NODE' }, { forbidden: true, any: true })
        return await candidates(context, { wishes, isolate: false, rootRequired: [], rootForbidden: [], nested: true })
      }
      const add = async (n: number) => {
        const one = await stock(context, n, { VCPU: { total: 4 } })
        await context.database.db.insertInto('provider_traits').values({ provider_uuid: one, trait: 'COMPUTE_NODE' }).execute()
      }
      for (const n of [1, 2]) await add(n)
      const few = await count(ask)
      for (let n = 3; n <= 200; n++) await add(n)
      assert.equal((await ask()).candidates.length, 200)
      assert.equal(await count(ask), few)
      assert.ok(few > 0 && few <= 6, `${few} queries`)
    })
  })
})
