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
import { SqliteConnection } from './sqlite-connection.ts'
import { WalDisk } from './wal-disk.ts'

/** A transaction's part in what is committed together. */
interface Part {
  /** Resolves when it is committed. */
  committed: Promise<void>
  /** Lets the next one go on. */
  release: () => void
}

/**
 * One database file and its one connection: SQLite has one writer anyway. What is written in one turn of the event loop is committed together, which costs little more than one of the writes: single statements as they
 * are, each transaction as a savepoint. Reads that would see what is not committed yet return when it is; those of a turn without writes see the file as it was when they began, and lock it once for all of them.
 */
export class SqliteFile {
  private readonly file: string
  private opened: SqliteConnection | undefined
  private closed = false
  private tail: Promise<void> = Promise.resolve()
  /** Those who have the connection for themselves or wait for that. */
  private queued = 0
  private group: PromiseWithResolvers<void> | undefined
  /** There are reads, and no group. */
  private reading = false
  /** The group's turn ended while somebody had the connection for himself. */
  private due = false
  /** Of a database in memory there is none. */
  readonly disk: WalDisk | undefined

  constructor(file: string) {
    this.file = file
    this.disk = file === ':memory:' ? undefined : new WalDisk(`${file}-wal`)
  }

  get connection(): SqliteConnection {
    if (this.closed) throw new Error(`${this.file} has been closed`)
    this.opened ??= new SqliteConnection(this.file)
    return this.opened
  }

  /** One statement, committed when this returns. */
  async run<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const release = this.queued > 0 || isOther(query) ? await this.turn() : undefined
    let group: SqliteFile['group']
    let result: QueryResult<R>
    try {
      if (isOther(query)) this.finish()
      else if (READS.test(query.sql)) this.beginReads()
      else this.beginGroup()
      group = this.group
      result = this.within<R>(query)
    } finally {
      release?.()
    }
    await group?.promise
    return result
  }

  /** Of a transaction. */
  async begin(): Promise<Part> {
    const release = await this.turn()
    try {
      const { promise } = this.beginGroup()
      this.connection.run('savepoint part')
      return { committed: promise, release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** Nothing is left of the transaction under way; of its group, unless that is lost already. */
  rollback(): void {
    if (!this.connection.inTransaction) return
    this.connection.run('rollback to part')
    this.connection.run('release part')
  }

  /** A statement among those of the group. */
  within<R>({ sql, parameters }: CompiledQuery): QueryResult<R> {
    try {
      return this.connection.run<R>(sql, parameters)
    } catch (error) {
      // what is wrong with a statement is its own affair, unless SQLite has given up the whole transaction for it
      if (!this.connection.inTransaction) this.loseGroup(error)
      throw error
    }
  }

  async close(): Promise<void> {
    if (!this.closed) this.finish()
    this.closed = true
    await this.disk?.close()
    this.opened?.close()
  }

  /** Waits for those before; returns how to let the next one go on. */
  private async turn(): Promise<() => void> {
    this.queued++
    const before = this.tail
    let next!: () => void
    this.tail = new Promise((resolve) => (next = resolve))
    await before
    return () => {
      this.queued--
      if (this.due) this.commitGroup()
      next()
    }
  }

  private beginReads(): void {
    if (this.group || this.reading) return
    this.connection.run('begin')
    this.reading = true
    setImmediate(() => this.endReads())
  }

  private endReads(): void {
    if (!this.reading) return
    this.reading = false
    this.connection.run('commit')
  }

  /** Nothing is under way any more. */
  private finish(): void {
    this.endReads()
    this.commitGroup()
  }

  private beginGroup(): PromiseWithResolvers<void> {
    if (this.group) return this.group
    this.endReads()
    this.connection.run('begin immediate')
    const group = Promise.withResolvers<void>()
    this.group = group
    group.promise.catch(() => {}) // whose only statement has failed already, nobody waits for it
    setImmediate(() => {
      if (group !== this.group) return
      if (this.queued > 0) this.due = true
      else this.commitGroup()
    })
    return group
  }

  private commitGroup(): void {
    const { group } = this
    if (!group) return
    try {
      this.connection.run('commit')
      this.endGroup()
      group.resolve()
    } catch (error) {
      if (this.connection.inTransaction) this.connection.run('rollback')
      this.loseGroup(error)
    }
  }

  private loseGroup(error: unknown): void {
    this.group?.reject(error)
    this.endGroup()
  }

  private endGroup(): void {
    this.group = undefined
    this.due = false
  }
}

const READS = /^\s*(select|with)\b/i
const WRITES = /^\s*(insert|update|delete|replace)\b/i
/** Not to be part of a group. */
const isOther = ({ sql }: CompiledQuery) => !READS.test(sql) && !WRITES.test(sql)

/**
 * Kysely on the SQLite that Node brings, with a write-ahead log. What is written is in the file at once. `durable`: and on the disk before it is acknowledged; others
 * go on meanwhile.
 */
export function nodeSqlite(file: SqliteFile, { durable }: { durable: boolean }): Dialect {
  return {
    createDriver: () => new NodeSqliteDriver(file, durable),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new SqliteFileAdapter(file, durable),
    createIntrospector: (db) => new SqliteIntrospector(db),
  }
}

/** Also a way around Kysely, for statements that are put together already and belong to no transaction. */
export class SqliteFileAdapter extends SqliteAdapter {
  private readonly session: Session

  constructor(file: SqliteFile, durable: boolean) {
    super()
    this.session = new Session(file, durable)
  }

  execute<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    return this.session.executeQuery<R>(query)
  }
}

class NodeSqliteDriver implements Driver {
  private readonly file: SqliteFile
  private readonly durable: boolean
  /** Kysely remembers each that it was given: new ones for every query would be much to remember. */
  private readonly idle: Session[] = []

  constructor(file: SqliteFile, durable: boolean) {
    this.file = file
    this.durable = durable
  }

  async init(): Promise<void> {}
  async acquireConnection(): Promise<Session> {
    return this.idle.pop() ?? new Session(this.file, this.durable)
  }
  async releaseConnection(session: Session): Promise<void> {
    this.idle.push(session)
  }
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
  private part: Part | undefined
  /** It has written. */
  private wrote = false

  constructor(file: SqliteFile, durable: boolean) {
    this.file = file
    this.durable = durable
  }

  async begin(): Promise<void> {
    this.part = await this.file.begin()
  }

  async commit(): Promise<void> {
    const { committed } = this.part!
    const { wrote } = this
    this.file.connection.run('release part')
    this.end()
    await committed
    if (wrote) await this.written()
  }

  /** One that is committed and only did not reach the disk cannot be taken back. */
  rollback(): void {
    if (!this.part) return
    try {
      this.file.rollback()
    } finally {
      this.end()
    }
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (queries.hasSubscribers) queries.publish(query.sql)
    const writes = !READS.test(query.sql)
    if (this.part) {
      this.wrote ||= writes
      return this.file.within<R>(query)
    }
    const result = await this.file.run<R>(query)
    if (writes) await this.written()
    return result
  }

  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    yield await this.executeQuery<R>(query)
  }

  private end(): void {
    this.part?.release()
    this.part = undefined
    this.wrote = false
  }

  private async written(): Promise<void> {
    if (this.durable) await this.file.disk?.onDisk()
  }
}
