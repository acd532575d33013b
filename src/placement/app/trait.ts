import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/providers.ts'
import type { PlacementContext } from './context.ts'
import { badValue, isRace } from './faults.ts'
import { isCustom, isStandardTrait, STANDARD_TRAITS } from './names.ts'

async function customTraits(db: Handle): Promise<string[]> {
  return (await db.selectFrom('custom_traits').select('name').orderBy('name').execute()).map((row) => row.name)
}

export interface TraitFilter {
  /** `in:A,B` or `startswith:A` */
  name?: string
  /** Only those that a provider has, or has not. */
  associated?: boolean
}

export async function listTraits({ database: { db } }: PlacementContext, filter: TraitFilter): Promise<string[]> {
  let names = [...STANDARD_TRAITS, ...(await customTraits(db))].toSorted()
  if (filter.name !== undefined) {
    const [kind, rest] = [filter.name.slice(0, filter.name.indexOf(':')), filter.name.slice(filter.name.indexOf(':') + 1)]
    if (kind === 'in') names = names.filter((name) => rest.split(',').includes(name))
    else if (kind === 'startswith') names = names.filter((name) => name.startsWith(rest))
    else
      throw badValue(
        'Badly formatted name parameter. Expected name query string parameter in form: ?name=[in|startswith]:[name1,name2|prefix].',
      )
  }
  if (filter.associated === undefined) return names
  const rows = await db.selectFrom('provider_traits').select('trait').distinct().execute()
  const had = new Set(rows.map((row) => row.trait))
  return names.filter((name) => had.has(name) === filter.associated)
}

/** Answers whether there is such a trait. */
export async function traitExists({ database: { db } }: PlacementContext, name: string): Promise<boolean> {
  if (isStandardTrait(name)) return true
  return (await db.selectFrom('custom_traits').select('name').where('name', '=', name).executeTakeFirst()) !== undefined
}

/** Answers whether it was new. @throws Fault 400 for a name that is not one for custom traits */
export async function ensureTrait(context: PlacementContext, name: string): Promise<boolean> {
  if (!isCustom(name))
    throw badRequest(
      `The trait is invalid. A valid trait must be no longer than 255 characters, start with the prefix "CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_"`,
    )
  if (await traitExists(context, name)) return false
  try {
    await context.database.db.insertInto('custom_traits').values({ name, created_at: timestamp() }).execute()
    return true
  } catch (error) {
    if (isRace(error)) return false
    throw error
  }
}

/** @throws Fault 400 for a standard trait, 404, 409 while a provider has it */
export async function removeTrait(context: PlacementContext, name: string): Promise<void> {
  if (isStandardTrait(name)) throw badRequest(`Cannot delete standard trait ${name}.`)
  const removed = await context.database.transaction(async (trx) => {
    const used = await trx.selectFrom('provider_traits').select('trait').where('trait', '=', name).limit(1).executeTakeFirst()
    if (used) throw conflict(`The trait ${name} is in use by a resource provider.`)
    return await trx.deleteFrom('custom_traits').where('name', '=', name).executeTakeFirst()
  })
  if (removed.numDeletedRows === 0n) throw notFound(`No such trait: ${name}`)
}

/** @throws Fault 400 naming the traits that do not exist */
export async function checkTraits(db: Handle, names: string[]): Promise<void> {
  const custom = names.filter((name) => !isStandardTrait(name))
  if (custom.length === 0) return
  const rows = await db.selectFrom('custom_traits').select('name').where('name', 'in', custom).execute()
  const known = new Set(rows.map((row) => row.name))
  const missing = custom.filter((name) => !known.has(name))
  if (missing.length > 0) throw badRequest(`No such trait ${missing.join(', ')}`)
}
