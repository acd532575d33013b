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
