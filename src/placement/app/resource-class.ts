import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { classInUse } from '../db/inventories.ts'
import type { Handle } from '../db/providers.ts'
import type { PlacementContext } from './context.ts'
import { isRace } from './faults.ts'
import { isCustom, isStandardClass, STANDARD_CLASSES } from './names.ts'

export async function listClasses({ database: { db } }: PlacementContext): Promise<string[]> {
  const rows = await db.selectFrom('custom_classes').select('name').orderBy('name').execute()
  return [...STANDARD_CLASSES, ...rows.map((row) => row.name)]
}

/** @throws Fault 404 */
export async function findClass({ database: { db } }: PlacementContext, name: string): Promise<string> {
  if (isStandardClass(name)) return name
  if (await db.selectFrom('custom_classes').select('name').where('name', '=', name).executeTakeFirst()) return name
  throw notFound(`No such resource class: ${name}`)
}

/** Answers whether it was new. @throws Fault 400 for a name that is not one for custom classes */
export async function ensureClass({ database: { db } }: PlacementContext, name: string): Promise<boolean> {
  if (!isCustom(name)) throw badRequest(`Resource class ${name} is no custom class: names begin with CUSTOM_ and use A-Z, 0-9 and _.`)
  if (await db.selectFrom('custom_classes').select('name').where('name', '=', name).executeTakeFirst()) return false
  try {
    await db.insertInto('custom_classes').values({ name, created_at: timestamp() }).execute()
    return true
  } catch (error) {
    if (isRace(error)) return false
    throw error
  }
}

/** @throws Fault 400 for a standard class, 404, 409 while a provider has an inventory of it */
export async function removeClass({ database }: PlacementContext, name: string): Promise<void> {
  if (isStandardClass(name)) throw badRequest(`Error in delete resource class: Cannot delete standard resource class ${name}`)
  const removed = await database.transaction(async (trx) => {
    if (await classInUse(trx, name)) throw conflict(`Error in delete resource class: Resource class ${name} is in use in inventory.`)
    return await trx.deleteFrom('custom_classes').where('name', '=', name).executeTakeFirst()
  })
  if (removed.numDeletedRows === 0n) throw notFound(`Error in delete resource class: No such resource class ${name}`)
}

/** What providers have of it goes along. @throws Fault 400 for a standard class, 404, 409 when the new name is taken */
export async function renameClass({ database }: PlacementContext, from: string, to: string): Promise<void> {
  if (isStandardClass(from)) throw badRequest(`Cannot update standard resource class ${from}`)
  if (!isCustom(to)) throw badRequest(`Resource class ${to} is no custom class: names begin with CUSTOM_ and use A-Z, 0-9 and _.`)
  try {
    await database.transaction(async (trx) => {
      const renamed = await trx.updateTable('custom_classes').set({ name: to }).where('name', '=', from).executeTakeFirst()
      if (renamed.numUpdatedRows === 0n) throw notFound(`No such resource class: ${from}`)
      for (const table of ['inventories', 'allocations'] as const)
        await trx.updateTable(table).set({ resource_class: to }).where('resource_class', '=', from).execute()
    })
  } catch (error) {
    if (isRace(error)) throw conflict(`Resource class already exists: ${to}`)
    throw error
  }
}

/** @throws Fault 400 naming the classes that do not exist */
export async function checkClasses(db: Handle, names: string[]): Promise<void> {
  const custom = names.filter((name) => !isStandardClass(name))
  if (custom.length === 0) return
  const rows = await db.selectFrom('custom_classes').select('name').where('name', 'in', custom).execute()
  const known = new Set(rows.map((row) => row.name))
  const missing = custom.filter((name) => !known.has(name))
  if (missing.length > 0) throw badRequest(`No such resource class ${missing.join(', ')}`)
}
