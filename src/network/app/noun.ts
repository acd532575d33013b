import { conflict, notFound } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { type Condition, type ListQuery, selectById, selectRow, selectRows } from '../db/list.ts'
import { type ResourceTable, rowsWhere } from '../db/rows.ts'
import type { NetworkTables } from '../db/tables.ts'
import type { NetworkContext, Viewer } from './context.ts'

export type Kind = 'text' | 'flag' | 'number'

/** A kind of resource: where it lies, who sees it, by what it is found. */
export interface Noun<T extends ResourceTable = ResourceTable, Dressed = any> {
  /** `network`, `security_group`: the key of the document. */
  name: string
  plural: string
  /** As errors name it: `Network` makes NetworkNotFound. */
  type: string
  table: T
  /** Attributes that are columns: by them lists are filtered and sorted. */
  columns: Record<string, [column: string, kind: Kind]>
  /** Other filters; values are the texts of the query. */
  filters?: Record<string, (values: string[]) => Condition>
  /** What a project sees that is no administrator. */
  visible: (projectId: string) => Condition
  /** Rows with what hangs on them, loaded for all at once. */
  dress: (db: Handle, rows: NetworkTables[T][], context: NetworkContext) => Promise<Dressed[]>
}

/** The columns that all resources have, as attributes. */
export const STANDARD: Noun['columns'] = {
  id: ['id', 'text'],
  name: ['name', 'text'],
  description: ['description', 'text'],
  project_id: ['project_id', 'text'],
  tenant_id: ['project_id', 'text'],
  revision_number: ['revision', 'number'],
  created_at: ['created_at', 'text'],
  updated_at: ['updated_at', 'text'],
}

/** Its own rows. */
export const owned =
  (projectId: string): Condition =>
  (query) =>
    query.where('project_id', '=', projectId)

/** A caller without a project owns nothing, also not what is the cloud's own. */
const scope = (noun: Pick<Noun<any>, 'visible'>, viewer: Viewer): Condition[] => {
  if (viewer.isAdmin) return []
  return [viewer.projectId ? noun.visible(viewer.projectId) : (query) => query.where('id', '=', '')]
}

export const missing = (noun: { type: string }, id: string) =>
  notFound(`${noun.type} ${id} could not be found.`, `${noun.type.replaceAll(' ', '')}NotFound`)

/** @throws Fault 404, also for what the viewer may not know of */
export async function seeRow<T extends ResourceTable>(db: Handle, noun: Noun<T>, viewer: Viewer, id: string): Promise<NetworkTables[T]> {
  const row = await selectRow(db, noun.table, id, scope(noun, viewer))
  if (!row) throw missing(noun, id)
  return row
}

/** Rows by their ids, as {@link seeRow} answers each. @throws Fault 404 for the first that the viewer may not know of */
export async function seeRows<T extends ResourceTable>(
  db: Handle,
  noun: Noun<T>,
  viewer: Viewer,
  ids: string[],
): Promise<Map<string, NetworkTables[T]>> {
  const found = new Map((await selectById(db, noun.table, [...new Set(ids)], scope(noun, viewer))).map((row) => [row.id, row]))
  for (const id of ids) if (!found.has(id)) throw missing(noun, id)
  return found
}

/** Only administrators say which ids new ones have. @throws Fault 409 for one that is there, or twice among these */
export async function refuseKnownIds(db: Handle, noun: Noun, asked: { id?: string }[]): Promise<void> {
  const ids = asked.flatMap((one) => one.id ?? [])
  const known = new Set((await rowsWhere(db, noun.table, 'id', ids)).map((row) => row.id))
  for (const id of ids) {
    if (known.has(id)) throw conflict(`${noun.type} ${id} is there already.`, 'Conflict')
    known.add(id)
  }
}

export async function see<T extends ResourceTable, D>(context: NetworkContext, noun: Noun<T, D>, viewer: Viewer, id: string): Promise<D> {
  const row = await seeRow(context.database.db, noun, viewer, id)
  return (await noun.dress(context.database.db, [row], context))[0]!
}

/** A page, and whether more follow in the direction of reading. */
export async function seeMany<T extends ResourceTable, D>(
  context: NetworkContext,
  noun: Noun<T, D>,
  viewer: Viewer,
  query: ListQuery,
): Promise<{ items: D[]; more: boolean }> {
  const { db } = context.database
  const conditions = [...scope(noun, viewer), ...query.conditions]
  const rows = await selectRows(db, noun.table, { ...query, conditions, limit: query.limit === null ? null : query.limit + 1 })
  const more = query.limit !== null && rows.length > query.limit
  if (more) rows.splice(query.backwards ? 0 : query.limit!, 1)
  return { items: await noun.dress(db, rows, context), more }
}
