import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { type Kysely, sql } from 'kysely'
import { id, integer, name } from './columns.ts'
import { openDatabase } from './database.ts'
import { prepared, preparedFor } from './prepared.ts'
import { queries } from './queries.ts'
import { eachDatabase, onMariaDb } from './testing.ts'
import { WalDisk } from './wal-disk.ts'

interface Tables {
  counters: { id: string; value: number; label: string | null }
}
const migrations = {
  '001-counters': {
    async up(db: any) {
      await db.schema
        .createTable('counters')
        .addColumn('id', id, (c: any) => c.primaryKey())
        .addColumn('value', integer)
        .addColumn('label', name)
        .execute()
    },
  },
}

eachDatabase<Tables>(migrations, (open) => {
  test('a transaction that throws leaves nothing', async () => {
    const { db, transaction } = await open()
    await assert.rejects(
      transaction(async (trx) => {
        await trx.insertInto('counters').values({ id: 'a', value: 1, label: null }).execute()
        throw new Error('no')
      }),
    )
    assert.deepEqual(await db.selectFrom('counters').selectAll().execute(), [])
  })

  test('every query is published in the context of who asks, without what begins and ends its transaction', async () => {
    const { db, transaction } = await open()
    const asker = new AsyncLocalStorage<string>()
    const seen: string[] = []
    const note = (sql: unknown) => void seen.push(`${asker.getStore()}: ${String(sql).slice(0, 6)}`)
    queries.subscribe(note)
    await Promise.all([
      asker.run('one', () => db.selectFrom('counters').selectAll().execute()),
      asker.run('two', () => transaction((trx) => trx.insertInto('counters').values({ id: 'a', value: 1, label: null }).execute())),
    ])
    queries.unsubscribe(note)
    assert.deepEqual(seen.sort(), ['one: select', 'two: insert'])
  })

  test('a prepared query has other values each time, in a transaction and out of it, and in each database its own words', async () => {
    type Row = Tables['counters']
    const insert = prepared((db: Kysely<Tables>, { id, value, label }: Row) => db.insertInto('counters').values({ id, value, label }))
    const find = prepared((db: Kysely<Tables>, { id }: Pick<Row, 'id'>) => db.selectFrom('counters').selectAll().where('id', '=', id))
    const [one, other] = [await open(), await open()]
    await insert(one.db, { id: 'a', value: 1, label: null })
    await one.soon((db) => insert(db, { id: 'b', value: 2, label: "it's" }))
    await assert.rejects(
      one.transaction(async (trx) => {
        await insert(trx, { id: 'c', value: 3, label: null })
        assert.equal((await find(trx, { id: 'c' })).rows[0]!.value, 3)
        throw new Error('no')
      }),
    )
    const rows = async (id: string) => (await find(one.db, { id })).rows
    assert.deepEqual(
      [...(await rows('a')), ...(await rows('b')), ...(await rows('c'))].map(({ value, label }) => [value, label]),
      [
        [1, null],
        [2, "it's"],
      ],
    )
    assert.deepEqual((await find(other.db, { id: 'a' })).rows, [])
  })

  test('one that is prepared for any number of values finds those of all, of none, and of more than fit into a query', async () => {
    const { db } = await open()
    const several = preparedFor((of: Kysely<Tables>, ids) => of.selectFrom('counters').select('id').where('id', 'in', ids))
    const ids = Array.from({ length: 250 }, (_, i) => `n${i}`)
    await db
      .insertInto('counters')
      .values(ids.map((id) => ({ id, value: 1, label: null })))
      .execute()
    for (const wanted of [[], ['n7'], ['n7', 'n8', 'none'], ids])
      assert.deepEqual((await several(db, wanted)).map((row) => row.id).sort(), wanted.filter((id) => id !== 'none').sort())
  })

  test('of statements that come at once each is its own: one that fails takes none with it, a transaction among them sees those before', async () => {
    const { db, transaction } = await open()
    const put = (id: string) => db.insertInto('counters').values({ id, value: 1, label: null }).execute()
    const [a, b, twin, among, c] = await Promise.allSettled([
      put('a'),
      put('b'),
      put('a'),
      transaction(async (trx) => {
        const seen = await trx.selectFrom('counters').select('id').where('id', '=', 'b').execute()
        await trx.insertInto('counters').values({ id: 'after', value: seen.length, label: null }).execute()
        return seen.length
      }),
      put('c'),
    ])
    assert.deepEqual(
      [a, b, twin, among, c].map((one) => one!.status),
      ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
    )
    const ids = (await db.selectFrom('counters').select('id').orderBy('id').execute()).map((row) => row.id)
    assert.deepEqual(ids, ['a', 'after', 'b', 'c'])
  })

  test('concurrent compare-and-swap loses no update', async () => {
    const { db, transaction } = await open()
    await db.insertInto('counters').values({ id: 'a', value: 0, label: null }).execute()
    const increment = async (): Promise<void> => {
      for (;;) {
        const won = await transaction(async (trx) => {
          const row = await trx.selectFrom('counters').select('value').where('id', '=', 'a').executeTakeFirstOrThrow()
          const result = await trx
            .updateTable('counters')
            .set({ value: row.value + 1 })
            .where('id', '=', 'a')
            .where('value', '=', row.value)
            .executeTakeFirst()
          return result.numUpdatedRows === 1n
        })
        if (won) return
      }
    }
    await Promise.all(Array.from({ length: 20 }, increment))
    assert.equal((await db.selectFrom('counters').select('value').executeTakeFirstOrThrow()).value, 20)
  })

  test('text compares by case, and an update that changes nothing still counts as found', async () => {
    const { db } = await open()
    await db
      .insertInto('counters')
      .values([
        { id: 'a', value: 1, label: 'X' },
        { id: 'A', value: 2, label: 'x' },
      ])
      .execute()
    assert.equal((await db.selectFrom('counters').selectAll().where('label', '=', 'x').execute()).length, 1)
    const same = await db.updateTable('counters').set({ value: 1 }).where('id', '=', 'a').executeTakeFirst()
    assert.equal(same.numUpdatedRows, 1n)
  })
})

