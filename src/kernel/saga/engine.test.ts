import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import type { Database } from '../db/database.ts'
import { conflict } from '../errors/errors.ts'
import { onStep, type StepRecord } from '../trace/trace.ts'
import { build, die, house, put, state, submit, take, tell, type YardRun, yard } from './engine-testing.ts'
import { recordsOf, type SagaTables } from './log.ts'
import { at, saga, step } from './saga.ts'
import { type SagaWorld, sagaDatabase, sagaTests } from './testing.ts'

async function world(): Promise<SagaWorld> {
  const database = await sagaDatabase()
  const context = yard()
  return {
    database,
    context,
    submit: (engine) => submit(engine, database, { kind: 'build', subject: 'server:1', input: { id: '1' } }),
    leftovers: async () => [...context.things, ...(context.told.length === 1 ? [] : [`told ${context.told.length} times`])],
    arrived: async () => ['disk 1', 'port 1', 'guest 1'].filter((thing) => !context.things.has(thing)),
    close: () => database.close(),
  }
}

sagaTests({ saga: build, world })

describe('the saga engine', () => {
  test('a failure that an alternate mends unwinds to the retry point only', async () => {
    const made = saga<YardRun>(
      'place',
      [
        step(1, 'disk', at.storage, put('disk'), take('disk')),
        step(2, 'choose', at.scheduler, (run) => ({ host: run.input.hosts![run.attempt]! }), null), // a choice leaves nothing behind
        step(3, 'port', at.network, put('port'), take('port')),
        step(
          4,
          'guest',
          at.host,
          (run) => {
            run.world.trail.push(`try ${run.outputs.choose!.host}`)
            if (run.outputs.choose!.host !== 'good') throw conflict('no room', 'NoRoom')
            return put('guest')(run)
          },
          take('guest'),
        ),
      ],
      { retry: { from: 'choose', when: (error, run) => (error as { code?: string }).code === 'NoRoom' && run.attempt < 2 }, failed: tell },
    )
    const { context, engine, go } = await house([made])
    const lucky = await engine.finished(await go({ kind: 'place', input: { id: '1', hosts: ['full', 'full too', 'good'] } }))
    assert.equal(lucky.state, 'done')
    assert.equal(context.trail.filter((line) => line === 'put disk').length, 1)
    assert.deepEqual(
      context.trail.filter((line) => line.startsWith('try')),
      ['try full', 'try full too', 'try good'],
    )
    context.things.clear()
    const unlucky = await engine.finished(await go({ kind: 'place', input: { id: '1', hosts: ['a', 'b', 'c'] } }))
    assert.deepEqual([unlucky.state, unlucky.error?.code, unlucky.error?.status], ['failed', 'NoRoom', 409])
    assert.deepEqual([...context.things], [])
    assert.deepEqual(context.told, ['no room'])
    await engine.stop()
  })

  test('sagas of one subject run in the order in which they were asked for, those of others beside them', async () => {
    const gate = Promise.withResolvers<void>()
    const slow = saga<YardRun>('slow', [
      step(
        1,
        'work',
        at.host,
        async (run) => {
          if (run.subject === 'server:1') await gate.promise
          run.world.trail.push(run.input.id)
        },
        null, // a line in a list of the test
      ),
    ])
    const { context, engine, go } = await house([slow])
    const ids: string[] = []
    for (const id of ['a', 'b', 'c', 'd']) ids.push(await go({ kind: 'slow', input: { id } }))
    await engine.finished(await go({ kind: 'slow', subject: 'server:2', input: { id: 'other' } }))
    assert.deepEqual(context.trail, ['other'])
    gate.resolve()
    for (const id of ids) assert.equal((await engine.finished(id)).state, 'done')
    assert.deepEqual(context.trail, ['other', 'a', 'b', 'c', 'd'])
    await engine.stop()
  })

  test('an interrupt stops a wait, unwinds, and the interrupter runs next', async () => {
    const waiting = Promise.withResolvers<void>()
    const wait = saga<YardRun>(
      'wait',
      [
        step(1, 'disk', at.storage, put('disk'), take('disk')),
        step(
          2,
          'wait',
          at.host,
          (run) =>
            new Promise((_resolve, reject) => {
              run.signal.addEventListener('abort', () => reject(run.signal.reason))
              waiting.resolve()
            }),
          null, // it only waits
        ),
      ],
      { failed: tell },
    )
    const destroy = saga<YardRun>('destroy', [step(1, 'gone', at.control, (run) => void run.world.trail.push('gone'), null)]) // a line in a list
    const { context, engine, go } = await house([wait, destroy])
    const first = await go({ kind: 'wait' })
    await waiting.promise
    const second = await go({ kind: 'destroy', interruptOthers: 'the server is deleted' })
    const { error } = await engine.finished(first)
    assert.deepEqual([error?.code, error?.message], ['Interrupted', 'the server is deleted'])
    assert.equal((await engine.finished(second)).state, 'done')
    assert.deepEqual(context.trail, ['put disk', 'take disk', 'gone'])
    await engine.stop()
  })

  test('one that was interrupted before it began does nothing', async () => {
    const { context, engine, database } = await house([build])
    const first = await database.transaction((trx) => engine.submit(trx, { kind: 'build', subject: 'server:1', input: { id: '1' } }))
    const second = await database.transaction((trx) =>
      engine.submit(trx, { kind: 'build', subject: 'server:1', input: { id: '2' }, interruptOthers: 'never mind' }),
    )
    engine.wake('server:1')
    assert.equal((await engine.finished(first)).state, 'failed')
    assert.equal((await engine.finished(second)).state, 'done')
    assert.deepEqual([...context.things], ['disk 2', 'port 2', 'guest 2'])
    await engine.stop()
  })

  test('an undo that fails is tried until it works; so is the telling', async () => {
    let refusals = 2
    let mute = 1
    const stubborn = saga<YardRun>(
      'stubborn',
      [
        step(1, 'disk', at.storage, put('disk'), (run) => {
          if (refusals-- > 0) throw new Error('the disk is busy')
          take('disk')(run)
        }),
        step(2, 'fail', at.host, () => Promise.reject(conflict('no')), null), // it makes nothing
      ],
      {
        failed: (run, error) => {
          if (mute-- > 0) throw new Error('the database is away')
          tell(run, error)
        },
      },
    )
    const { context, engine, go } = await house([stubborn])
    const id = await go({ kind: 'stubborn' })
    assert.equal((await engine.finished(id)).state, 'failed')
    assert.deepEqual([[...context.things], context.told, refusals, mute], [[], ['no'], -1, -1])
    await engine.stop()
  })

  test('who waits for a saga hears of its failure also while it cannot be taken back', async () => {
    const host = Promise.withResolvers<void>()
    const held = saga<YardRun>('held', [
      step(1, 'disk', at.storage, put('disk'), async (run) => {
        await host.promise
        take('disk')(run)
      }),
      step(2, 'fail', at.host, () => Promise.reject(conflict('no')), null),
    ])
    const { context, engine, go } = await house([held])
    const id = await go({ kind: 'held' })
    const early = await engine.finished(id, { unwindingMs: 0 })
    assert.deepEqual([early.state, early.error?.message, context.things.size], ['unwinding', 'no', 1])
    host.resolve()
    assert.equal((await engine.finished(id)).state, 'failed')
    assert.equal(context.things.size, 0)
    await engine.stop()
  })

  test('what only looked is written before the next step that acts, and done again by the next process if it was not', async () => {
    const database = await sagaDatabase()
    const context = yard()
    const seen: string[] = []
    const look = (name: string) => step<YardRun>(null, name, at.control, () => void seen.push(name), null, { looks: true })
    const made = saga<YardRun>('search', [
      look('hosts'),
      look('weights'),
      step(1, 'disk', at.storage, put('disk'), take('disk')),
      look('end'),
    ])
    const action = async (one: { name: string }, run: () => Promise<unknown>) => {
      await run()
      die(one.name === 'weights')
    }
    const dead = await house([made], { database, world: context, interceptor: { action } })
    const id = await dead.go({ kind: 'search' })
    await dead.engine.idle()
    assert.deepEqual((await recordsOf((database as Database<SagaTables>).db, { sagaId: id })).rows, [])
    const logged: string[] = []
    const heir = await house([made], { database, world: context, interceptor: { logged: ({ step }) => void logged.push(step) } })
    assert.equal((await heir.engine.finished(id)).state, 'done')
    assert.deepEqual(seen, ['hosts', 'weights', 'hosts', 'weights', 'end'])
    assert.deepEqual(logged, ['hosts', 'weights', 'disk', 'end', ''])
    await heir.engine.stop()
  })

  test('stop finishes the step under way; the next process goes on after it', async () => {
    const database = await sagaDatabase()
    const context = yard()
    const first = await house([build], { database, world: context })
    const interceptor = {
      action: async (one: { name: string }, run: () => Promise<unknown>) => {
        if (one.name === 'port') void first.engine.stop()
        return await run()
      },
    }
    Object.assign((first.engine as unknown as { options: object }).options, { interceptor })
    const id = await first.go({ kind: 'build' })
    await first.engine.idle()
    assert.equal(await state(database, id), 'running')
    const second = await house([build], { database, world: context })
    assert.equal((await second.engine.finished(id)).state, 'done')
    assert.deepEqual(context.trail, ['put disk', 'put port', 'put guest'])
    await second.engine.stop()
  })

  test('each step leaves a record with number, place, outcome and the request that caused it', async () => {
    const { engine, go } = await house([build])
    const records: StepRecord[] = []
    const silence = onStep((record) => records.push(record))
    const requestId = `req-${randomUUID()}`
    await engine.finished(await go({ kind: 'build', requestId }))
    silence()
    assert.deepEqual(
      records.map((one) => [one.step, one.name, one.service, one.outcome, one.subject, one.saga]),
      [
        [1, 'look', 'compute/control', 'done', 'server:1', 'build'],
        [2, 'disk', 'compute/storage', 'done', 'server:1', 'build'],
        [3, 'port', 'compute/network', 'done', 'server:1', 'build'],
        [4, 'guest', 'compute/host', 'done', 'server:1', 'build'],
      ],
    )
    assert.ok(records.every((one) => one.requestId === requestId))
    await engine.stop()
  })

  test('a saga is there only if its transaction is; unknown kinds and doubled names are refused', async () => {
    const { database, engine } = await house([build])
    await assert.rejects(
      database.transaction(async (trx) => {
        await engine.submit(trx, { kind: 'build', subject: 'server:1', input: { id: '1' } })
        throw new Error('rolled back')
      }),
    )
    assert.deepEqual(await (database as Database<SagaTables>).db.selectFrom('sagas').selectAll().execute(), [])
    await assert.rejects(database.transaction((trx) => engine.submit(trx, { kind: 'nope', subject: 's', input: {} })))
    const one = step(1, 'same', at.control, () => null, null) // makes nothing
    assert.throws(() => saga('twice', [one, one]), /same name/)
    assert.throws(() => saga('lost', [one], { retry: { from: 'nowhere', when: () => true } }), /no step nowhere/)
    await engine.stop()
  })
})
