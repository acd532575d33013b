import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import type { Migrations } from '../kernel/db/database.ts'
import { serviceDatabases } from './databases.ts'

/** What a migration says to a database. */
async function statementsOf(migration: Migrations[string]): Promise<string[]> {
  const said: string[] = []
  const db = new Kysely<any>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (of) => new SqliteIntrospector(of),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
    log: ({ query }) => void said.push(query.sql),
  })
  await migration!.up(db)
  return said
}

/** Why control processes of the version before would fail after it; null: they go on. */
function breaks(statement: string, made: Set<string>): string | null {
  const table = /^create table (?:if not exists )?"(\w+)"/.exec(statement)?.[1]
  if (table) made.add(table)
  if (/\b(drop|rename|modify|alter column)\b/i.test(statement)) return 'takes away or changes what they use'
  if (/\badd column\b/.test(statement) && /\bnot null\b/.test(statement) && !/\bdefault\b/.test(statement))
    return 'adds a column that they do not fill in'
  const indexed = /^create unique index .* on "(\w+)"/.exec(statement)?.[1]
  if (indexed && !made.has(indexed)) return 'forbids rows that they write'
  return null
}

test('migrations only expand: control processes of the version before go on until they are restarted', async () => {
  for (const { service, migrations } of serviceDatabases({ stateDir: '/' }))
    for (const [name, migration] of Object.entries(migrations)) {
      const made = new Set<string>()
      const said = await statementsOf(migration)
      assert.ok(said.length > 0, `${service} ${name} says nothing`)
      for (const statement of said) assert.equal(breaks(statement, made), null, `${service} ${name}: ${statement}`)
    }
})

test('what would break them is found', () => {
  for (const statement of [
    'drop table "servers"',
    'alter table "servers" drop column "name"',
    'alter table "servers" rename to "instances"',
    'alter table "servers" add column "x" bigint not null',
    'create unique index "x" on "servers" ("name")',
  ])
    assert.notEqual(breaks(statement, new Set()), null, statement)
  assert.equal(breaks('alter table "servers" add column "x" bigint not null default 0', new Set()), null)
})
