import { randomUUID } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import { prepared, preparedFor } from '../../kernel/db/prepared.ts'
import type { PlacementTables, ProviderRow } from './tables.ts'

export type Handle = Kysely<PlacementTables> | Transaction<PlacementTables>

/** More ids than this are not sent to the database: the whole table is read and sifted here instead, so that a query stays one query. */
export const MANY = 5000
/** As many as a decision draws: the words of queries that name them are kept. */
export const FEW = 50

export const findProvider = (db: Handle, uuid: string): Promise<ProviderRow | undefined> =>
  db.selectFrom('providers').selectAll().where('uuid', '=', uuid).executeTakeFirst()

export const insertProvider = (db: Handle, row: ProviderRow) => db.insertInto('providers').values(row).execute()

export const childrenOf = (db: Handle, uuid: string): Promise<ProviderRow[]> =>
  db.selectFrom('providers').selectAll().where('parent_uuid', '=', uuid).execute()

export const treeOf = (db: Handle, root: string): Promise<ProviderRow[]> =>
  db.selectFrom('providers').selectAll().where('root_uuid', '=', root).execute()

/** Moves the generation on if it is still `generation`; also takes the row's lock, so that what is read after it stays true until the commit. */
export async function moveGeneration(trx: Handle, uuid: string, generation: number): Promise<boolean> {
  const moved = await trx
    .updateTable('providers')
    .set({ generation: generation + 1, updated_at: timestamp() })
    .where('uuid', '=', uuid)
    .where('generation', '=', generation)
    .executeTakeFirst()
  return moved.numUpdatedRows > 0n
}

/** The same whatever the generations are. Answers how many of them there were. */
export async function touchProviders(trx: Handle, uuids: string[]): Promise<number> {
  if (uuids.length === 0) return 0
  const at = timestamp()
  const [uuid] = uuids
  if (uuids.length === 1) return Number((await touchOne(trx, { uuid: uuid!, at })).numAffectedRows)
  const moved = await trx
    .updateTable('providers')
    .set((eb) => ({ generation: eb('generation', '+', 1), updated_at: at }))
    .where('uuid', 'in', uuids.toSorted())
    .executeTakeFirst()
  return Number(moved.numUpdatedRows)
}

const touchOne = prepared((db: Kysely<PlacementTables>, { uuid, at }: { uuid: string; at: string }) =>
  db
    .updateTable('providers')
    .set((eb) => ({ generation: eb('generation', '+', 1), updated_at: at }))
    .where('uuid', '=', uuid),
)

export const updateProvider = (trx: Handle, uuid: string, columns: Partial<ProviderRow>) =>
  trx
    .updateTable('providers')
    .set({ ...columns, updated_at: timestamp() })
    .where('uuid', '=', uuid)
    .execute()

export const moveTree = (trx: Handle, uuids: string[], root: string) =>
  trx.updateTable('providers').set({ root_uuid: root }).where('uuid', 'in', uuids).execute()

export async function deleteProvider(trx: Handle, uuid: string): Promise<void> {
  for (const table of ['inventories', 'provider_traits', 'provider_aggregates'] as const)
    await trx.deleteFrom(table).where('provider_uuid', '=', uuid).execute()
  await trx.deleteFrom('providers').where('uuid', '=', uuid).execute()
}

export interface ProviderFilter {
  name?: string
  uuid?: string
  /** Any provider of the tree that is meant. */
  inTree?: string
}

export async function listProviders(db: Handle, filter: ProviderFilter): Promise<ProviderRow[]> {
  const { inTree } = filter
  let query = db.selectFrom('providers').selectAll().orderBy('created_at').orderBy('uuid')
  if (filter.name !== undefined) query = query.where('name', '=', filter.name)
  if (filter.uuid !== undefined) query = query.where('uuid', '=', filter.uuid)
  if (inTree !== undefined)
    query = query.where('root_uuid', 'in', (eb) =>
      eb.selectFrom('providers as member').select('member.root_uuid').where('member.uuid', '=', inTree),
    )
  return await query.execute()
}

/** All trees that have something of these classes anywhere, in the order in which they came into being. */
export const providersOfTreesWith = (db: Handle, classes: string[]): Promise<ProviderRow[]> =>
  db
    .selectFrom('providers')
    .selectAll()
    .where('root_uuid', 'in', (eb) =>
      eb
        .selectFrom('inventories as i')
        .innerJoin('providers as p', 'p.uuid', 'i.provider_uuid')
        .select('p.root_uuid')
        .where('i.resource_class', 'in', classes),
    )
    .orderBy('created_at')
    .orderBy('uuid')
    .execute()

/** Counting them all would cost what there are. */
export const moreProvidersThan = async (db: Handle, number: number): Promise<boolean> =>
  (await providerAfter(db, { number })).rows.length > 0

const providerAfter = prepared((db: Kysely<PlacementTables>, { number }: { number: number }) =>
  db.selectFrom('providers').select('uuid').orderBy('uuid').limit(1).offset(number),
)

