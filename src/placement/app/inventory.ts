import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { usedOf } from '../db/allocations.ts'
import { inventoriesOf, replaceInventories, type Stock } from '../db/inventories.ts'
import { findProvider, touchProviders } from '../db/providers.ts'
import type { InventoryRow } from '../db/tables.ts'
import type { PlacementContext } from './context.ts'
import { inventoryInUse, noProvider } from './faults.ts'
import { type Provider, underGeneration } from './provider.ts'
import { checkClasses } from './resource-class.ts'

export type { InventoryRow }

export interface Inventory {
  total: number
  reserved?: number
  min_unit?: number
  max_unit?: number
  step_size?: number
  allocation_ratio?: number
}

export const MAX_UNIT = 2_147_483_647

/** What may be given out in all. */
export const capacity = (row: InventoryRow): number => Math.floor((row.total - row.reserved) * row.allocation_ratio)

/** Why `amount` cannot be had, or null. `stock.used` is what the others hold. */
export function shortage(stock: Stock, amount: number): string | null {
  if (amount < stock.min_unit) return `${amount} is below the smallest unit ${stock.min_unit}`
  if (amount > stock.max_unit) return `${amount} is above the largest unit ${stock.max_unit}`
  if (amount % stock.step_size !== 0) return `${amount} is no multiple of ${stock.step_size}`
  if (stock.used + amount > capacity(stock)) return `${stock.used} of ${capacity(stock)} are used, ${amount} more do not fit`
  return null
}

export interface Inventories {
  provider: Provider
  inventories: InventoryRow[]
}

/** @throws Fault 404 */
export async function providerInventories({ database: { db } }: PlacementContext, uuid: string): Promise<Inventories> {
  const found = await findProvider(db, uuid)
  if (!found) throw noProvider(uuid)
  return { provider: found, inventories: await inventoriesOf(db, uuid) }
}

/** `reservedMayBeAll`: microversion 1.26 lets all of it be reserved. @throws Fault 400 */
function rowOf(uuid: string, resourceClass: string, asked: Inventory, reservedMayBeAll: boolean): InventoryRow {
  const row: InventoryRow = {
    provider_uuid: uuid,
    resource_class: resourceClass,
    total: asked.total,
    reserved: asked.reserved ?? 0,
    min_unit: asked.min_unit ?? 1,
    max_unit: asked.max_unit ?? MAX_UNIT,
    step_size: asked.step_size ?? 1,
    allocation_ratio: asked.allocation_ratio ?? 1,
  }
  if (row.reserved > row.total || (row.reserved === row.total && !reservedMayBeAll))
    throw badRequest(
      `Unable to update inventory for resource provider ${uuid}: Invalid inventory for '${resourceClass}': more is reserved than there is.`,
    )
  return row
}

/** Replaces what `change` answers for what there is. @throws Fault 404, 409 for a stale generation or when something that is in use would vanish */
async function write(
  context: PlacementContext,
  uuid: string,
  generation: number,
  change: (before: InventoryRow[]) => InventoryRow[],
): Promise<Inventories> {
  return await underGeneration(context, uuid, generation, async (trx, after) => {
    const before = await inventoriesOf(trx, uuid)
    const inventories = change(before)
    const kept = new Set(inventories.map((row) => row.resource_class))
    const gone = before.filter((row) => !kept.has(row.resource_class)).map((row) => row.resource_class)
    if (gone.length > 0) {
      const used = await usedOf(trx, uuid)
      const stuck = gone.filter((name) => used.has(name))
      if (stuck.length > 0) throw inventoryInUse(stuck, uuid)
    }
    await checkClasses(trx, [...kept])
    await replaceInventories(trx, uuid, inventories)
    return { provider: after, inventories: inventories.toSorted((a, b) => (a.resource_class < b.resource_class ? -1 : 1)) }
  })
}

export async function setInventories(
  context: PlacementContext,
  uuid: string,
  asked: { generation: number; inventories: Record<string, Inventory>; reservedMayBeAll: boolean },
): Promise<Inventories> {
  const rows = Object.entries(asked.inventories).map(([name, one]) => rowOf(uuid, name, one, asked.reservedMayBeAll))
  return await write(context, uuid, asked.generation, () => rows)
}

interface One {
  resourceClass: string
  inventory: Inventory
  reservedMayBeAll: boolean
}

/** @throws Fault 409 when there is one already */
export async function addInventory(context: PlacementContext, uuid: string, generation: number | null, one: One): Promise<Inventories> {
  const row = rowOf(uuid, one.resourceClass, one.inventory, one.reservedMayBeAll)
  return await write(context, uuid, generation ?? (await generationOf(context, uuid)), (before) => {
    if (before.some((known) => known.resource_class === one.resourceClass))
      throw conflict(`Update conflict: inventory of ${one.resourceClass} exists already on resource provider ${uuid}.`)
    return [...before, row]
  })
}

/** @throws Fault 400 when there is none */
export async function changeInventory(context: PlacementContext, uuid: string, generation: number, one: One): Promise<Inventories> {
  const row = rowOf(uuid, one.resourceClass, one.inventory, one.reservedMayBeAll)
  return await write(context, uuid, generation, (before) => {
    if (!before.some((known) => known.resource_class === one.resourceClass))
      throw badRequest(`No inventory record with resource class ${one.resourceClass} for resource provider ${uuid} found`)
    return before.map((known) => (known.resource_class === one.resourceClass ? row : known))
  })
}

/** @throws Fault 404 when there is none, 409 while it is in use */
export async function removeInventory(context: PlacementContext, uuid: string, resourceClass: string): Promise<void> {
  await write(context, uuid, await generationOf(context, uuid), (before) => {
    const after = before.filter((known) => known.resource_class !== resourceClass)
    if (after.length === before.length) throw notFound(`No inventory of class ${resourceClass} found for resource provider ${uuid}`)
    return after
  })
}

/** @throws Fault 404, 409 while something of it is in use */
export async function clearInventories({ database }: PlacementContext, uuid: string): Promise<void> {
  await database.transaction(async (trx) => {
    if ((await touchProviders(trx, [uuid])) === 0) throw noProvider(uuid)
    const used = await usedOf(trx, uuid)
    if (used.size > 0) throw inventoryInUse([...used.keys()], uuid)
    await replaceInventories(trx, uuid, [])
  })
}

async function generationOf({ database: { db } }: PlacementContext, uuid: string): Promise<number> {
  const found = await findProvider(db, uuid)
  if (!found) throw noProvider(uuid)
  return found.generation
}
