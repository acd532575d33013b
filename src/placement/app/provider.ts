import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { usedOf } from '../db/allocations.ts'
import {
  aggregatesOf,
  childrenOf,
  deleteProvider,
  findProvider,
  type Handle,
  insertProvider,
  moveGeneration,
  moveTree,
  replaceAggregates,
  replaceTraits,
  touchProviders,
  traitsOf,
  treeOf,
  updateProvider,
} from '../db/providers.ts'
import type { ProviderRow } from '../db/tables.ts'
import type { PlacementContext } from './context.ts'
import { duplicateName, hasChildren, isRace, noProvider, providerInUse, staleGeneration } from './faults.ts'
import { checkTraits } from './trait.ts'

export type Provider = ProviderRow

/** @throws Fault 404 */
export async function provider({ database: { db } }: PlacementContext, uuid: string): Promise<Provider> {
  const found = await findProvider(db, uuid)
  if (!found) throw noProvider(uuid)
  return found
}

export interface NewProvider {
  uuid?: string
  name: string
  parentUuid?: string | null
}

/** @throws Fault 400 for an unknown parent, 409 when name or uuid is taken */
export async function createProvider({ database }: PlacementContext, asked: NewProvider): Promise<Provider> {
  const uuid = asked.uuid ?? randomUUID()
  const at = timestamp()
  try {
    return await database.transaction(async (trx) => {
      const parent = asked.parentUuid ? await parentOf(trx, asked.parentUuid) : null
      const row: Provider = {
        uuid,
        name: asked.name,
        generation: 0,
        parent_uuid: parent?.uuid ?? null,
        root_uuid: parent?.root_uuid ?? uuid,
        created_at: at,
        updated_at: at,
      }
      await insertProvider(trx, row)
      return row
    })
  } catch (error) {
    if (isRace(error)) throw duplicateName(asked.uuid ? `name ${asked.name} or uuid ${uuid}` : `name ${asked.name}`)
    throw error
  }
}

async function parentOf(db: Handle, uuid: string): Promise<Provider> {
  const parent = await findProvider(db, uuid)
  if (!parent) throw badRequest(`Unable to save resource provider: parent provider UUID ${uuid} does not exist.`)
  return parent
}

/** `parentUuid` undefined keeps the parent; others than a first parent need `mayMove` (microversion 1.37). */
export async function changeProvider(
  { database }: PlacementContext,
  uuid: string,
  change: { name: string; parentUuid?: string | null; mayMove: boolean },
): Promise<Provider> {
  try {
    return await database.transaction(async (trx) => {
      const before = await findProvider(trx, uuid)
      if (!before) throw noProvider(uuid)
      const columns: Partial<ProviderRow> = { name: change.name }
      const { parentUuid } = change
      if (parentUuid !== undefined && parentUuid !== before.parent_uuid) {
        if (before.parent_uuid !== null && !change.mayMove)
          throw badRequest(`Unable to save resource provider ${uuid}: un-parenting or re-parenting a provider needs microversion 1.37.`)
        const tree = await treeOf(trx, before.root_uuid)
        const below = descendants(tree, uuid)
        const parent = parentUuid === null ? null : await parentOf(trx, parentUuid)
        if (parent && below.includes(parent.uuid))
          throw badRequest(`Unable to save resource provider ${uuid}: creating a loop in the provider tree is not allowed.`)
        await moveTree(trx, below, parent?.root_uuid ?? uuid)
        columns.parent_uuid = parentUuid
      }
      await updateProvider(trx, uuid, columns)
      return (await findProvider(trx, uuid))!
    })
  } catch (error) {
    if (isRace(error)) throw duplicateName(`name ${change.name}`)
    throw error
  }
}

function descendants(tree: Provider[], uuid: string): string[] {
  const found = [uuid]
  for (const one of found) found.push(...tree.filter((child) => child.parent_uuid === one).map((child) => child.uuid))
  return found
}

/** @throws Fault 404, 409 while it has children or somebody holds something of it */
export async function removeProvider({ database }: PlacementContext, uuid: string): Promise<void> {
  await database.transaction(async (trx) => {
    if ((await touchProviders(trx, [uuid])) === 0) throw noProvider(uuid)
    if ((await childrenOf(trx, uuid)).length > 0) throw hasChildren(uuid)
    if ((await usedOf(trx, uuid)).size > 0) throw providerInUse(uuid)
    await deleteProvider(trx, uuid)
  })
}

/** Runs `change` with the provider's generation moved on from `generation`. @throws Fault 404, 409 when it had moved already */
export async function underGeneration<R>(
  { database }: PlacementContext,
  uuid: string,
  generation: number,
  change: (trx: Handle, after: Provider) => Promise<R>,
): Promise<R> {
  try {
    return await database.transaction(async (trx) => {
      const moved = await moveGeneration(trx, uuid, generation)
      const after = await findProvider(trx, uuid)
      if (!after) throw noProvider(uuid)
      if (!moved) throw staleGeneration()
      return await change(trx, after)
    })
  } catch (error) {
    if (isRace(error)) throw staleGeneration()
    throw error
  }
}

export async function providerTraits({ database: { db } }: PlacementContext, uuid: string) {
  const found = await findProvider(db, uuid)
  if (!found) throw noProvider(uuid)
  return { provider: found, traits: await traitsOf(db, uuid) }
}

/** @throws Fault 400 for unknown traits, 404, 409 for a stale generation */
export async function setTraits(context: PlacementContext, uuid: string, generation: number, traits: string[]) {
  const unique = [...new Set(traits)].toSorted()
  return await underGeneration(context, uuid, generation, async (trx, after) => {
    await checkTraits(trx, unique)
    await replaceTraits(trx, uuid, unique)
    return { provider: after, traits: unique }
  })
}

export async function clearTraits({ database }: PlacementContext, uuid: string): Promise<void> {
  await database.transaction(async (trx) => {
    if ((await touchProviders(trx, [uuid])) === 0) throw noProvider(uuid)
    await replaceTraits(trx, uuid, [])
  })
}

export async function providerAggregates({ database: { db } }: PlacementContext, uuid: string) {
  const found = await findProvider(db, uuid)
  if (!found) throw noProvider(uuid)
  return { provider: found, aggregates: await aggregatesOf(db, uuid) }
}

/** Without a generation (before microversion 1.19) the last writer wins. @throws Fault 404, 409 for a stale generation */
export async function setAggregates(context: PlacementContext, uuid: string, generation: number | null, aggregates: string[]) {
  const unique = [...new Set(aggregates)].toSorted()
  const write = async (trx: Handle, after: Provider) => {
    await replaceAggregates(trx, uuid, unique)
    return { provider: after, aggregates: unique }
  }
  if (generation !== null) return await underGeneration(context, uuid, generation, write)
  return await context.database.transaction(async (trx) => {
    if ((await touchProviders(trx, [uuid])) === 0) throw noProvider(uuid)
    return await write(trx, (await findProvider(trx, uuid))!)
  })
}
