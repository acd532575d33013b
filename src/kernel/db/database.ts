import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Kysely, MysqlDialect, type Transaction } from 'kysely'
import { isDuplicate, isLost, isNotReady, isRolledBack } from './failures.ts'
import { alone, type Migrations, migrateAll, migrateEmpty, pendingMigrations } from './migrate.ts'
import { nodeSqlite, SqliteFile } from './node-sqlite.ts'
import { type NodeState, nodesOf } from './node-states.ts'
import { NodePool, parseMysqlUrl } from './nodes.ts'

/**
 * One service's database. Inside `transaction` use only the handle it gives: SQLite has one connection, and a query on the outer handle would wait for
 * itself. The whole function runs again after a deadlock (Galera tells at commit), a lost compare-and-swap (throw {@link Raced}), a row that somebody else just made and a connection that was lost before the
 * commit began, so it must have no other effects.
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
  /** Names of the migrations that this database lacks, in their order. */
  pending(): Promise<string[]>
  /** Applies what is missing and tells what that was. Of several processes on several nodes one migrates, the others wait for it. @throws Fault 500 naming the migration that failed */
  migrate(): Promise<string[]>
  /**
   * What a service begins with: tables for an empty database, and for a file, which nobody else works on, what it lacks. What others on a server work on changes by an operator's word only; one that a newer
   * version has expanded is well. @throws Fault 409 that says which command to run
   */
  ready(): Promise<string[]>
  /** Of several processes that want this at once each does it, one after the other. Who dies in it keeps the others waiting for ten seconds. */
  alone<R>(work: () => Promise<R>): Promise<R>
  /** The nodes that keep it, as each sees itself. */
  nodes(): Promise<NodeState[]>
  close(): Promise<void>
}

export { DatabaseUnreachable, Raced } from './failures.ts'
export type { Migrations, NodeState }

const ATTEMPTS = 30
const ALONE_MS = 10_000
/** Of transactions that a unique key refused. Whoever looked before and found nothing finds the row of who was faster, and says so in its own words. */
const LOOKS = 3

/** `url` is `sqlite:/path/file.sqlite`, `sqlite::memory:` or `mysql://user:password@node1:3306,node2:3306/name`: see {@link parseMysqlUrl}. */
export async function openDatabase<T>(url: string, migrations: Migrations): Promise<Database<T>> {
  const dialect = url.startsWith('sqlite:') ? 'sqlite' : 'mysql'
  const { db, unhurried } = dialect === 'sqlite' ? sqlite<T>(url.slice('sqlite:'.length)) : await mysql<T>(url)
  const database: Database<T> = {
    dialect,
    db,
    async transaction(work) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await db.transaction().execute(work)
        } catch (error) {
          const attempts = isRolledBack(error) || isLost(error) || isNotReady(error) ? ATTEMPTS : isDuplicate(error) ? LOOKS : 0
          if (attempt >= attempts) throw error
          // those who met go on at different moments, or they meet again
          if (attempt > 1) await pause(Math.random() * Math.min(200, 2 ** attempt))
        }
      }
    },
    soon: (work) => work(unhurried),
    pending: () => pendingMigrations(db, migrations),
    migrate: () => migrateAll(db, dialect, migrations),
    ready: () => (dialect === 'sqlite' ? migrateAll(db, dialect, migrations) : migrateEmpty(db, migrations, parseMysqlUrl(url).database)),
    alone: (work) => (dialect === 'sqlite' ? work() : alone(db, work, ALONE_MS)),
    nodes: () => nodesOf(url),
    close: () => db.destroy(),
  }
  return database
}

/** For `yun status`: where a database is kept and how that is. */
export const databaseNodes = (database: Database<any>): Promise<NodeState[]> => database.nodes()

/** `unhurried` does not wait for the disk. */
interface Opened<T> {
  db: Kysely<T>
  unhurried: Kysely<T>
}

function sqlite<T>(path: string): Opened<T> {
  if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const file = new SqliteFile(path)
  return {
    db: new Kysely<T>({ dialect: nodeSqlite(file, { durable: true }) }),
    unhurried: new Kysely<T>({ dialect: nodeSqlite(file, { durable: false }) }),
  }
}

/** The driver is loaded where it is used: an embedded cloud does without its 25 MiB. */
async function mysql<T>(url: string): Promise<Opened<T>> {
  const { createPool } = await import('mysql2')
  const db = new Kysely<T>({ dialect: new MysqlDialect({ pool: new NodePool(parseMysqlUrl(url), createPool) }) })
  return { db, unhurried: db }
}
