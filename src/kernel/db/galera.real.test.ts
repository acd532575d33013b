import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type Galera, startGalera } from '../../lab/galera.ts'
import { exec } from '../exec/exec.ts'
import { id, integer } from './columns.ts'
import { type Database, databaseNodes, openDatabase, Raced } from './database.ts'
import { withDatabase } from './nodes.ts'

interface Tables {
  ledger: { id: string; worker: number }
  counters: { id: string; value: number }
}
const migrations = {
  '001-ledger': {
    async up(db: any) {
      await db.schema
        .createTable('ledger')
        .addColumn('id', id, (c: any) => c.primaryKey())
        .addColumn('worker', integer)
        .execute()
      await db.schema
        .createTable('counters')
        .addColumn('id', id, (c: any) => c.primaryKey())
        .addColumn('value', integer)
        .execute()
    },
  },
}

let galera: Galera
const opened: Database<Tables>[] = []
async function open(url = galera.url): Promise<Database<Tables>> {
  const database = await openDatabase<Tables>(withDatabase(url, 'yun_ledger'), migrations)
  opened.push(database)
  return database
}

before(async () => {
  galera = await startGalera()
  const [host, port] = galera.nodes[0]!.split(':')
  await exec('mariadb', [
    '--no-defaults',
    `--host=${host}`,
    `--port=${port}`,
    '--user=root',
    '-e',
    'create database yun_ledger character set utf8mb4 collate utf8mb4_bin',
  ])
})
after(async () => {
  for (const one of opened) await one.close()
  await galera?.stop()
})

/** A counter behind compare-and-swap: whoever loses runs the whole transaction again. */
const increment = (database: Database<Tables>) =>
  database.transaction(async (trx) => {
    const { value } = await trx.selectFrom('counters').select('value').where('id', '=', 'c').executeTakeFirstOrThrow()
    const { numUpdatedRows } = await trx
      .updateTable('counters')
      .set({ value: value + 1 })
      .where('id', '=', 'c')
      .where('value', '=', value)
      .executeTakeFirst()
    if (numUpdatedRows === 0n) throw new Raced()
  })

const nodesAre = async (database: Database<Tables>) => (await databaseNodes(database)).map(({ state, size }) => `${state} ${size}`)

/** Transactions and reads without a pause; whoever asked learns each acknowledged row. */
function load(database: Database<Tables>, workers: number) {
  const acknowledged: { id: string; at: number }[] = []
  const failures = { writes: [] as unknown[], reads: [] as unknown[] }
  let [going, reads] = [true, 0]
  const waiters: { rows: number; resolve: () => void }[] = []
  const writer = async (worker: number) => {
    while (going) {
      const row = { id: randomUUID(), worker }
      try {
        await database.transaction(async (trx) => {
          await trx.selectFrom('counters').selectAll().execute()
          await trx.insertInto('ledger').values(row).execute()
        })
        acknowledged.push({ id: row.id, at: performance.now() })
        for (const waiter of waiters) if (acknowledged.length >= waiter.rows) waiter.resolve()
      } catch (error) {
        failures.writes.push(error)
      }
    }
  }
  const reader = async () => {
    while (going)
      try {
        await database.db.selectFrom('ledger').select('id').limit(1).execute()
        reads++
      } catch (error) {
        failures.reads.push(error)
      }
  }
  const all = [...Array.from({ length: workers }, (_, n) => writer(n)), reader(), reader()]
  return {
    acknowledged,
    failures,
    /** Until so many more rows are acknowledged. */
    more: (rows: number) => new Promise<void>((resolve) => waiters.push({ rows: acknowledged.length + rows, resolve })),
    async end() {
      going = false
      await Promise.all(all)
      return reads
    },
  }
}

