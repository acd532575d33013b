import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { type Kysely, type Migration, Migrator, sql } from 'kysely'
import { conflict, Fault } from '../errors/errors.ts'
import { integer, name } from './columns.ts'
import { DatabaseUnreachable } from './failures.ts'

/** Names sort by number: `{ '001-initial': {...}, '002-…': {...} }`. Written once for both databases: see columns.ts. */
export type Migrations = Record<string, Migration>

const migratorOf = (db: Kysely<any>, migrations: Migrations) => new Migrator({ db, provider: { getMigrations: async () => migrations } })

/** Names of the migrations that a database has. @throws Fault 503 when it does not answer */
export async function appliedMigrations(db: Kysely<any>): Promise<string[]> {
  try {
    const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
    if (!tables.some((table) => table.name === 'kysely_migration')) return []
    return (await db.selectFrom('kysely_migration').select('name').execute()).map((row) => row.name)
  } catch (error) {
    throw plain(error)
  }
}

export async function pendingMigrations(db: Kysely<any>, migrations: Migrations): Promise<string[]> {
  const applied = await appliedMigrations(db)
  return Object.keys(migrations)
    .sort()
    .filter((name) => !applied.includes(name))
}

export async function migrateAll(db: Kysely<any>, dialect: 'sqlite' | 'mysql', migrations: Migrations): Promise<string[]> {
  if ((await pendingMigrations(db, migrations)).length === 0) return []
  return dialect === 'sqlite' ? await migrate(db, migrations) : await alone(db, () => migrate(db, migrations))
}

/** Makes the tables of an empty database. @throws Fault 409 when it has some, and lacks others */
export async function migrateEmpty(db: Kysely<any>, migrations: Migrations, place: string): Promise<string[]> {
  if ((await pendingMigrations(db, migrations)).length === 0) return []
  // under the lease: another process may be making them just now
  return await alone(db, async () => {
    const pending = await pendingMigrations(db, migrations)
    if (pending.length > 0 && (await appliedMigrations(db)).length > 0)
      throw conflict(
        `the database ${place} lacks ${pending.join(', ')}, which this version of Yun needs. Run "npx yun db upgrade" of this version, with the same --config, and start again; control processes of the version before go on meanwhile.`,
        'DatabaseOutdated',
      )
    return await migrate(db, migrations)
  })
}

async function migrate(db: Kysely<any>, migrations: Migrations): Promise<string[]> {
  const { error, results } = await migratorOf(db, migrations).migrateToLatest()
  if (!error) return (results ?? []).map((one) => one.migrationName)
  const failed = results?.find((result) => result.status === 'Error')?.migrationName
  const known = plain(error)
  if (known instanceof Fault) throw known
  throw new Fault(500, 'Migration', `database migration ${failed ?? ''} failed: ${(error as Error).message}`, { cause: error })
}

const LEASE_MS = 60_000
const LOCK = 'yun_migration_lease'

/** The server's own GET_LOCK holds on one node of a cluster only: a row is the same on all. A process that dies leaves it for `leaseMs`. */
export async function alone<R>(db: Kysely<any>, work: () => Promise<R>, leaseMs = LEASE_MS): Promise<R> {
  const holder = randomUUID()
  await db.schema
    .createTable(LOCK)
    .ifNotExists()
    .addColumn('id', integer, (c) => c.primaryKey())
    .addColumn('holder', name, (c) => c.notNull())
    .addColumn('until_ms', integer, (c) => c.notNull())
    .execute()
  await sql`insert ignore into ${sql.table(LOCK)} values (1, '', 0)`.execute(db)
  const take = async () => {
    const taken = await db
      .updateTable(LOCK)
      .set({ holder, until_ms: Date.now() + leaseMs })
      .where((eb) => eb.or([eb('holder', '=', holder), eb('until_ms', '<', Date.now())]))
      .executeTakeFirst()
    return taken.numUpdatedRows === 1n
  }
  while (!(await take())) await pause(200)
  const renewal = setInterval(() => void take().catch(() => {}), leaseMs / 4)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await db.updateTable(LOCK).set({ holder: '', until_ms: 0 }).where('holder', '=', holder).execute()
  }
}

function plain(error: unknown): unknown {
  if (error instanceof Fault) return error
  if ((error as { code?: string }).code === 'ER_BAD_DB_ERROR')
    return conflict(`${(error as Error).message}: "npx yun db upgrade", with the same --config, makes it.`, 'DatabaseMissing')
  if (/ECONNREFUSED|ENOENT|ER_ACCESS_DENIED|ER_DBACCESS_DENIED/.test(String((error as { code?: string }).code)))
    return new DatabaseUnreachable(`the database does not answer: ${(error as Error).message}`, error)
  return error
}