onMariaDb((fresh) => {
  test('a server that ends a connection, as one does that stops, is asked again: a read has its answer, a transaction runs once', async () => {
    const database = await openDatabase<Tables>(await fresh(), migrations)
    const operator = await openDatabase<{ 'information_schema.processlist': { id: number; info: string | null } }>(await fresh(), {})
    await database.migrate()
    const end = async (running: string) => {
      const others = operator.db.selectFrom('information_schema.processlist').select('id').where(sql<boolean>`id <> connection_id()`)
      let found: { id: number } | undefined
      while (!found) found = await others.where('info', 'like', `%${running}%`).executeTakeFirst()
      await sql.raw(`kill ${Number(found.id)}`).execute(operator.db)
    }
    let reads = 0
    const reading = sql<{ n: number }>`select sleep(0.5) as n /* a read */`.execute(database.db).then(() => reads++)
    await end('a read')
    await reading
    assert.equal(reads, 1)
    const writing = database.transaction(async (trx) => {
      await trx.insertInto('counters').values({ id: 'a', value: 1, label: null }).execute()
      await sql`select sleep(0.5) /* a transaction */`.execute(trx)
    })
    await end('a transaction')
    await writing
    assert.equal((await database.db.selectFrom('counters').selectAll().execute()).length, 1)
    await Promise.all([database.close(), operator.close()])
  })

  test('a process that goes silent within a transaction holds up nobody for long, and does the whole of it again when it is back', {
    timeout: 30_000,
  }, async (t) => {
    const url = await fresh()
    const [silent, other] = [await openDatabase<Tables>(url, migrations), await openDatabase<Tables>(url, migrations)]
    t.after(() => Promise.all([silent.close(), other.close()]))
    await silent.migrate()
    await silent.db.insertInto('counters').values({ id: 'a', value: 0, label: null }).execute()
    const increment = (trx: Kysely<Tables>) =>
      trx
        .updateTable('counters')
        .set((eb) => ({ value: eb('value', '+', 1) }))
        .where('id', '=', 'a')
        .execute()
    const [holds, back] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let runs = 0
    const cutOff = silent.transaction(async (trx) => {
      runs++
      await increment(trx)
      holds.resolve()
      await back.promise
      return (await trx.selectFrom('counters').select('value').executeTakeFirstOrThrow()).value
    })
    await holds.promise
    const asked = performance.now()
    await other.transaction(increment)
    t.diagnostic(`its lock was free after ${(performance.now() - asked).toFixed(0)} ms`)
    back.resolve()
    assert.equal(await cutOff, 2)
    assert.equal(runs, 2)
    assert.equal((await other.db.selectFrom('counters').select('value').executeTakeFirstOrThrow()).value, 2)
  })
})

test('in a file, transactions that meet are each there or not, also for who opens it next, whether they waited for the disk or not', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'yun-db-'))
  const url = `sqlite:${join(directory, 'test.sqlite')}`
  const first = await openDatabase<Tables>(url, migrations)
  await first.migrate()
  const insert = (db: Kysely<Tables>, n: number) =>
    db
      .insertInto('counters')
      .values({ id: `${n}`, value: n, label: null })
      .execute()
  const outcomes = await Promise.allSettled(
    Array.from({ length: 60 }, (_, n) =>
      n % 3 === 0
        ? first.soon((db) => insert(db, n))
        : first.transaction(async (trx) => {
            await insert(trx, n)
            if (n % 10 === 5) throw new Error('no')
          }),
    ),
  )
  const expected = Array.from({ length: 60 }, (_, n) => n).filter((n) => n % 3 === 0 || n % 10 !== 5)
  assert.deepEqual(
    outcomes.flatMap((one, n) => (one.status === 'fulfilled' ? [n] : [])),
    expected,
  )
  await first.close()
  await assert.rejects(first.soon((db) => insert(db, 100)))
  const second = await openDatabase<Tables>(url, migrations)
  const rows = await second.db.selectFrom('counters').select('value').orderBy('value').execute()
  assert.deepEqual(
    rows.map((row) => row.value),
    expected,
  )
  await second.close()
  rmSync(directory, { recursive: true })
})

