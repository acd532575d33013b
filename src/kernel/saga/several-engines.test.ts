import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Database, DatabaseUnreachable } from '../db/database.ts'
import { silent } from '../log/log.ts'
import type { News } from './engine.ts'
import { build, die, house, put, state, submit, take, type YardRun, yard } from './engine-testing.ts'
import { recordsOf, type SagaTables } from './log.ts'
import { at, saga, step } from './saga.ts'
import { sagaDatabase } from './testing.ts'

describe('saga engines of several processes on one database', () => {
  test('of two processes the second waits with its saga for the first’s of the same subject, which it may interrupt', async () => {
    const database = await sagaDatabase()
    const context = yard()
    const listeners = new Set<(subject: string) => void>()
    const news: News = {
      tell: (subject) => setImmediate(() => [...listeners].map((hear) => hear(subject))),
      hear(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    }
    const slow = saga<YardRun>('slow', [
      step(1, 'disk', at.storage, put('disk'), take('disk')),
      step(
        2,
        'wait',
        at.host,
        (run) =>
          new Promise((_, reject) => {
            run.world.trail.push('waits')
            run.signal.addEventListener('abort', () => reject(run.signal.reason))
          }),
        null, // nothing is made
      ),
    ])
    const remove = saga<YardRun>('remove', [step(1, 'gone', at.host, put('gone'), null)]) // nothing to take back
    const both = { database, world: context, exclusive: false, news }
    const first = await house([slow, remove], both)
    const second = await house([slow, remove], both)
    const subject = 'server:1'
    const slowId = await submit(first.engine, database, { kind: 'slow', subject, input: { id: '1' } })
    while (!context.trail.includes('waits')) await new Promise((resolve) => setImmediate(resolve))
    const request = { kind: 'remove', subject, input: { id: '1' } }
    const removeId = await submit(second.engine, database, { ...request, interruptOthers: 'it is deleted' })
    assert.deepEqual((await second.engine.finished(removeId)).state, 'done')
    assert.deepEqual((await first.engine.finished(slowId)).error?.message, 'it is deleted')
    assert.deepEqual(context.trail, ['put disk', 'waits', 'take disk', 'put gone'])
    await Promise.all([first.engine.stop(), second.engine.stop()])
  })

  test('an engine that stops leaves to another at once what it had begun, and what is still asked of its process', async () => {
    const database = await sagaDatabase()
    const context = yard()
    const listeners = new Set<(subject: string) => void>()
    const news: News = {
      tell: (subject) => setImmediate(() => [...listeners].map((hear) => hear(subject))),
      hear(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    }
    let stopped: Promise<void> | undefined
    const interceptor = {
      async action(one: { name: string }, run: () => Promise<unknown>) {
        if (one.name === 'port') stopped = leaving.engine.stop()
        return await run()
      },
    }
    const both = { database, world: context, exclusive: false, news, leaseMs: 3_600_000 }
    const leaving = await house([build], { ...both, interceptor })
    const staying = await house([build], both)
    const begun = await leaving.go({ kind: 'build', input: { id: '1' } })
    assert.equal((await staying.engine.finished(begun)).state, 'done')
    assert.deepEqual(context.trail, ['put disk', 'put port', 'put guest'])
    await stopped
    const late = await submit(leaving.engine, database, { kind: 'build', subject: 'server:2', input: { id: '2' } })
    assert.equal((await staying.engine.finished(late)).state, 'done')
    await staying.engine.stop()
  })

  test('a saga that is asked for later comes later, also from a process whose clock is behind', async () => {
    const database = await sagaDatabase()
    const engines = [await house([build], { database, exclusive: false }), await house([build], { database, exclusive: false })]
    const far = '2999-01-01T00:00:00.000Z.000007'
    const ids: string[] = []
    await database.transaction(async (trx) => {
      ids.push(await engines[0]!.engine.submit(trx, { kind: 'build', subject: 's', input: {} }))
      await trx.updateTable('sagas').set({ created_at: far }).where('id', '=', ids[0]!).execute()
      ids.push(await engines[1]!.engine.submit(trx, { kind: 'build', subject: 's', input: {} }))
    })
    const rows = await database.db.selectFrom('sagas').select('id').orderBy('created_at').execute()
    assert.deepEqual(
      rows.map((row) => row.id),
      ids,
    )
    await Promise.all(engines.map(({ engine }) => engine.stop()))
  })

  test('an engine that fell silent is taken over by another when its lease ends, not before', async () => {
    const database = await sagaDatabase()
    const context = yard()
    const killer = { logged: ({ step: name, event }: { step: string; event: string }) => die(name === 'disk' && event === 'done') }
    const dead = await house([build], { database, world: context, exclusive: false, leaseMs: 900, interceptor: killer })
    const id = await dead.go({ kind: 'build' })
    await dead.engine.idle()
    await dead.engine.stop() // its lease stays, as after a kill
    const heir = await house([build], { database, world: context, exclusive: false, leaseMs: 900 })
    await heir.engine.idle()
    assert.equal(await state(database, id), 'running')
    assert.ok(!context.things.has('guest 1'))
    const until = Date.now() + 5000
    while ((await state(database, id)) !== 'done') {
      assert.ok(Date.now() < until, 'nobody took it over')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.equal(context.trail.filter((line) => line === 'put disk').length, 1)
    await heir.engine.stop()
  })

  test('who was cut off for as long as its lease lasts adds nothing to what another has taken over', async () => {
    const database = await sagaDatabase()
    const context = yard()
    let cut = false
    const reachable = <T>(value: T): T => {
      if (cut) throw new DatabaseUnreachable('the network is gone', null)
      return value
    }
    const cable: Database<any> = {
      ...database,
      get db() {
        return reachable(database.db)
      },
      soon: (work) => reachable(database).soon(work),
    }
    const [late, heirs] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const begun = { late: Promise.withResolvers<void>(), heirs: Promise.withResolvers<void>() }
    const atPort = (who: 'late' | 'heirs', end: Promise<void>) => ({
      action: async (one: { name: string }, run: () => Promise<unknown>) => {
        if (one.name !== 'port') return await run()
        begun[who].resolve()
        await end
        return await run()
      },
    })
    const common = { world: context, exclusive: false, leaseMs: 400 }
    const waits = Promise.withResolvers<void>()
    const log = Object.assign(silent(), { warn: () => cut || waits.resolve() })
    const first = await house([build], { ...common, database: cable, log, interceptor: atPort('late', late.promise) })
    const id = await first.go({ kind: 'build' })
    await begun.late.promise
    cut = true
    const heir = await house([build], { ...common, database, interceptor: atPort('heirs', heirs.promise) })
    await begun.heirs.promise
    cut = false
    late.reject(new Error('no host answers me'))
    await waits.promise
    heirs.resolve()
    assert.equal((await heir.engine.finished(id)).state, 'done')
    const { rows } = await recordsOf((database as Database<SagaTables>).db, { sagaId: id })
    assert.deepEqual(
      rows.map((row) => `${row.step} ${row.event}`),
      ['look done', 'disk done', 'port done', 'guest done'],
    )
    await Promise.all([first, heir].map(({ engine }) => engine.stop()))
  })
})
