import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { id, integer, name, real, text } from './columns.ts'
import { type Migrations, openDatabase } from './database.ts'
import { moveDatabases } from './move.ts'
import { withDatabase } from './nodes.ts'
import { onMariaDb } from './testing.ts'
import { databaseExists, databaseStatus, dropDatabase, type ServiceDatabase, upgradeDatabases, using } from './upgrade.ts'

const first: Migrations = {
  '001-things': {
    async up(db: any) {
      await db.schema
        .createTable('things')
        .addColumn('id', id, (c: any) => c.primaryKey())
        .addColumn('name', name)
        .addColumn('note', text)
        .addColumn('n', integer)
        .addColumn('ms', real)
        .execute()
      await db.insertInto('things').values({ id: 'seed', name: 'made by the migration', note: null, n: 0, ms: 0 }).execute()
    },
  },
}
const second: Migrations = {
  ...first,
  '002-more': {
    async up(db: any) {
      await db.schema
        .createTable('more')
        .addColumn('a', id, (c: any) => c.notNull())
        .addColumn('b', id, (c: any) => c.notNull())
        .addPrimaryKeyConstraint('more_pk', ['a', 'b'])
        .execute()
    },
  },
}

const dir = mkdtempSync(join(tmpdir(), 'yun-upgrade-'))
after(() => rmSync(dir, { recursive: true, force: true }))
let files = 0
const file = () => `sqlite:${join(dir, String(files++), 'db', 'thing.sqlite')}`
const one = (url: string, migrations: Migrations): ServiceDatabase[] => [{ service: 'thing', url, migrations }]
const thing = (n: number, more: object = {}) => ({ id: `t${n}`, name: `n${n}`, note: null, n, ms: n / 4, ...more })

test('a file is made, copied before it is changed, and left alone when it is up to date', async () => {
  const url = file()
  assert.deepEqual(await upgradeDatabases(one(url, first)), [{ service: 'thing', created: true, backup: null, applied: ['001-things'] }])
  await using(one(url, first)[0]!, ({ db }) => db.insertInto('things').values(thing(1)).execute())
  assert.deepEqual((await databaseStatus(one(url, second)))[0]!.pending, ['002-more'])
  const [upgraded] = await upgradeDatabases(one(url, second))
  assert.deepEqual([upgraded!.created, upgraded!.applied], [false, ['002-more']])
  assert.match(upgraded!.backup!, /\/backups\/thing\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z\.sqlite$/)
  const [copy] = await databaseStatus(one(`sqlite:${upgraded!.backup}`, second))
  assert.deepEqual(copy!.pending, ['002-more'])
  await using(one(`sqlite:${upgraded!.backup}`, first)[0]!, async ({ db }) =>
    assert.equal((await db.selectFrom('things').selectAll().execute()).length, 2),
  )
  assert.deepEqual(await upgradeDatabases(one(url, second)), [{ service: 'thing', created: false, backup: null, applied: [] }])
})

test('a database of a newer program is not touched', async () => {
  const url = file()
  await upgradeDatabases(one(url, second))
  assert.deepEqual((await databaseStatus(one(url, first)))[0]!.unknown, ['002-more'])
  await assert.rejects(upgradeDatabases(one(url, first)), { status: 409, code: 'NewerDatabase', message: /002-more/ })
})

test('looking at a file that is not there makes none', async () => {
  const url = file()
  assert.equal((await databaseStatus(one(url, first)))[0]!.exists, false)
  assert.equal(existsSync(url.slice('sqlite:'.length)), false)
})

test('a service that starts with an older file gives it what it lacks: nobody else works on it', async () => {
  const url = file()
  await upgradeDatabases(one(url, first))
  assert.deepEqual(await using(one(url, second)[0]!, (database) => database.ready()), ['002-more'])
})

