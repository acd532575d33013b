import { timestamp } from '../../kernel/db/columns.ts'
import type { Handle } from './handle.ts'
import type { PropertyKind } from './tables.ts'

export type Properties = Record<string, string>

/** Of many owners at once; who has none is absent. */
export async function propertiesOf(db: Handle, kind: PropertyKind, owners: string[]): Promise<Map<string, Properties>> {
  const found = new Map<string, Properties>()
  if (owners.length === 0) return found
  const rows = await db
    .selectFrom('properties')
    .selectAll()
    .where('kind', '=', kind)
    .where('owner_id', 'in', owners)
    .orderBy('name')
    .execute()
  for (const row of rows) {
    const own = found.get(row.owner_id) ?? {}
    own[row.name] = row.value
    found.set(row.owner_id, own)
  }
  return found
}

const OWNERS = { volume: 'volumes', image: 'volumes', snapshot: 'snapshots', type: 'types' } as const

/** The first thing in a transaction that writes what belongs to something: answers whether that is (still) there, and it stays until the end. */
export async function holdOwner(trx: Handle, kind: PropertyKind, owner: string): Promise<boolean> {
  if (kind === 'qos') return await holdQos(trx, owner)
  const held = await trx.updateTable(OWNERS[kind]).set({ updated_at: timestamp() }).where('id', '=', owner).executeTakeFirst()
  return held.numUpdatedRows > 0n
}

async function holdQos(trx: Handle, id: string): Promise<boolean> {
  const held = await trx
    .updateTable('qos_specs')
    .set((eb) => ({ generation: eb('generation', '+', 1) }))
    .where('id', '=', id)
    .executeTakeFirst()
  return held.numUpdatedRows > 0n
}

/** Those given replace those of the same name; the others stay. */
export async function setProperties(db: Handle, kind: PropertyKind, owner: string, properties: Properties): Promise<void> {
  const names = Object.keys(properties)
  if (names.length === 0) return
  await db.deleteFrom('properties').where('kind', '=', kind).where('owner_id', '=', owner).where('name', 'in', names).execute()
  const values = names.map((name) => ({ kind, owner_id: owner, name, value: properties[name]! }))
  await db.insertInto('properties').values(values).execute()
}

export async function replaceProperties(db: Handle, kind: PropertyKind, owner: string, properties: Properties): Promise<void> {
  await forgetProperties(db, [kind], owner)
  await setProperties(db, kind, owner, properties)
}

/** Answers whether it was there. */
export async function removeProperty(db: Handle, kind: PropertyKind, owner: string, name: string): Promise<boolean> {
  const gone = await db
    .deleteFrom('properties')
    .where('kind', '=', kind)
    .where('owner_id', '=', owner)
    .where('name', '=', name)
    .executeTakeFirst()
  return gone.numDeletedRows > 0n
}

export async function forgetProperties(db: Handle, kinds: PropertyKind[], owner: string | string[]): Promise<void> {
  await db.deleteFrom('properties').where('kind', 'in', kinds).where('owner_id', 'in', [owner].flat()).execute()
}
