import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import {
  allocationsOf,
  findConsumer,
  findConsumers,
  heldOf,
  insertAllocations,
  insertConsumers,
  moveConsumers,
  removeAllocations,
  removeConsumers,
  type UsageFilter,
  usagesOf,
  usedOf,
} from '../db/allocations.ts'
import { inventoriesOf, stocksOf } from '../db/inventories.ts'
import { findProvider, type Handle, touchProviders } from '../db/providers.ts'
import type { ConsumerRow } from '../db/tables.ts'
import type { PlacementContext } from './context.ts'
import { consumerMoved, consumersRaced, isRace, noProvider } from './faults.ts'
import { shortage } from './inventory.ts'
import { checkClasses } from './resource-class.ts'

/** Provider → class → amount. */
export type Amounts = Record<string, Record<string, number>>

export interface Claim {
  consumer: string
  /** What it holds from now on; nothing removes the consumer. */
  allocations: Amounts
  projectId: string | null
  userId: string | null
  consumerType?: string | null
  /** What the caller saw, null for a new consumer; undefined asks nothing (before microversion 1.28). */
  generation?: number | null
}

/**
 * All claims or none. The providers' generations move first: that takes their row locks, so that concurrent claims on one provider come one after the other and
 * each sees what those before it hold.
 * @throws Fault 400 for unknown providers and classes, 409 without room or when a consumer moved
 */
export async function claimAll({ database }: PlacementContext, claims: Claim[]): Promise<void> {
  const consumers = claims.map((claim) => claim.consumer)
  const providers = [...new Set(claims.flatMap((claim) => Object.keys(claim.allocations)))]
  const classes = [...new Set(claims.flatMap((claim) => Object.values(claim.allocations).flatMap((one) => Object.keys(one))))]
  try {
    await database.transaction(async (trx) => {
      if ((await touchProviders(trx, providers)) < providers.length) throw await unknownProvider(trx, providers)
      await checkClasses(trx, classes)
      await checkRoom(trx, claims, providers, consumers)
      const known = new Map((await findConsumers(trx, consumers)).map((row) => [row.uuid, row]))
      for (const claim of claims) checkGeneration(claim, known.get(claim.consumer))
      await writeConsumers(trx, claims, known)
      if (known.size > 0) await removeAllocations(trx, [...known.keys()])
      await insertAllocations(
        trx,
        claims.flatMap(({ consumer, allocations }) =>
          Object.entries(allocations).flatMap(([provider_uuid, amounts]) =>
            Object.entries(amounts).map(([resource_class, used]) => ({ consumer_uuid: consumer, provider_uuid, resource_class, used })),
          ),
        ),
      )
    })
  } catch (error) {
    if (isRace(error)) throw consumersRaced()
    throw error
  }
}

async function unknownProvider(trx: Handle, providers: string[]) {
  const rows = await trx.selectFrom('providers').select('uuid').where('uuid', 'in', providers).execute()
  const known = new Set(rows.map((row) => row.uuid))
  return badRequest(`Allocation for resource provider '${providers.find((uuid) => !known.has(uuid))}' that does not exist.`)
}

async function checkRoom(trx: Handle, claims: Claim[], providers: string[], consumers: string[]): Promise<void> {
  const key = (provider: string, resourceClass: string) => `${provider} ${resourceClass}`
  const stocks = new Map(
    (await stocksOf(trx, providers, consumers)).map((stock) => [key(stock.provider_uuid, stock.resource_class), stock]),
  )
  for (const { consumer, allocations } of claims)
    for (const [provider, amounts] of Object.entries(allocations))
      for (const [resourceClass, amount] of Object.entries(amounts)) {
        const stock = stocks.get(key(provider, resourceClass))
        const why = stock ? shortage(stock, amount) : 'there is no inventory of it'
        if (why)
          throw conflict(
            `Unable to allocate inventory for consumer ${consumer}: ${resourceClass} on resource provider ${provider}: ${why}.`,
          )
        stock!.used += amount
      }
}

