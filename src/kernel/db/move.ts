import { createHash } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { conflict, Fault, notFound } from '../errors/errors.ts'
import type { Migrations } from './database.ts'
import { createDatabase, databaseExists, databaseStatus, dropDatabase, placeOf, using } from './upgrade.ts'

export interface Move {
  service: string
  /** `sqlite:/path` */
  from: string
  /** `mysql://…/name` */
  to: string
  migrations: Migrations
}

export interface MovedTable {
  service: string
  table: string
  rows: number
}

const BATCH = 500
/** Written by the migrators themselves. */
const OWN = /^(kysely_migration|kysely_migration_lock|yun_migration_lease)$/

/**
 * Copies SQLite databases that nobody uses into MariaDB and compares what arrived, row for row. The files stay as they are. When anything fails, the databases that this made go again.
 * @throws Fault 404 without a file, 409 when a file is not up to date or a target holds tables, 500 when what arrived differs
 */
export async function moveDatabases(list: Move[], report: (one: MovedTable) => void = () => {}): Promise<MovedTable[]> {
  await checkSources(list)
  const existed = await checkTargets(list)
  try {
    const moved: MovedTable[] = []
    for (const one of list)
      for (const table of await moveOne(one)) {
        report(table)
        moved.push(table)
      }
    return moved
  } catch (error) {
    for (const [i, { to }] of list.entries()) if (!existed[i]) await dropDatabase(to).catch(() => {})
    throw error
  }
}

async function checkSources(list: Move[]): Promise<void> {
  for (const one of list)
    if (!(await databaseExists(one.from))) throw notFound(`there is no ${one.service} database at ${placeOf(one.from)}`, 'NoDatabase')
  const states = await databaseStatus(list.map(({ service, from, migrations }) => ({ service, url: from, migrations })))
  for (const { service, pending, unknown } of states) {
    if (unknown.length > 0) throw conflict(`the ${service} database belongs to a newer Yun (${unknown.join(', ')})`, 'NewerDatabase')
    if (pending.length > 0)
      throw conflict(`the ${service} database lacks ${pending.join(', ')}: run npx yun db upgrade first`, 'DatabaseOutdated')
  }
}

/** Whether each existed. */
async function checkTargets(list: Move[]): Promise<boolean[]> {
  const existed: boolean[] = []
  for (const { service, to, migrations } of list) {
    const exists = await databaseExists(to)
    existed.push(exists)
    if (!exists) continue
    const tables = await using({ service, url: to, migrations }, ({ db }) => db.introspection.getTables({ withInternalKyselyTables: true }))
    if (tables.length > 0)
      throw conflict(
        `database ${placeOf(to)} is not empty: it has ${tables.length} tables (${tables
          .slice(0, 3)
          .map((table) => table.name)
          .join(', ')}, ...). Nothing was copied; name another database, or drop this one if nobody needs it.`,
        'TargetNotEmpty',
      )
  }
  return existed
}

async function moveOne({ service, from, to, migrations }: Move): Promise<MovedTable[]> {
  await createDatabase(to)
  return await using({ service, url: from, migrations }, (source) =>
    using({ service, url: to, migrations }, async (target) => {
      await target.migrate()
      const names = await tablesOf(source.db)
      const moved: MovedTable[] = []
      for (const table of names) moved.push({ service, table, rows: await moveTable(service, table, source.db, target.db) })
      return moved
    }),
  )
}

async function tablesOf(db: Kysely<any>): Promise<string[]> {
  const tables = await db.introspection.getTables()
  return tables.flatMap(({ name, isView }) => (isView || OWN.test(name) ? [] : [name])).sort()
}

/** Replaces what migrations wrote by what there is, and reads it again. Answers the rows. */
async function moveTable(service: string, table: string, source: Kysely<any>, target: Kysely<any>): Promise<number> {
  await target.deleteFrom(table).execute()
  const sent = new Digest()
  for (let last = -1; ; ) {
    const { rows } =
      await sql<any>`select rowid as yun_rowid, * from ${sql.table(table)} where rowid > ${last} order by rowid limit ${BATCH}`.execute(
        source,
      )
    if (rows.length === 0) break
    last = rows.at(-1).yun_rowid
    const plain = rows.map(({ yun_rowid, ...row }) => row)
    for (const row of plain) sent.add(row)
    await target.insertInto(table).values(plain).execute()
  }
  const arrived = await digestOf(table, target)
  if (sent.rows !== arrived.rows || sent.value !== arrived.value)
    throw new Fault(
      500,
      'MoveDiffers',
      `${service}: of table ${table} ${sent.rows} rows were copied and ${arrived.rows} arrived${sent.rows === arrived.rows ? ', but not the same' : ''}.`,
    )
  return sent.rows
}

async function digestOf(table: string, db: Kysely<any>): Promise<Digest> {
  const digest = new Digest()
  const key = await primaryKey(table, db)
  for (let offset = 0; ; offset += BATCH * 10) {
    const { rows } =
      await sql<any>`select * from ${sql.table(table)} order by ${sql.join(key.map((one) => sql.ref(one)))} limit ${BATCH * 10} offset ${offset}`.execute(
        db,
      )
    for (const row of rows) digest.add(row)
    if (rows.length < BATCH * 10) return digest
  }
}

async function primaryKey(table: string, db: Kysely<any>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`select column_name as name from information_schema.key_column_usage
    where table_schema = database() and table_name = ${table} and constraint_name = 'PRIMARY' order by ordinal_position`.execute(db)
  if (rows.length === 0) throw new Fault(500, 'NoPrimaryKey', `table ${table} has no primary key: a cluster does not take such tables`)
  return rows.map((row) => row.name)
}

/** The same for the same rows in whatever order. */
class Digest {
  rows = 0
  private sum = 0n

  add(row: Record<string, unknown>): void {
    const entries = Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1))
    // fractions are exact in the database, but the MariaDB driver reads them with an error in the 17th digit
    const text = JSON.stringify(entries, (_, value) =>
      typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(15) : value,
    )
    this.sum = (this.sum + BigInt(`0x${createHash('sha256').update(text).digest('hex')}`)) % 2n ** 256n
    this.rows++
  }

  get value(): bigint {
    return this.sum
  }
}
