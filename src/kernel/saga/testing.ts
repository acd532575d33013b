import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Database, type Migrations, openDatabase } from '../db/database.ts'
import { silent } from '../log/log.ts'
import { type Interceptor, Killed, SagaEngine } from './engine.ts'
import { createSagaTables, type SagaTables } from './log.ts'
import type { Saga, Step } from './saga.ts'

/** One fresh place for a saga to run in. */
export interface SagaWorld {
  database: Database<any>
  /** The saga's World. */
  context: unknown
  /** Writes rows and saga in one transaction, as the service does, then wakes the engine. */
  submit(engine: SagaEngine<any>): Promise<string>
  /** What is there after a failure and should not be. */
  leftovers(): Promise<string[]>
  /** What is missing after a success. */
  arrived?(): Promise<string[]>
  close(): Promise<void>
}

export interface SagaTestOptions {
  saga: Saga<any>
  service?: string
  world(): Promise<SagaWorld>
}

/** A database for sagas alone, in memory. */
export async function sagaDatabase(migrations: Migrations = {}): Promise<Database<SagaTables>> {
  const database = await openDatabase<SagaTables>('sqlite::memory:', { ...migrations, '900-sagas': { up: createSagaTables } })
  await database.migrate()
  return database
}

const MOST_STARTS = 200

/**
 * The four tests that every saga passes: it fails at every step and nothing is left; the same with every undo run twice; every action run twice and it still
 * arrives; the process killed after every record and a new one takes over.
 */
export function sagaTests(options: SagaTestOptions): void {
  const { saga } = options
  const pivot = saga.pivot ? saga.steps.findIndex((step) => step.name === saga.pivot) : saga.steps.length
  const undoable = saga.steps.slice(0, pivot + 1)
  describe(`saga ${saga.kind}`, () => {
    for (const twice of [false, true])
      for (const [i, failing] of undoable.entries())
        for (const when of ['before', 'after'] as const)
          test(`fails ${when} ${failing.name}${twice ? ', every undo twice' : ''}: nothing is left`, async () => {
            const world = await options.world()
            const undone: string[] = []
            const interceptor = { action: failAt(failing, when), undo: undoing(undone, twice) }
            const { state } = await runOnce(options, world, interceptor)
            assert.equal(state, 'failed')
            assert.deepEqual(await world.leftovers(), [])
            assert.deepEqual(undone, undoneBy(saga, i))
            await world.close()
          })

    arrivalTests(options)

    for (const failing of saga.steps.slice(pivot + 1))
      for (const when of ['before', 'after'] as const)
        test(`fails ${when} ${failing.name}, from where there is no way back: it goes on`, async () => {
          const world = await options.world()
          const fail = failAt(failing, when)
          let failed = false
          const action: typeof fail = async (step, run) => {
            if (failed || step.name !== failing.name) return await run()
            failed = true
            return await fail(step, run)
          }
          const { state } = await runOnce(options, world, { action })
          assert.equal(state, 'done')
          assert.deepEqual((await world.arrived?.()) ?? [], [])
          await world.close()
        })

    for (const failing of undoable)
      test(`killed after every record while ${failing.name} fails: nothing is left`, async () => {
        const world = await options.world()
        const { state } = await runKilled(options, world, { action: failAt(failing, 'after') })
        assert.equal(state, 'failed')
        assert.deepEqual(await world.leftovers(), [])
        await world.close()
      })
  })
}

/** Two of them: every action twice, and the process killed after every record; the saga arrives. */
export function arrivalTests(options: SagaTestOptions): void {
  const { saga } = options
  test('every action twice: it arrives', async () => {
    const world = await options.world()
    const action = async (_step: Step, run: () => Promise<unknown>) => {
      await run()
      return await run()
    }
    const { state, error } = await runOnce(options, world, { action })
    assert.equal(state, 'done', error?.message ?? '')
    assert.deepEqual((await world.arrived?.()) ?? [], [])
    await world.close()
  })

  test('killed after every record on the way: it arrives all the same', async () => {
    const world = await options.world()
    const { state, kills } = await runKilled(options, world, {})
    assert.equal(state, 'done')
    assert.ok(kills >= saga.steps.filter((step) => !step.looks).length)
    assert.deepEqual((await world.arrived?.()) ?? [], [])
    await world.close()
  })
}

/** A failure that no alternate mends is thrown before the action or after it did its work. */
function failAt(failing: Step, when: 'before' | 'after'): NonNullable<Interceptor['action']> {
  return async (step, run) => {
    if (step.name !== failing.name) return await run()
    if (when === 'after') await run()
    throw new Error(`test: ${step.name} fails`)
  }
}

function undoing(undone: string[], twice: boolean): NonNullable<Interceptor['undo']> {
  return async (step, run) => {
    undone.push(step.name)
    await run()
    if (twice) await run()
  }
}

/** The failed step and all before it that can be undone, last first. */
const undoneBy = (saga: Saga<any>, failed: number): string[] =>
  saga.steps
    .slice(0, failed + 1)
    .filter((step) => step.undo)
    .map((step) => step.name)
    .toReversed()

function engineFor({ saga, service = 'test' }: SagaTestOptions, world: SagaWorld, interceptor: Interceptor): SagaEngine<any> {
  return new SagaEngine({
    service,
    database: world.database,
    world: world.context,
    sagas: [saga],
    log: silent(),
    exclusive: true,
    undoRetryMs: 5,
    interceptor,
  })
}

async function runOnce(options: SagaTestOptions, world: SagaWorld, interceptor: Interceptor) {
  const engine = engineFor(options, world, interceptor)
  await engine.start()
  const ended = await engine.finished(await world.submit(engine))
  await engine.stop()
  return ended
}

/** Kills the engine after the first record that it writes, starts another, and so on until the saga has ended. */
async function runKilled(options: SagaTestOptions, world: SagaWorld, interceptor: Interceptor) {
  let id: string | null = null
  for (let kills = 0; kills < MOST_STARTS; kills++) {
    let dead = false
    const engine = engineFor(options, world, {
      ...interceptor,
      logged() {
        dead = true
        throw new Killed('test: kill -9')
      },
    })
    await engine.start()
    id ??= await world.submit(engine)
    await engine.idle()
    await engine.stop()
    const row: { state: string } = await (world.database as Database<SagaTables>).db
      .selectFrom('sagas')
      .select('state')
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    if (row.state === 'done' || row.state === 'failed') return { state: row.state, kills }
    assert.ok(dead, 'the engine stands still with a saga that has not ended')
  }
  throw new Error(`saga ${options.saga.kind} does not end in ${MOST_STARTS} starts`)
}
