import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Galera, startGalera } from '../../lab/galera.ts'
import { integer, name } from '../db/columns.ts'
import { type Database, openDatabase } from '../db/database.ts'
import { withDatabase } from '../db/nodes.ts'
import { createDatabase } from '../db/upgrade.ts'
import { silent } from '../log/log.ts'
import { SagaEngine } from './engine.ts'
import { createSagaTables } from './log.ts'
import { at, type Run, saga, step } from './saga.ts'

const migrations = {
  '001-initial': {
    async up(db: any) {
      await createSagaTables(db)
      await db.schema
        .createTable('things')
        .addColumn('name', name, (c: any) => c.primaryKey())
        .addColumn('touched', integer)
        .execute()
    },
  },
}

let galera: Galera
let database: Database<any>
before(async () => {
  galera = await startGalera()
  const url = withDatabase(galera.url, 'yun_sagas')
  await createDatabase(url)
  database = await openDatabase<any>(url, migrations)
  await database.migrate()
})
after(async () => {
  await database?.close()
  await galera?.stop()
})

type ThingRun = Run<Database<any>, { n: number }>
/** As steps of services do: a row that is there stays, a write is a transaction or a statement of its own. */
const put = (what: string) => async (run: ThingRun) => {
  const row = { name: `${what} ${run.input.n}`, touched: 1 }
  await run.world.transaction(async (trx) => {
    const there = await trx.selectFrom('things').selectAll().where('name', '=', row.name).executeTakeFirst()
    if (!there) await trx.insertInto('things').values(row).execute()
  })
  await run.world.db.updateTable('things').set({ touched: 2 }).where('name', '=', row.name).execute()
  return { what }
}
const take = (what: string) => (run: ThingRun) =>
  run.world.db
    .deleteFrom('things')
    .where('name', '=', `${what} ${run.input.n}`)
    .execute()
    .then(() => {})

const WHAT = ['disk', 'port', 'guest', 'address', 'console']
const build = saga<ThingRun>(
  'build',
  WHAT.map((what, i) => step(i + 1, what, at.control, put(what), take(what))),
)

test('sagas go on when the database node they write to is killed: none fails, none stands still', { timeout: 120_000 }, async (t) => {
  const engine = new SagaEngine({
    service: 'test',
    database,
    world: database,
    sagas: [build],
    log: silent(),
    exclusive: false,
    leaseMs: 1500,
  })
  await engine.start()
  let submitted = 0
  const submit = async () => {
    const n = submitted++
    const subject = `thing:${n}`
    const id = await database.transaction((trx) => engine.submit(trx, { kind: 'build', subject, input: { n } }))
    engine.wake(subject)
    return await engine.finished(id)
  }
  const worker = async (rounds: number) => {
    const ends = []
    for (let i = 0; i < rounds; i++) ends.push(await submit())
    return ends
  }
  // whoever asks at the moment of the kill may hear that it is not known whether it is done
  const all = Promise.allSettled(Array.from({ length: 8 }, () => worker(12)))
  while (submitted < 30) await new Promise(setImmediate)
  const killedAt = performance.now()
  await galera.kill(0)
  const results = await all
  const open = () => database.db.selectFrom('sagas').select('id').where('state', 'in', ['running', 'unwinding']).execute()
  while ((await open()).length > 0) await new Promise(setImmediate)
  t.diagnostic(`${submitted} sagas; the last ended ${Math.round(performance.now() - killedAt)} ms after the kill`)
  for (const result of results)
    if (result.status === 'rejected') assert.equal(result.reason.code, 'DatabaseUnreachable', result.reason.stack)
    else for (const end of result.value) assert.deepEqual(end, { state: 'done', error: null })
  const sagas = await database.db.selectFrom('sagas').selectAll().execute()
  assert.deepEqual(
    sagas.filter((one: any) => one.state !== 'done').map((one: any) => `${one.subject} ${one.state}`),
    [],
  )
  assert.equal((await database.db.selectFrom('things').selectAll().where('touched', '=', 2).execute()).length, sagas.length * WHAT.length)
  await engine.stop()
})
