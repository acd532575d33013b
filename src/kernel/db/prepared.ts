import type { CompiledQuery, Kysely, QueryResult } from 'kysely'
import { SqliteFileAdapter } from './node-sqlite.ts'

/** Stands for a value that is not known yet. */
class Slot {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/**
 * A query that is asked all the time with other values: its words are put together once for each database, which takes as long as SQLite needs to answer. `build` is given
 * names for values, and may put them only where a value goes into the query as it is.
 */
export function prepared<Values extends object, Row>(
  build: (db: Kysely<any>, values: Values) => { compile(): CompiledQuery<Row> },
): (db: Kysely<any>, values: Values) => Promise<QueryResult<Row>> {
  const known = new WeakMap<object, CompiledQuery<Row>>()
  const slots = new Proxy({} as Values, { get: (_values, name) => new Slot(String(name)) })
  return async (db, values) => {
    const { adapter } = db.getExecutor() // a transaction's is its database's
    const query = known.get(adapter) ?? build(db, slots).compile()
    known.set(adapter, query)
    const parameters = query.parameters.map((one) => (one instanceof Slot ? values[one.name as keyof Values] : one))
    const made = { ...query, parameters }
    // to pass a statement on to SQLite costs Kysely more than it takes there
    return await (adapter instanceof SqliteFileAdapter && !db.isTransaction ? adapter.execute<Row>(made) : db.executeQuery(made))
  }
}

/** Queries of one kind that come in many shapes: {@link prepared} for each, which `shape` names. */
export function preparedShapes<Row>() {
  const known = new Map<string, (db: Kysely<any>, values: Record<string, any>) => Promise<QueryResult<Row>>>()
  return (
    db: Kysely<any>,
    shape: string,
    values: Record<string, unknown>,
    build: (db: Kysely<any>, slots: Record<string, any>) => { compile(): CompiledQuery<Row> },
  ): Promise<QueryResult<Row>> => {
    const query = known.get(shape) ?? prepared(build)
    known.set(shape, query)
    return query(db, values)
  }
}

/** Values that one query asks for at most. */
const AT_ONCE = 100

/** A {@link prepared} query for any number of values, all of which go into the query as they are: its words are kept for each number. No values: no rows. */
export function preparedFor<Row>(
  build: (db: Kysely<any>, values: string[]) => { compile(): CompiledQuery<Row> },
): (db: Kysely<any>, values: string[]) => Promise<Row[]> {
  const byNumber = preparedShapes<Row>()
  return async (db, values) => {
    const rows: Row[] = []
    for (let at = 0; at < values.length; at += AT_ONCE) {
      const some = values.slice(at, at + AT_ONCE)
      const found = await byNumber(db, String(some.length), { ...some }, (to, slots) =>
        build(
          to,
          some.map((_, i) => slots[i]),
        ),
      )
      rows.push(...found.rows)
    }
    return rows
  }
}

/** Whatever a column holds but this: null as well. */
export class Not {
  readonly value: string

  constructor(value: string) {
    this.value = value
  }
}

const updates = preparedShapes<unknown>()

/**
 * Changes columns of the rows that are as `where` says: that hold a value, one of several (null may be among them), or another ({@link Not}); undefined says nothing, of what is changed as well.
 * {@link prepared} for each choice of columns of each table. Answers how many there were.
 */
export async function updatePrepared(db: Kysely<any>, table: string, where: object, columns: object): Promise<number> {
  const changed = Object.entries(columns).filter(([, value]) => value !== undefined)
  const values = Object.fromEntries(changed)
  const shape = [table, ...changed.map(([column]) => column)]
  const conditions = Object.entries(where).flatMap(([column, wanted]: [string, unknown]) => {
    if (wanted === undefined) return []
    const all: unknown[] = [wanted instanceof Not ? wanted.value : wanted].flat()
    const known = all.filter((one) => one !== null)
    for (const [i, one] of known.entries()) values[`${column} was ${i}`] = one
    const condition = {
      column,
      how: wanted instanceof Not ? ('!=' as const) : ('in' as const),
      number: known.length,
      orNull: wanted instanceof Not || known.length < all.length,
    }
    shape.push(...Object.values(condition).map(String))
    return [condition]
  })
  const { numAffectedRows = 0n } = await updates(db, shape.join(' '), values, (to, slots) => {
    let query = to.updateTable(table).set(Object.fromEntries(changed.map(([column]) => [column, slots[column]])))
    for (const { column, how, number, orNull } of conditions) {
      const known = Array.from({ length: number }, (_, i) => slots[`${column} was ${i}`])
      query = query.where((eb) =>
        eb.or([...(orNull ? [eb(column, 'is', null)] : []), ...(number ? [eb(column, how, how === 'in' ? known : known[0])] : [])]),
      )
    }
    return query
  })
  return Number(numAffectedRows)
}

const inserts = preparedShapes<unknown>()

/** Inserts a row of values, or a few with the columns of the first: {@link prepared} for each choice of columns of each table, and each number. */
export async function insertPrepared(db: Kysely<any>, table: string, row: object | object[]): Promise<void> {
  const rows = [row].flat() as Record<string, unknown>[]
  const columns = Object.keys(rows[0]!).filter((column) => rows[0]![column] !== undefined)
  const values: Record<string, unknown> = {}
  for (const [i, one] of rows.entries()) for (const column of columns) values[`${i} ${column}`] = one[column]
  await inserts(db, `${table} ${columns} ${rows.length}`, values, (to, slots) =>
    to.insertInto(table).values(rows.map((_, i) => Object.fromEntries(columns.map((column) => [column, slots[`${i} ${column}`]])))),
  )
}
