import { type Kysely, sql } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import { insertPrepared, preparedFor } from '../../kernel/db/prepared.ts'
import type { Handle } from './providers.ts'
import type { AllocationRow, ConsumerRow, PlacementTables } from './tables.ts'

export const findConsumer = (db: Handle, uuid: string): Promise<ConsumerRow | undefined> =>
  db.selectFrom('consumers').selectAll().where('uuid', '=', uuid).executeTakeFirst()

export const findConsumers: (db: Handle, uuids: string[]) => Promise<ConsumerRow[]> = preparedFor((db: Kysely<PlacementTables>, uuids) =>
  db.selectFrom('consumers').selectAll().where('uuid', 'in', uuids),
)

export async function insertConsumers(trx: Handle, rows: ConsumerRow[]): Promise<void> {
  if (rows.length === 1) await insertPrepared(trx, 'consumers', rows[0]!)
  else await trx.insertInto('consumers').values(rows).execute()
}

export interface Move {
  before: ConsumerRow
  after: Pick<ConsumerRow, 'project_id' | 'user_id' | 'consumer_type'>
}

/** Compare-and-swap by the consumers' generations, of all in one query. Answers how many moved. */
export async function moveConsumers(trx: Handle, moves: Move[]): Promise<number> {
  if (moves.length === 0) return 0
  const each = <T>(value: (move: Move) => T) => {
    const cases = moves.map((move) => sql`when ${move.before.uuid} then ${value(move)}`)
    return sql<T>`case uuid ${sql.join(cases, sql` `)} end`
  }
  const moved = await trx
    .updateTable('consumers')
    .set({
      project_id: each(({ after }) => after.project_id),
      user_id: each(({ after }) => after.user_id),
      consumer_type: each(({ after }) => after.consumer_type),
      generation: sql<number>`generation + 1`,
      updated_at: timestamp(),
    })
    .where(
      'uuid',
      'in',
      moves.map(({ before }) => before.uuid),
    )
    .where(
      'generation',
      '=',
      each(({ before }) => before.generation),
    )
    .executeTakeFirst()
  return Number(moved.numUpdatedRows)
}

export async function removeConsumers(trx: Handle, uuids: string[]): Promise<void> {
  await trx.deleteFrom('consumers').where('uuid', 'in', uuids).execute()
}

export async function removeAllocations(trx: Handle, consumers: string[]): Promise<void> {
  await trx.deleteFrom('allocations').where('consumer_uuid', 'in', consumers).execute()
}

export async function insertAllocations(trx: Handle, rows: AllocationRow[]): Promise<void> {
  if (rows.length > 0) await trx.insertInto('allocations').values(rows).execute()
}

/** What a consumer holds, with the generations of those it holds it of. */
export const allocationsOf = (db: Handle, consumer: string): Promise<(AllocationRow & { generation: number })[]> =>
  db
    .selectFrom('allocations')
    .innerJoin('providers', 'providers.uuid', 'allocations.provider_uuid')
    .selectAll('allocations')
    .select('providers.generation')
    .where('consumer_uuid', '=', consumer)
    .orderBy('provider_uuid')
    .orderBy('resource_class')
    .execute()

export const heldOf = (db: Handle, provider: string): Promise<(AllocationRow & { consumer_generation: number })[]> =>
  db
    .selectFrom('allocations')
    .innerJoin('consumers', 'consumers.uuid', 'allocations.consumer_uuid')
    .selectAll('allocations')
    .select('consumers.generation as consumer_generation')
    .where('provider_uuid', '=', provider)
    .orderBy('consumer_uuid')
    .orderBy('resource_class')
    .execute()

/** What is held of a provider, by class. */
export async function usedOf(db: Handle, provider: string): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('allocations')
    .select(['resource_class', (eb) => eb.fn.sum<number>('used').as('used')])
    .where('provider_uuid', '=', provider)
    .groupBy('resource_class')
    .execute()
  return new Map(rows.map((row) => [row.resource_class, Number(row.used)]))
}

export interface UsageFilter {
  projectId: string
  userId?: string
  consumerType?: string | null
}

/** What a project holds, by consumer type and class, and how many consumers of that type it has. */
export async function usagesOf(db: Handle, filter: UsageFilter) {
  let sums = db
    .selectFrom('allocations')
    .innerJoin('consumers', 'consumers.uuid', 'allocations.consumer_uuid')
    .select(['consumer_type', 'resource_class', (eb) => eb.fn.sum<number>('used').as('used')])
    .where('project_id', '=', filter.projectId)
    .groupBy(['consumer_type', 'resource_class'])
  let counts = db
    .selectFrom('consumers')
    .select(['consumer_type', (eb) => eb.fn.countAll<number>().as('consumers')])
    .where('project_id', '=', filter.projectId)
    .groupBy('consumer_type')
  if (filter.userId !== undefined) {
    sums = sums.where('user_id', '=', filter.userId)
    counts = counts.where('user_id', '=', filter.userId)
  }
  if (filter.consumerType !== undefined) {
    const is = filter.consumerType === null ? 'is' : '='
    sums = sums.where('consumer_type', is, filter.consumerType)
    counts = counts.where('consumer_type', is, filter.consumerType)
  }
  const [used, consumers] = [await sums.execute(), await counts.execute()]
  return {
    used: used.map((row) => ({ type: row.consumer_type, resourceClass: row.resource_class, used: Number(row.used) })),
    consumers: new Map(consumers.map((row) => [row.consumer_type, Number(row.consumers)])),
  }
}