onMariaDb((fresh) => {
  const made: string[] = []
  after(async () => {
    for (const url of made) await dropDatabase(url)
  })
  /** The address of a database that does not exist. */
  const missing = async () => {
    const url = (await fresh()).replace(/(yun_test_\w+)/, '$1_m')
    made.push(url)
    return url
  }
  const filled = async (rows: object[], migrations = second) => {
    const url = file()
    await upgradeDatabases(one(url, migrations))
    await using(one(url, migrations)[0]!, async ({ db }) => {
      for (const row of rows) await db.insertInto('things').values(row).execute()
    })
    return url
  }
  const move = (from: string, to: string, migrations = second) => moveDatabases([{ service: 'thing', from, to, migrations }])

  test('a missing MariaDB database is made, and upgraded while others use it', async () => {
    const url = await missing()
    const [before] = await databaseStatus(one(url, first))
    assert.deepEqual([before!.exists, before!.pending], [false, ['001-things']])
    assert.deepEqual(await upgradeDatabases(one(url, first)), [{ service: 'thing', created: true, backup: null, applied: ['001-things'] }])
    const older = await openDatabase<any>(url, first)
    const both = await Promise.all([upgradeDatabases(one(url, second)), upgradeDatabases(one(url, second))])
    assert.deepEqual(
      both.flat().flatMap((done) => done.applied),
      ['002-more'],
    )
    await older.db.insertInto('things').values(thing(1)).execute()
    await older.close()
    const [after] = await databaseStatus(one(url, second))
    assert.deepEqual([after!.exists, after!.pending, after!.nodes[0]!.state], [true, [], 'single'])
    await assert.rejects(upgradeDatabases(one(url, first)), { code: 'NewerDatabase' })
  })

  const start = (url: string, migrations: Migrations) => using(one(url, migrations)[0]!, (database) => database.ready())

  test('services that start together with an empty database make its tables once', async () => {
    const url = await fresh()
    const applied = await Promise.all([start(url, second), start(url, second), start(url, second)])
    assert.deepEqual(applied.flat(), ['001-things', '002-more'])
  })

  test('a service that starts with an older database refuses, says what to run, and changes nothing', async () => {
    const url = await fresh()
    await upgradeDatabases(one(url, first))
    await assert.rejects(start(url, second), { status: 409, code: 'DatabaseOutdated', message: /lacks 002-more.*"npx yun db upgrade"/ })
    assert.deepEqual((await databaseStatus(one(url, second)))[0]!.pending, ['002-more'])
    await upgradeDatabases(one(url, second))
    assert.deepEqual(await start(url, second), [])
  })

  test('an older service goes on, and starts, with a database that a newer one has expanded', async () => {
    const url = await fresh()
    const older = await openDatabase<any>(url, first)
    await older.ready()
    const all = () => older.db.selectFrom('things').selectAll().orderBy('id').execute()
    assert.equal((await all()).length, 1)
    const third: Migrations = {
      ...second,
      '003-weight': { up: (db: any) => db.schema.alterTable('things').addColumn('weight', integer).execute() },
    }
    await older.transaction(async (trx) => {
      await trx.insertInto('things').values(thing(1)).execute()
    })
    await upgradeDatabases(one(url, third))
    await older.transaction(async (trx) => {
      await trx.insertInto('things').values(thing(2)).execute()
      await trx.updateTable('things').set({ n: 7 }).where('id', '=', 't1').execute()
    })
    assert.deepEqual(
      (await all()).map((row: any) => [row.id, row.n, row.weight]),
      [
        ['seed', 0, null],
        ['t1', 7, null],
        ['t2', 2, null],
      ],
    )
    await older.close()
    assert.deepEqual(await start(url, first), [])
  })

  test('a service that starts without its database says what makes it', async () => {
    await assert.rejects(start(await missing(), first), { status: 409, code: 'DatabaseMissing', message: /npx yun db upgrade/ })
  })

  test('a server that does not answer is named', async () => {
    const url = 'mysql://nobody@localhost/x?socketPath=/nonexistent/mysqld.sock'
    await assert.rejects(databaseStatus(one(url, first)), { status: 503, code: 'DatabaseUnreachable' })
  })

  test('all rows move, whatever is in them; what migrations wrote is replaced', async () => {
    const odd = [
      thing(1, { note: '云 é 🌧 \\ \' " \u0000 end ', name: 'Trailing  ' }),
      thing(2, { n: -(2 ** 53) + 1, ms: 1764000000002.25, note: 'x'.repeat(100_000) }),
      thing(3, { id: 'T1', n: null, ms: 1e-300 }),
      ...Array.from({ length: 1200 }, (_, n) => thing(n + 10, { ms: n / 7 })),
    ]
    const from = await filled(odd)
    await using(one(from, second)[0]!, async ({ db }) => {
      await db.updateTable('things').set({ name: 'changed since' }).where('id', '=', 'seed').execute()
      await db
        .insertInto('more')
        .values([{ a: 'x', b: 'y' }])
        .execute()
    })
    const to = await missing()
    assert.deepEqual(await move(from, to), [
      { service: 'thing', table: 'more', rows: 1 },
      { service: 'thing', table: 'things', rows: odd.length + 1 },
    ])
    await using(one(to, second)[0]!, async ({ db, pending }) => {
      assert.deepEqual(await pending(), [])
      const rows = await db.selectFrom('things').selectAll().where('id', 'in', ['t1', 't2', 'T1', 'seed']).execute()
      const of = (key: string): any => rows.find((row: any) => row.id === key)
      assert.deepEqual([of('t1'), of('t2'), of('T1'), of('seed').name], [...odd.slice(0, 3), 'changed since'])
    })
    assert.ok(await databaseExists(from))
  })

  test('an empty database that is there takes them, one with tables is refused and keeps what it has', async () => {
    const from = await filled([thing(1)])
    const to = await fresh()
    await move(from, to)
    await assert.rejects(move(from, to), { status: 409, code: 'TargetNotEmpty' })
    await using(one(to, second)[0]!, async ({ db }) => assert.equal((await db.selectFrom('things').selectAll().execute()).length, 2))
  })

  test('what is outdated or not there is refused before anything is made', async () => {
    const to = await missing()
    await assert.rejects(move(await filled([], first), to), { status: 409, code: 'DatabaseOutdated' })
    await assert.rejects(move(file(), to), { status: 404 })
    assert.equal(await databaseExists(to), false)
  })

  test('a move that fails leaves no half of it', async () => {
    const to = await missing()
    await assert.rejects(move(await filled([thing(1), thing(2, { id: 'x'.repeat(100) })]), to), /too long/)
    assert.equal(await databaseExists(to), false)
    await assert.rejects(move(await filled([]), withDatabase(to, 'a-b')), { status: 400 })
  })
})
