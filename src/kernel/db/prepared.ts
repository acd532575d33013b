import type { CompiledQuery, Kysely, QueryResult } from 'kysely'

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
    return await db.executeQuery({ ...query, parameters })
  }
}

/** Values that one query asks for at most. */
const AT_ONCE = 100

/** A {@link prepared} query for any number of values, all of which go into the query as they are: its words are kept for each number. No values: no rows. */
export function preparedFor<Row>(
  build: (db: Kysely<any>, values: string[]) => { compile(): CompiledQuery<Row> },
): (db: Kysely<any>, values: string[]) => Promise<Row[]> {
  const byNumber = new Map<number, (db: Kysely<any>, values: Record<string, string>) => Promise<QueryResult<Row>>>()
  const of = (number: number) => {
    const known = byNumber.get(number)
    if (known) return known
    const made = prepared((db, slots: Record<string, string>) =>
      build(
        db,
        Array.from({ length: number }, (_, i) => slots[i]!),
      ),
    )
    byNumber.set(number, made)
    return made
  }
  return async (db, values) => {
    const rows: Row[] = []
    for (let at = 0; at < values.length; at += AT_ONCE) {
      const some = values.slice(at, at + AT_ONCE)
      rows.push(...(await of(some.length)(db, Object.fromEntries(some.entries()))).rows)
    }
    return rows
  }
}

const updates = new Map<string, (db: Kysely<any>, values: Record<string, unknown>) => Promise<QueryResult<unknown>>>()

/** Changes columns of the rows that hold the values of `where`, of which none is null: {@link prepared} for each choice of columns of each table. Answers how many there were. */
export async function updatePrepared(db: Kysely<any>, table: string, where: object, columns: object): Promise<number> {
  const values = Object.entries(columns).filter(([, value]) => value !== undefined)
  const name = `${table} ${values.map(([column]) => column)} ${Object.keys(where)}`
  const update =
    updates.get(name) ??
    prepared((to, slots: Record<string, unknown>) => {
      let query = to.updateTable(table).set(Object.fromEntries(values.map(([column]) => [column, slots[column]])))
      for (const column of Object.keys(where)) query = query.where(column, '=', slots[`${column} was`])
      return query
    })
  updates.set(name, update)
  const was = Object.entries(where).map(([column, value]) => [`${column} was`, value])
  const { numAffectedRows = 0n } = await update(db, Object.fromEntries([...values, ...was]))
  return Number(numAffectedRows)
}

const inserts = new Map<string, (db: Kysely<any>, row: Record<string, unknown>) => Promise<QueryResult<unknown>>>()

/** Inserts a row of values, or a few with the columns of the first: {@link prepared} for each choice of columns of each table, and each number. */
export async function insertPrepared(db: Kysely<any>, table: string, row: object | object[]): Promise<void> {
  const rows = [row].flat() as Record<string, unknown>[]
  const columns = Object.keys(rows[0]!).filter((column) => rows[0]![column] !== undefined)
  const name = `${table} ${columns} ${rows.length}`
  const insert =
    inserts.get(name) ??
    prepared((to, slots: Record<string, unknown>) =>
      to.insertInto(table).values(rows.map((_, i) => Object.fromEntries(columns.map((column) => [column, slots[`${i} ${column}`]])))),
    )
  inserts.set(name, insert)
  const values: Record<string, unknown> = {}
  for (const [i, one] of rows.entries()) for (const column of columns) values[`${i} ${column}`] = one[column]
  await insert(db, values)
}
