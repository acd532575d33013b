import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eachDatabase } from '../../kernel/db/testing.ts'
import { addHost, changeAggregate, createAggregate, deleteAggregate, findAggregate } from '../app/aggregate.ts'
import type { ComputeContext } from '../app/context.ts'
import { createFlavor, deleteFlavor, findFlavor, grantAccess, listFlavors } from '../app/flavor.ts'
import { requestOf } from '../app/instance-spec.ts'
import { limitsOf, reserve, reserveServers, setLimits, usageOf } from '../app/quota.ts'
import { changeRequest } from '../app/server-request.ts'
import { instanceRow } from '../testing.ts'
import { insertAll, nextNumber } from './handle.ts'
import { findInstance, type InstanceFilter, instancesByHost, listInstances, moveInstance } from './instances.ts'
import { migrations } from './migrations.ts'
import { insertSteps, stepsOf } from './steps.ts'
import type { ComputeTables } from './tables.ts'

const all = (own: Partial<InstanceFilter> = {}): InstanceFilter => ({
  projectId: 'alpha',
  deleted: false,
  columns: [],
  like: [],
  lacks: [],
  matches: [],
  sort: [{ key: 'number', direction: 'asc' }],
  limit: 100,
  ...own,
})

describe('queries', () =>
  eachDatabase<ComputeTables>(migrations, (open) => {
    test('servers: filters, pages over nulls, patterns', async () => {
      const { db } = await open()
      const rows = [0, 1, 2, 3].map((i) =>
        instanceRow({
          number: i,
          name: `n%${i}`,
          key_name: i < 2 ? null : 'k',
          tags_json: `["t${i}","50%"]`,
          host: i === 3 ? null : 'h',
          deleted: i === 2 ? 1 : 0,
        }),
      )
      await db.insertInto('instances').values(rows).execute()
      const numbers = async (own: Partial<InstanceFilter>) => (await listInstances(db, all(own))).map((row) => Number(row.number))
      assert.deepEqual(await numbers({}), [0, 1, 3])
      assert.deepEqual(await numbers({ deleted: null }), [0, 1, 2, 3])
      assert.deepEqual(await numbers({ projectId: 'beta' }), [])
      assert.deepEqual(await numbers({ columns: [{ column: 'key_name', is: '=', value: null }] }), [0, 1])
      assert.deepEqual(await numbers({ like: [{ column: 'tags_json', oneOf: ['"t0"', '"t3"'] }] }), [0, 3])
      assert.deepEqual(await numbers({ like: [{ column: 'tags_json', oneOf: ['"5_%"'] }] }), [])
      assert.deepEqual(await numbers({ like: [{ column: 'tags_json', oneOf: ['"50%"'] }] }), [0, 1, 3])
      assert.deepEqual(await numbers({ matches: [{ column: 'name', pattern: '%[03]$' }], limit: 1 }), [0])
      for (const direction of ['asc', 'desc'] as const) {
        const sort: InstanceFilter['sort'] = [
          { key: 'key_name', direction },
          { key: 'number', direction },
        ]
        const whole = await listInstances(db, all({ sort, deleted: null }))
        for (const [i, after] of whole.entries())
          assert.deepEqual(
            (await listInstances(db, all({ sort, deleted: null, after }))).map((row) => row.id),
            whole.slice(i + 1).map((row) => row.id),
          )
      }
      assert.equal((await instancesByHost(db)).length, 2)
    })

    test('a server moves from the states that are expected, once', async () => {
      const { db } = await open()
      const row = instanceRow()
      await db.insertInto('instances').values(row).execute()
      const take = (task: string) => moveInstance(db, row.id, { vmStates: ['active'], taskStates: [null] }, { task_state: task })
      const taken = await Promise.all([take('pausing'), take('suspending'), take('rebooting')])
      assert.equal(taken.filter(Boolean).length, 1)
      assert.equal(await moveInstance(db, row.id, { vmStates: ['stopped'] }, { task_state: null }), false)
      assert.equal(await moveInstance(db, row.id, { taskStates: ['pausing', 'suspending', 'rebooting'] }, { task_state: null }), true)
      await moveInstance(db, row.id, {}, { held_task: 'rebooting' })
      assert.equal(await take('pausing'), false)
      assert.equal(
        await moveInstance(db, row.id, { taskStates: [null, 'rebooting'] }, { task_state: 'rebooting_hard', held_task: null }),
        true,
      )
    })

    test('what is changed at once of what was asked for is all kept', async () => {
      const database = await open()
      const row = instanceRow()
      await database.db.insertInto('instances').values(row).execute()
      const tried = Array.from({ length: 8 }, (_, i) => `node-${i}`)
      const one = (host: string) =>
        database.transaction((trx) => changeRequest(trx, row.id, ({ triedHosts = [] }) => ({ triedHosts: [...triedHosts, host] })))
      await Promise.all(tried.map(one))
      assert.deepEqual(requestOf((await findInstance(database.db, row.id))!).triedHosts.sort(), tried)
    })

    test('quotas: requests that race take what there is and no more', async () => {
      const database = await open()
      const context = { database } as ComputeContext
      await setLimits(context, 'alpha', { instances: 5, cores: -1 })
      const one = () =>
        database.transaction(async (trx) => {
          await reserve(trx, 'alpha', { instances: 1, cores: 1, ram: 512 })
          await insertAll(trx, 'instances', [instanceRow({ number: await nextNumber(trx, 'instances') })])
        })
      const results = await Promise.allSettled(Array.from({ length: 12 }, one))
      assert.equal(results.filter((result) => result.status === 'fulfilled').length, 5)
      for (const result of results) if (result.status === 'rejected') assert.equal(result.reason.code, 'TooManyInstances')
      assert.deepEqual(await usageOf(database.db, 'alpha'), { instances: 5, cores: 5, ram: 2560 })
      assert.deepEqual(await usageOf(database.db, 'nobody'), { instances: 0, cores: 0, ram: 0 })
      const rows = await database.db.selectFrom('instances').select('number').execute()
      assert.deepEqual(rows.map((row) => Number(row.number)).sort(), [1, 2, 3, 4, 5])
      await setLimits(context, 'alpha', { instances: 8, ram: 2560 + 1100 })
      const { count } = await database.transaction(async (trx) =>
        reserveServers(trx, 'alpha', await limitsOf(trx, 'alpha'), { cores: 1, ram: 512 }, { least: 1, most: 9 }),
      )
      assert.equal(count, 2)
      assert.equal((await limitsOf(database.db, 'alpha', 'ann')).instances, 8)
    })

    test('steps come back as they were, in order', async () => {
      const { db } = await open()
      const step = (n: number, startedAt: number) => ({
        subject: 'server:a',
        step: n,
        name: `s${n}`,
        service: 'compute',
        requestId: 'req-1',
        startedAt,
        ms: 1.5,
        outcome: 'done' as const,
        evidence: { text: 'été', id: 'x' },
        commands: [{ what: 'true', ms: 1 }],
      })
      await insertSteps(db, [step(2, 1764000000002.25), step(1, 1764000000001.5)])
      await insertSteps(db, [])
      assert.deepEqual(await stepsOf(db, ['server:a', 'port:b']), [step(1, 1764000000001.5), step(2, 1764000000002.25)])
      assert.deepEqual(await stepsOf(db, []), [])
      const { evidence, commands, startedAt, requestId, ...one } = step(3, 1764000000001.75)
      const before = { ...one, id: 'x', request_id: requestId, saga: null, started_at: startedAt }
      const row = { ...before, evidence_json: JSON.stringify(evidence), commands_json: JSON.stringify(commands) }
      await db.insertInto('steps').values(row).execute()
      assert.deepEqual(
        (await stepsOf(db, ['server:a'])).map((of) => of.step),
        [1, 3, 2],
      )
    })

    test('aggregates: names and zones do not collide', async () => {
      const database = await open()
      const context = { database } as ComputeContext
      const host = { host: 'h', service_id: 's', provider_id: 'p', number: 1, disabled: 0, disabled_reason: null, forced_down: 0 }
      await database.db
        .insertInto('hosts')
        .values({ ...host, state_json: '{}', seen_at: '2026', created_at: '2026' })
        .execute()
      const made = await createAggregate(context, 'one', 'east')
      const other = await createAggregate(context, 'two', 'west')
      assert.deepEqual([made.id, other.id], [1, 2])
      await assert.rejects(createAggregate(context, 'one', null), { status: 409 })
      await addHost(context, '1', 'h')
      await assert.rejects(addHost(context, '1', 'h'), { status: 409 })
      await assert.rejects(addHost(context, other.uuid, 'h'), /already in availability zone\(s\) east/)
      await assert.rejects(addHost(context, '2', 'nobody'), { status: 404 })
      await assert.rejects(
        changeAggregate(context, '2', () => ({ name: 'one' })),
        { status: 409 },
      )
      await assert.rejects(deleteAggregate(context, '1'), { status: 400 })
      await assert.rejects(findAggregate(database.db, '99999999999999999999'), { status: 404 })
    })

    test('flavors: those not public are seen by those with access', async () => {
      const context = { database: await open() } as ComputeContext
      const id = 'x'.repeat(255)
      await createFlavor(context, { id, name: 'hidden', vcpus: 1, ram: 2_147_483_647, disk: 0, isPublic: false })
      await createFlavor(context, { name: 'open', vcpus: 1, ram: 1, disk: 0 })
      await assert.rejects(createFlavor(context, { name: 'open', vcpus: 1, ram: 1, disk: 0 }), { status: 409 })
      const names = async (accessOf: string | null, isPublic: boolean | null) =>
        (await listFlavors(context, { accessOf, isPublic, limit: 10, sortKey: 'name' })).map((one) => one.name)
      assert.deepEqual(await names('alpha', true), ['open'])
      assert.deepEqual(await names(null, null), ['hidden', 'open'])
      await assert.rejects(findFlavor(context, id, 'alpha'), { status: 404 })
      await grantAccess(context, id, 'alpha')
      await assert.rejects(grantAccess(context, id, 'alpha'), { status: 409 })
      assert.deepEqual(await names('alpha', true), ['hidden', 'open'])
      assert.equal(Number((await findFlavor(context, id, 'alpha')).ram), 2_147_483_647)
      await deleteFlavor(context, id)
      assert.deepEqual(await names(null, false), [])
    })
  }))