async function survives(t: { diagnostic(text: string): void }, what: string, fail: () => Promise<void> | void, survivors: number[]) {
  const database = await open()
  const busy = load(database, 6)
  await busy.more(300)
  const failedAt = performance.now()
  await fail()
  await busy.more(300)
  const reads = await busy.end()
  const { acknowledged, failures } = busy
  const after = acknowledged.filter(({ at }) => at > failedAt + 20).map(({ at }) => at)
  const gap = Math.max(...after.map((at, i) => at - (after[i - 1] ?? failedAt)))
  t.diagnostic(
    `${what}: ${acknowledged.length} acknowledged, ${reads} reads, ${failures.writes.length} in doubt, longest time without a write ${Math.round(gap)} ms`,
  )
  assert.deepEqual(failures.reads, [])
  // at most what each connection was committing at that moment
  assert.ok(failures.writes.length <= 6, String(failures.writes))
  for (const error of failures.writes) assert.equal((error as { code: string }).code, 'DatabaseUnreachable')
  for (const n of survivors) {
    const there = await open(galera.urlOf(n))
    const ids = new Set((await there.db.selectFrom('ledger').select('id').execute()).map((row) => row.id))
    assert.equal(acknowledged.filter((one) => !ids.has(one.id)).length, 0)
  }
  return gap
}

test('two processes on two nodes migrate at once: it is done once, and both wait for it', async () => {
  const [one, two] = [await open(galera.urlOf(0)), await open(galera.urlOf(1))]
  assert.deepEqual(await one.pending(), ['001-ledger'])
  const done = await Promise.all([one.migrate(), two.migrate()])
  assert.deepEqual(done.flat(), ['001-ledger'])
  assert.deepEqual([await one.pending(), await two.pending()], [[], []])
  await one.db.insertInto('counters').values({ id: 'c', value: 0 }).execute()
})

test('a cluster tells of its nodes', async () => {
  const database = await open()
  assert.deepEqual(await databaseNodes(database), [
    { node: galera.nodes[0]!, state: 'Synced', size: 3 },
    { node: galera.nodes[1]!, state: 'Synced', size: 3 },
    { node: galera.nodes[2]!, state: 'Synced', size: 3 },
  ])
  const one = await databaseNodes(await open(galera.urlOf(0)))
  assert.equal(one.length, 3)
  assert.match(one[2]!.state, /does not name/)
})

test('what was written through one node is read at once through another', async () => {
  const [one, two] = [await open(galera.urlOf(0)), await open(galera.urlOf(1))]
  for (let i = 0; i < 200; i++) {
    const row = { id: randomUUID(), worker: -1 }
    await one.db.insertInto('ledger').values(row).execute()
    assert.equal((await two.db.selectFrom('ledger').select('id').where('id', '=', row.id).execute()).length, 1)
  }
})

test('compare-and-swap through three nodes at once loses nothing', async () => {
  const three = [await open(galera.urlOf(0)), await open(galera.urlOf(1)), await open(galera.urlOf(2))]
  await Promise.all(
    three.map(async (database) => {
      for (let i = 0; i < 20; i++) await increment(database)
    }),
  )
  assert.equal((await three[0]!.db.selectFrom('counters').select('value').executeTakeFirstOrThrow()).value, 60)
  // and statements of their own, whose certification fails where nobody could say so
  await Promise.all(
    three.map(async ({ db }) => {
      for (let i = 0; i < 20; i++)
        await db
          .updateTable('counters')
          .set((eb) => ({ value: eb('value', '+', 1) }))
          .where('id', '=', 'c')
          .execute()
    }),
  )
  assert.equal((await three[1]!.db.selectFrom('counters').select('value').executeTakeFirstOrThrow()).value, 120)
})

test('kill -9 of the node in use under load: no acknowledged write is lost, no read fails', { timeout: 120_000 }, async (t) => {
  assert.ok((await survives(t, 'kill -9', () => galera.kill(0), [1, 2])) < 20_000)
  assert.match((await nodesAre(await open())).join(), /^does not answer: ECONNREFUSED 0,Synced 2,Synced 2$/)
})

test('the killed node comes back and has everything', { timeout: 180_000 }, async (t) => {
  const started = performance.now()
  await galera.start(0)
  t.diagnostic(`back and synced after ${Math.round(performance.now() - started)} ms`)
  const database = await open()
  assert.deepEqual(await nodesAre(database), ['Synced 3', 'Synced 3', 'Synced 3'])
  const count = async (n: number) => (await (await open(galera.urlOf(n))).db.selectFrom('ledger').select('id').execute()).length
  assert.equal(await count(0), await count(1))
})

test('a node that hangs without closing its connections is left as well', { timeout: 120_000 }, async (t) => {
  try {
    await survives(t, 'SIGSTOP', () => galera.freeze(0), [1, 2])
  } finally {
    galera.thaw(0)
  }
})