/** In the order of their roots' ids. `until`: no root beyond it. */
const treesAfter = (db: Kysely<PlacementTables>, { from, until, size }: { from: string; until?: string; size: number }) => {
  const roots = db
    .selectFrom('providers')
    .select('root_uuid')
    .distinct()
    .where('root_uuid', '>', from)
    .$if(until !== undefined, (query) => query.where('root_uuid', '<=', until!))
    .orderBy('root_uuid')
    .limit(size)
    .as('drawn')
  return db
    .selectFrom(roots)
    .innerJoin('providers', 'providers.root_uuid', 'drawn.root_uuid')
    .selectAll('providers')
    .orderBy('providers.root_uuid')
}
const nextTrees = prepared((db: Kysely<PlacementTables>, { from, size }: { from: string; size: number }) => treesAfter(db, { from, size }))
const firstTrees = prepared((db: Kysely<PlacementTables>, { from, until, size }: { from: string; until: string; size: number }) =>
  treesAfter(db, { from, until, size }),
)

/** All trees once, from a place that is drawn on in the order of their ids, more and more of them at a time. */
export async function* drawnTrees(db: Handle, atOnce: number): AsyncGenerator<ProviderRow[]> {
  const start = randomUUID()
  for (const wrapped of [false, true])
    for (let [from, size] = [wrapped ? '' : start, atOnce]; ; size *= 4) {
      const { rows: providers } = await (wrapped ? firstTrees(db, { from, until: start, size }) : nextTrees(db, { from, size }))
      if (providers.length > 0) yield providers
      if (new Set(providers.map((one) => one.root_uuid)).size < size) break
      from = providers.at(-1)!.root_uuid
    }
}

export async function traitsOf(db: Handle, uuid: string): Promise<string[]> {
  const rows = await db.selectFrom('provider_traits').select('trait').where('provider_uuid', '=', uuid).orderBy('trait').execute()
  return rows.map((row) => row.trait)
}

export async function aggregatesOf(db: Handle, uuid: string): Promise<string[]> {
  const rows = await db.selectFrom('provider_aggregates').selectAll().where('provider_uuid', '=', uuid).orderBy('aggregate_uuid').execute()
  return rows.map((row) => row.aggregate_uuid)
}

export async function replaceTraits(trx: Handle, uuid: string, traits: string[]): Promise<void> {
  await trx.deleteFrom('provider_traits').where('provider_uuid', '=', uuid).execute()
  if (traits.length > 0)
    await trx
      .insertInto('provider_traits')
      .values(traits.map((trait) => ({ provider_uuid: uuid, trait })))
      .execute()
}

export async function replaceAggregates(trx: Handle, uuid: string, aggregates: string[]): Promise<void> {
  await trx.deleteFrom('provider_aggregates').where('provider_uuid', '=', uuid).execute()
  if (aggregates.length > 0)
    await trx
      .insertInto('provider_aggregates')
      .values(aggregates.map((aggregate_uuid) => ({ provider_uuid: uuid, aggregate_uuid })))
      .execute()
}

/** By provider, of all providers that have one of `traits`. */
export async function whoHasTraits(db: Handle, traits: string[]): Promise<Map<string, Set<string>>> {
  if (traits.length === 0) return new Map()
  const rows = await db.selectFrom('provider_traits').selectAll().where('trait', 'in', traits).execute()
  return grouped(rows, (row) => [row.provider_uuid, row.trait])
}

export async function whoIsIn(db: Handle, aggregates: string[]): Promise<Map<string, Set<string>>> {
  if (aggregates.length === 0) return new Map()
  const rows = await db.selectFrom('provider_aggregates').selectAll().where('aggregate_uuid', 'in', aggregates).execute()
  return grouped(rows, (row) => [row.provider_uuid, row.aggregate_uuid])
}

const traitsOfFew = preparedFor<{ provider_uuid: string; trait: string }>((db, uuids) =>
  db.selectFrom('provider_traits').selectAll().where('provider_uuid', 'in', uuids).orderBy('trait'),
)

/** All traits of these providers. */
export async function traitsOfMany(db: Handle, uuids: string[]): Promise<Map<string, Set<string>>> {
  if (uuids.length <= FEW) return grouped(await traitsOfFew(db, uuids), (row) => [row.provider_uuid, row.trait])
  let query = db.selectFrom('provider_traits').selectAll().orderBy('trait')
  if (uuids.length <= MANY) query = query.where('provider_uuid', 'in', uuids)
  return grouped(await query.execute(), (row) => [row.provider_uuid, row.trait])
}

function grouped<Row>(rows: Row[], split: (row: Row) => [string, string]): Map<string, Set<string>> {
  const sets = new Map<string, Set<string>>()
  for (const row of rows) {
    const [key, value] = split(row)
    const set = sets.get(key)
    if (set) set.add(value)
    else sets.set(key, new Set([value]))
  }
  return sets
}
