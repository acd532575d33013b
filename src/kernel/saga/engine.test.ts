import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { type Database, DatabaseUnreachable } from '../db/database.ts'
import { conflict } from '../errors/errors.ts'
import { silent } from '../log/log.ts'
import { onStep, type StepRecord } from '../trace/trace.ts'
import { type EngineOptions, Killed, type News, SagaEngine, type SagaRequest } from './engine.ts'
import { recordsOf, type SagaTables } from './log.ts'
import { at, type Run, type Saga, saga, step } from './saga.ts'
import { type SagaWorld, sagaDatabase, sagaTests } from './testing.ts'

/** Things that stand somewhere, by id: what actions make and undos take away. */
interface Yard {
  things: Set<string>
  told: string[]
  trail: string[]
}
type YardRun = Run<Yard, { id: string; hosts?: string[] }, { choose?: { host: string } }>

const yard = (): Yard => ({ things: new Set(), told: [], trail: [] })
const put = (what: string) => (run: YardRun) => {
  run.world.trail.push(`put ${what}`)
  run.world.things.add(`${what} ${run.input.id}`)
  return { what }
}
const take = (what: string) => (run: YardRun) => {
  run.world.trail.push(`take ${what}`)
  run.world.things.delete(`${what} ${run.input.id}`)
}
const tell = (run: YardRun, error: Error) => {
  if (!run.world.told.includes(error.message)) run.world.told.push(error.message)
}

const build = saga<YardRun>(
  'build',
  [
    step(1, 'look', at.control, () => ({ seen: true }), null), // nothing is made
    step(2, 'disk', at.storage, put('disk'), take('disk')),
    step(3, 'port', at.network, put('port'), take('port')),
    step(4, 'guest', at.host, put('guest'), take('guest')),
  ],
  { failed: tell },
)

async function submit(engine: SagaEngine<any>, database: Database<any>, request: SagaRequest): Promise<string> {
  const id = await database.transaction((trx) => engine.submit(trx, request))
  engine.wake(request.subject)
  return id
}

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

async function house(sagas: Saga<any>[], more: Partial<EngineOptions<Yard>> = {}) {
  const database = more.database ?? (await sagaDatabase())
  const context = more.world ?? yard()
  const engine = new SagaEngine<Yard>({
    service: 'compute',
    database,
    world: context,
    sagas,
    log: silent(),
    exclusive: true,
    undoRetryMs: 1,
    ...more,
  })
  await engine.start()
  const go = (request: Partial<SagaRequest> & { kind: string }) =>
    submit(engine, database, { subject: 'server:1', input: { id: '1' }, ...request })
  return { database, context, engine, go }
}

const state = async (database: Database<any>, id: string) =>
  (await (database as Database<SagaTables>).db.selectFrom('sagas').selectAll().where('id', '=', id).executeTakeFirstOrThrow()).state

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

function die(now: boolean): void {
  if (now) throw new Killed('kill -9')
}
