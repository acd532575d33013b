import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Kysely, type Migration, Migrator, MysqlDialect, sql, type Transaction } from 'kysely'
import { Fault, unavailable } from '../errors/errors.ts'
import { nodeSqlite } from './node-sqlite.ts'

/** Names sort by number: `{ '001-initial': {...}, '002-…': {...} }`. Written once for both databases: see columns.ts. */
export type Migrations = Record<string, Migration>

/**
 * One service's database. Inside `transaction` use only the handle it gives: SQLite has one connection, and a query on the outer handle would wait for
 * itself. The whole function runs again after a deadlock (Galera tells at commit), so it must have no other effects.
 */
export interface Database<T> {
  readonly dialect: 'sqlite' | 'mysql'
  readonly db: Kysely<T>
  transaction<R>(work: (trx: Transaction<T>) => Promise<R>): Promise<R>
  /**
   * Queries whose loss only costs that something is done again. They are committed when this returns, so that a kill takes nothing back, but SQLite does not wait
   * for the disk: a power cut may, with all that was written since the last commit that did wait.
   */
  soon<R>(work: (db: Kysely<T>) => Promise<R>): Promise<R>
  /** Applies what is missing. @throws Fault 500 naming the migration that failed */
  migrate(): Promise<void>
  close(): Promise<void>
}

const RETRIES = 8
const TRY_AGAIN = new Set(['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT', 'ER_ERROR_DURING_COMMIT', 'ER_CHECKREAD'])

/** `url` is `sqlite:/path/file.sqlite`, `sqlite::memory:` or `mysql://user:password@host/name?socketPath=…`. */
export async function openDatabase<T>(url: string, migrations: Migrations): Promise<Database<T>> {
  const dialect = url.startsWith('sqlite:') ? 'sqlite' : 'mysql'
  const db = new Kysely<T>({ dialect: dialect === 'sqlite' ? sqlite(url.slice('sqlite:'.length)) : await mysql(url) })
  const database: Database<T> = {
    dialect,
    db,
    async transaction(work) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await db.transaction().execute(work)
        } catch (error) {
          if (!TRY_AGAIN.has((error as { code?: string }).code ?? '') || attempt === RETRIES) throw error
        }
      }
    },
    async soon(work) {
      if (dialect === 'mysql') return await work(db)
      return await db.connection().execute(async (connection) => {
        await sql`pragma synchronous = normal`.execute(connection)
        try {
          return await work(connection)
        } finally {
          await sql`pragma synchronous = full`.execute(connection)
        }
      })
    },
    async migrate() {
      const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
      const { error, results } = await migrator.migrateToLatest()
      if (!error) return
      const failed = results?.find((result) => result.status === 'Error')?.migrationName
      if (/ECONNREFUSED|ENOENT|ER_ACCESS_DENIED/.test(String((error as { code?: string }).code)))
        throw unavailable(`the database does not answer: ${(error as Error).message}`, 'DatabaseUnreachable', error)
      throw new Fault(500, 'Migration', `database migration ${failed ?? ''} failed: ${(error as Error).message}`, { cause: error })
    },
    close: () => db.destroy(),
  }
  return database
}

function sqlite(file: string) {
  if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  return nodeSqlite(file)
}

/** The driver is loaded where it is used: an embedded cloud does without its 25 MiB. */
async function mysql(url: string) {
  const { createPool } = await import('mysql2')
  const at = new URL(url)
  return new MysqlDialect({
    pool: createPool({
      host: at.hostname || 'localhost',
      port: Number(at.port || 3306),
      socketPath: at.searchParams.get('socketPath') ?? undefined,
      user: decodeURIComponent(at.username),
      password: decodeURIComponent(at.password),
      database: at.pathname.slice(1),
      connectionLimit: Number(at.searchParams.get('connections') ?? 8),
      supportBigNumbers: true,
      charset: 'utf8mb4_bin',
    }),
  })
}
