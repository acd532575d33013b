import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { eachDatabase } from '../../kernel/db/testing.ts'
import { silent } from '../../kernel/log/log.ts'
import { migrations } from '../db/migrations.ts'
import type { PlacementTables } from '../db/tables.ts'
import { candidates } from './candidates.ts'
import type { PlacementContext } from './context.ts'
import { parseWishes } from './query.ts'

const MANY = 250

describe('candidates among many', () => {
  eachDatabase<PlacementTables>(migrations, (open) => {
    async function many(roomOf: (n: number) => number): Promise<{ context: PlacementContext; uuids: string[] }> {
      const database = await open()
      const uuids = Array.from({ length: MANY }, () => randomUUID())
      const at = new Date().toISOString()
      const rest = { reserved: 0, min_unit: 1, max_unit: 100, step_size: 1, allocation_ratio: 1 }
      await database.transaction(async (trx) => {
        await trx
          .insertInto('providers')
          .values(
            uuids.map((uuid, n) => ({
              uuid,
              name: `p${n}`,
              generation: 0,
              parent_uuid: null,
              root_uuid: uuid,
              created_at: at,
              updated_at: at,
            })),
          )
          .execute()
        await trx
          .insertInto('inventories')
          .values(uuids.map((uuid, n) => ({ provider_uuid: uuid, resource_class: 'VCPU', total: roomOf(n), ...rest })))
          .execute()
      })
      return { context: { database, log: silent() }, uuids }
    }
    const ask = async (context: PlacementContext, limit: number) => {
      const wishes = parseWishes({ resources: 'VCPU:4' }, { forbidden: true, any: true })
      const found = await candidates(context, { wishes, limit, isolate: false, rootRequired: [], rootForbidden: [], nested: true })
      const uuids = found.candidates.map((one) => Object.keys(one.allocations)[0]!)
      assert.deepEqual(found.summaries.map((one) => one.provider.uuid).toSorted(), uuids.toSorted())
      return uuids
    }

    test('a few are drawn, others each time', async () => {
      const { context } = await many(() => 8)
      const draws = await Promise.all(Array.from({ length: 10 }, () => ask(context, 5)))
      for (const draw of draws) assert.equal(new Set(draw).size, 5)
      assert.ok(new Set(draws.flat()).size > 10)
    })

    test('where only some have room, all of these are found', async () => {
      const { context, uuids } = await many((n) => (n % 50 === 7 ? 8 : 2))
      const fitting = uuids.filter((_uuid, n) => n % 50 === 7).toSorted()
      assert.deepEqual((await ask(context, 20)).toSorted(), fitting)
      assert.equal((await ask(context, 3)).length, 3)
    })
  })
})
