import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { QueryResult } from 'kysely'

/** Of 4 KiB. */
const LOG_PAGES = 4000

/** Statements and their answers, on the SQLite that Node brings. */
export class SqliteConnection {
  private readonly database: DatabaseSync
  private readonly statements = new Map<string, Statement>()

  constructor(file: string) {
    const database = new DatabaseSync(file)
    this.database = database
    // a commit is in the log when it returns; for the disk wait those who must: see WalDisk
    database.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on; pragma busy_timeout = 5000')
    // moving the log into the file waits for the disk on the event loop: seldom, and with what was written many times written once
    database.exec(`pragma wal_autocheckpoint = ${LOG_PAGES}`)
  }

  run<R>(sql: string, parameters: readonly unknown[] = []): QueryResult<R> {
    const { prepared, columns, row } = this.statementOf(sql)
    const values = parameters.map((value) => (typeof value === 'boolean' ? Number(value) : value)) as never[]
    if (columns === 0) {
      const { changes, lastInsertRowid } = prepared.run(...values)
      if (SCHEMA.test(sql)) this.statements.clear()
      return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
    }
    const rows = prepared.all(...values) as unknown as unknown[][]
    return { rows: rows.map(row) as R[] }
  }

  get inTransaction(): boolean {
    return this.database.isTransaction
  }

  private statementOf(sql: string): Statement {
    const known = this.statements.get(sql)
    if (known) return known
    const prepared = this.database.prepare(sql)
    prepared.setReturnArrays(true)
    const columns = prepared.columns().map((column) => column.name)
    const made = { prepared, columns: columns.length, row: rowOf(columns) }
    if (this.statements.size > 500) this.statements.clear()
    this.statements.set(sql, made)
    return made
  }

  close(): void {
    this.statements.clear()
    this.database.close()
  }
}

/** What these change, statements that were prepared before have another idea of. */
const SCHEMA = /^\s*(alter|create|drop)\b/i

interface Statement {
  prepared: StatementSync
  /** How many it answers with. */
  columns: number
  row: (values: unknown[]) => object
}

/**
 * Makes a row of the values of these columns. The rows that node:sqlite makes have no shape that V8 knows: slow to make, and slower by far to spread or to write as JSON.
 * A literal has one, and only written code makes a literal.
 */
function rowOf(columns: string[]): Statement['row'] {
  const fields = columns.map((name, i) => `${JSON.stringify(name)}: values[${i}]`)
  return new Function('values', `return { ${fields.join(', ')} }`) as Statement['row']
}
