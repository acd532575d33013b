import { DatabaseSync, type StatementSync } from 'node:sqlite'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import { queries } from './queries.ts'
import { WalDisk } from './wal-disk.ts'

/** One database file and its one connection: SQLite has one writer anyway. */
export class SqliteFile {
  private readonly file: string
  private opened: Connection | undefined
  private closed = false
  private tail: Promise<void> = Promise.resolve()
  /** Those who have the connection for themselves or wait for that. */
  private queued = 0
  private group: PromiseWithResolvers<void> | undefined
  /** Of a database in memory there is none. */
  readonly disk: WalDisk | undefined

  constructor(file: string) {
    this.file = file
    this.disk = file === ':memory:' ? undefined : new WalDisk(`${file}-wal`)
  }

  get connection(): Connection {
    if (this.closed) throw new Error(`${this.file} has been closed`)
    this.opened ??= new Connection(new DatabaseSync(this.file))
    return this.opened
  }

  /** Waits for those before; returns how to let the next one go on. */
  async turn(): Promise<() => void> {
    this.commitGroup()
    this.queued++
    const before = this.tail
    let next!: () => void
    this.tail = new Promise((resolve) => (next = resolve))
    await before
    return () => {
      this.queued--
      next()
    }
  }

  /**
   * One statement, committed when this returns. Writes that come in one turn of the event loop are committed together, which costs little more than one of them; reads that would see what is not committed yet
   * return when it is.
   */
  async run<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const write = WRITES.test(sql)
    if (this.queued > 0 || !(write || READS.test(sql))) {
      const release = await this.turn()
      try {
        return this.connection.run<R>(sql, parameters)
      } finally {
        release()
      }
    }
    if (write) this.group ??= this.beginGroup()
    const { group } = this
    try {
      const result = this.connection.run<R>(sql, parameters)
      await group?.promise
      return result
    } catch (error) {
      // what is wrong with a statement is its own affair, unless SQLite has given up the whole transaction for it
      if (group !== undefined && group === this.group && !this.connection.inTransaction) this.loseGroup(error)
      throw error
    }
  }

  private beginGroup(): PromiseWithResolvers<void> {
    this.connection.run('begin immediate')
    const group = Promise.withResolvers<void>()
    group.promise.catch(() => {}) // whose only statement has failed already, nobody waits for it
    setImmediate(() => group === this.group && this.commitGroup())
    return group
  }

  private commitGroup(): void {
    const { group } = this
    if (!group) return
    try {
      this.connection.run('commit')
      this.group = undefined
      group.resolve()
    } catch (error) {
      if (this.connection.inTransaction) this.connection.run('rollback')
      this.loseGroup(error)
    }
  }

  private loseGroup(error: unknown): void {
    this.group?.reject(error)
    this.group = undefined
  }

  async close(): Promise<void> {
    if (!this.closed) this.commitGroup()
    this.closed = true
    await this.disk?.close()
    this.opened?.close()
  }
}

const READS = /^\s*(select|with)\b/i
const WRITES = /^\s*(insert|update|delete|replace)\b/i

/**
 * Kysely on the SQLite that Node brings, with a write-ahead log. What is written is in the file at once. `durable`: and on the disk before it is acknowledged; others
 * go on meanwhile.
 */
export function nodeSqlite(file: SqliteFile, { durable }: { durable: boolean }): Dialect {
  return {
    createDriver: () => new NodeSqliteDriver(file, durable),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new SqliteAdapter(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  }
}

class NodeSqliteDriver implements Driver {
  private readonly file: SqliteFile
  private readonly durable: boolean

  constructor(file: SqliteFile, durable: boolean) {
    this.file = file
    this.durable = durable
  }

  async init(): Promise<void> {}
  async acquireConnection(): Promise<Session> {
    return new Session(this.file, this.durable)
  }
  async releaseConnection(): Promise<void> {}
  async beginTransaction(session: Session): Promise<void> {
    await session.begin()
  }
  async commitTransaction(session: Session): Promise<void> {
    await session.commit()
  }
  async rollbackTransaction(session: Session): Promise<void> {
    session.rollback()
  }
  async destroy(): Promise<void> {
    await this.file.close()
  }
}

/** One user of the connection: has it for a statement or a transaction, never while it waits for the disk. */
class Session implements DatabaseConnection {
  private readonly file: SqliteFile
  private readonly durable: boolean
  /** Of the transaction under way. */
  private release: (() => void) | undefined
  private wrote = false

  constructor(file: SqliteFile, durable: boolean) {
    this.file = file
    this.durable = durable
  }

  async begin(): Promise<void> {
    this.release = await this.file.turn()
    try {
      this.file.connection.run('begin immediate')
    } catch (error) {
      this.end()
      throw error
    }
  }

  async commit(): Promise<void> {
    this.file.connection.run('commit')
    this.end()
    await this.written()
  }

  /** One that is committed and only did not reach the disk cannot be taken back. */
  rollback(): void {
    if (!this.release) return
    try {
      this.file.connection.run('rollback')
    } finally {
      this.end()
    }
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (queries.hasSubscribers) queries.publish(query.sql)
    this.wrote ||= !READS.test(query.sql)
    if (this.release) return this.file.connection.run<R>(query.sql, query.parameters)
    const result = await this.file.run<R>(query)
    await this.written()
    return result
  }

  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    yield await this.executeQuery<R>(query)
  }

  private end(): void {
    this.release?.()
    this.release = undefined
  }

  private async written(): Promise<void> {
    if (!this.wrote) return
    this.wrote = false
    if (this.durable) await this.file.disk?.onDisk()
  }
}

/** Of 4 KiB. */
const LOG_PAGES = 4000

class Connection {
  private readonly database: DatabaseSync
  private readonly statements = new Map<string, { statement: StatementSync; answers: boolean }>()

  constructor(database: DatabaseSync) {
    this.database = database
    // a commit is in the log when it returns; for the disk wait those who must: see WalDisk
    database.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on; pragma busy_timeout = 5000')
    // moving the log into the file waits for the disk on the event loop: seldom, and with what was written many times written once
    database.exec(`pragma wal_autocheckpoint = ${LOG_PAGES}`)
  }

  run<R>(sql: string, parameters: readonly unknown[] = []): QueryResult<R> {
    const { statement, answers } = this.prepare(sql)
    const values = parameters.map((value) => (typeof value === 'boolean' ? Number(value) : value)) as never[]
    if (answers) return { rows: statement.all(...values) as R[] }
    const { changes, lastInsertRowid } = statement.run(...values)
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
  }

  get inTransaction(): boolean {
    return this.database.isTransaction
  }

  private prepare(sql: string): { statement: StatementSync; answers: boolean } {
    const known = this.statements.get(sql)
    if (known) return known
    const statement = this.database.prepare(sql)
    const made = { statement, answers: statement.columns().length > 0 }
    if (this.statements.size > 500) this.statements.clear()
    this.statements.set(sql, made)
    return made
  }

  close(): void {
    this.statements.clear()
    this.database.close()
  }
}