test('whoever waits for the disk is told when it fails, and may try again', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'yun-db-'))
  const disk = new WalDisk(join(directory, 'log'))
  await assert.rejects(disk.onDisk(), { code: 'ENOENT' })
  writeFileSync(join(directory, 'log'), 'x')
  await Promise.all([disk.onDisk(), disk.onDisk()])
  await disk.close()
  rmSync(directory, { recursive: true })
})

test('a database that does not answer is named in the error', async () => {
  const database = await openDatabase<Tables>('mysql://nobody@localhost/x?socketPath=/nonexistent/mysqld.sock', migrations)
  await assert.rejects(database.migrate(), { code: 'DatabaseUnreachable', status: 503 })
  await database.close()
})

test('what was written is in the file when its statement returns, and a read that saw it before waits for that', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'yun-db-'))
  const file = join(directory, 'one.sqlite')
  const database = await openDatabase<Tables>(`sqlite:${file}`, migrations)
  await database.migrate()
  const other = new DatabaseSync(file) // as a process sees it that comes after a kill
  const there = () => (other.prepare('select count(*) as n from counters').get() as { n: number }).n
  const value = { value: 1, label: null }
  const writes = ['a', 'b', 'c'].map((id) =>
    database
      .soon((db) =>
        db
          .insertInto('counters')
          .values({ id, ...value })
          .execute(),
      )
      .then(() => there()),
  )
  const reads: Promise<{ seen: number; inFile: number }>[] = []
  for (let n = 0; n < 100; n++) {
    await null // all of them come in the turn of the writes
    const rows = database.db.selectFrom('counters').select('id').execute()
    reads.push(rows.then(({ length }) => ({ seen: length, inFile: there() })))
  }
  assert.deepEqual(await Promise.all(writes), [3, 3, 3])
  const looks = await Promise.all(reads)
  assert.ok(looks.some(({ seen }) => seen === 3))
  for (const { seen, inFile } of looks) assert.ok(seen <= inFile, `${seen} seen, ${inFile} in the file`)
  other.close()
  await database.close()
  rmSync(directory, { recursive: true })
})

test('transactions of one turn are committed together: one that fails takes none with it, one that outlasts the turn keeps nobody from it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'yun-db-'))
  const file = join(directory, 'one.sqlite')
  const { db, transaction, migrate, close } = await openDatabase<Tables>(`sqlite:${file}`, migrations)
  await migrate()
  const other = new DatabaseSync(file)
  const inFile = () =>
    other
      .prepare('select id from counters order by id')
      .all()
      .map((row) => row.id)
  const insert = (at: Kysely<Tables>, id: string) => at.insertInto('counters').values({ id, value: 1, label: null }).execute()
  const seen: unknown[][] = []
  const outcomes = await Promise.allSettled([
    insert(db, 'a'),
    transaction((trx) => insert(trx, 'b')).then(() => seen.push(inFile())),
    transaction(async (trx) => {
      await insert(trx, 'refused')
      await insert(trx, 'a')
    }),
    transaction(async (trx) => {
      await insert(trx, 'c')
      await new Promise((resolve) => setImmediate(resolve))
      await insert(trx, 'd')
    }).then(() => seen.push(inFile())),
    transaction(async (trx) => assert.equal((await trx.selectFrom('counters').selectAll().execute()).length, 4)),
  ])
  assert.deepEqual(
    outcomes.map((one) => one.status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  )
  assert.deepEqual(seen, [
    ['a', 'b', 'c', 'd'],
    ['a', 'b', 'c', 'd'],
  ])
  other.close()
  await close()
  rmSync(directory, { recursive: true })
})

test('a read keeps no other process from writing and is no hindrance to a write after it, which sees what that process wrote', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'yun-db-'))
  const file = join(directory, 'one.sqlite')
  const { db, migrate, close } = await openDatabase<Tables>(`sqlite:${file}`, migrations)
  await migrate()
  const ids = async () => (await db.selectFrom('counters').select('id').orderBy('id').execute()).map((row) => row.id)
  assert.deepEqual(await ids(), [])
  const other = new DatabaseSync(file)
  other.exec("insert into counters values ('theirs', 1, null)")
  await db.insertInto('counters').values({ id: 'ours', value: 1, label: null }).execute()
  assert.deepEqual(await ids(), ['ours', 'theirs'])
  other.close()
  await close()
  rmSync(directory, { recursive: true })
})