function checkGeneration(claim: Claim, known: ConsumerRow | undefined): void {
  if (claim.generation === undefined || claim.generation === (known?.generation ?? null)) return
  throw consumerMoved(claim.consumer, claim.generation, known?.generation ?? null)
}

const isEmpty = (claim: Claim) => Object.keys(claim.allocations).length === 0

async function writeConsumers(trx: Handle, claims: Claim[], known: Map<string, ConsumerRow>): Promise<void> {
  const at = timestamp()
  const gone = claims.filter((claim) => isEmpty(claim) && known.has(claim.consumer)).map((claim) => claim.consumer)
  if (gone.length > 0) await removeConsumers(trx, gone)
  const fresh = claims.filter((claim) => !isEmpty(claim) && !known.has(claim.consumer))
  if (fresh.length > 0)
    await insertConsumers(
      trx,
      fresh.map(({ consumer, projectId, userId, consumerType }) => ({
        uuid: consumer,
        generation: 1,
        project_id: projectId,
        user_id: userId,
        consumer_type: consumerType ?? null,
        created_at: at,
        updated_at: at,
      })),
    )
  const moves = claims.flatMap((claim) => {
    const before = known.get(claim.consumer)
    if (!before || isEmpty(claim)) return []
    const after = {
      project_id: claim.projectId ?? before.project_id,
      user_id: claim.userId ?? before.user_id,
      consumer_type: claim.consumerType === undefined ? before.consumer_type : claim.consumerType,
    }
    return [{ before, after }]
  })
  if ((await moveConsumers(trx, moves)) < moves.length) throw consumersRaced()
}

export interface Held {
  consumer: ConsumerRow | null
  allocations: Record<string, { generation: number; resources: Record<string, number> }>
}

export async function allocationsFor({ database: { db } }: PlacementContext, consumer: string): Promise<Held> {
  const rows = await allocationsOf(db, consumer)
  const allocations: Held['allocations'] = {}
  for (const row of rows) {
    allocations[row.provider_uuid] ??= { generation: row.generation, resources: {} }
    allocations[row.provider_uuid]!.resources[row.resource_class] = row.used
  }
  return { consumer: rows.length > 0 ? ((await findConsumer(db, consumer)) ?? null) : null, allocations }
}

/** @throws Fault 404 when it holds nothing */
export async function release({ database }: PlacementContext, consumer: string): Promise<void> {
  await database.transaction(async (trx) => {
    const gone = await trx.deleteFrom('allocations').where('consumer_uuid', '=', consumer).executeTakeFirst()
    if (gone.numDeletedRows === 0n) throw notFound(`No allocations for consumer '${consumer}'`)
    await removeConsumers(trx, [consumer])
  })
}

export async function consumersOf({ database: { db } }: PlacementContext, uuid: string) {
  const found = await findProvider(db, uuid)
  if (!found) throw noProvider(uuid)
  const allocations: Record<string, { consumer_generation: number; resources: Record<string, number> }> = {}
  for (const row of await heldOf(db, uuid)) {
    allocations[row.consumer_uuid] ??= { consumer_generation: row.consumer_generation, resources: {} }
    allocations[row.consumer_uuid]!.resources[row.resource_class] = row.used
  }
  return { provider: found, allocations }
}

/** By class; what nobody holds is there with 0. */
export async function providerUsages({ database: { db } }: PlacementContext, uuid: string) {
  const found = await findProvider(db, uuid)
  if (!found) throw noProvider(uuid)
  const inventories = await inventoriesOf(db, uuid)
  const used = await usedOf(db, uuid)
  const classes = [...new Set([...inventories.map((row) => row.resource_class), ...used.keys()])].toSorted()
  return { provider: found, usages: Object.fromEntries(classes.map((name) => [name, used.get(name) ?? 0])) }
}

export const projectUsages = ({ database: { db } }: PlacementContext, filter: UsageFilter) => usagesOf(db, filter)
