import type { Handle } from './handle.ts'
import { forgetProperties, holdOwner, type Properties, propertiesOf } from './properties.ts'
import type { TypeRow } from './tables.ts'

export interface VolumeType extends TypeRow {
  extraSpecs: Properties
}

/** Whether its volumes go to several servers at once. */
export const sharedBy = (type: VolumeType): boolean => /^<is>\s*true$/i.test(type.extraSpecs.multiattach ?? '')

/** By id or name. */
export async function findType(db: Handle, idOrName: string): Promise<VolumeType | undefined> {
  const rows = await db
    .selectFrom('types')
    .selectAll()
    .where((eb) => eb.or([eb('id', '=', idOrName), eb('name', '=', idOrName)]))
    .execute()
  const row = rows.find((one) => one.id === idOrName) ?? rows[0]
  return row && (await dressTypes(db, [row]))[0]
}

/** Of the one that is used when none is named. */
export const DEFAULT_TYPE = '__DEFAULT__'

/** Who gives a volume a type and who deletes that follow one another: answers whether it is (still) there. The default one stays, so that who makes volumes of it need not wait for one another. */
export const holdType = async (trx: Handle, type: TypeRow): Promise<boolean> =>
  type.name === DEFAULT_TYPE || (await holdOwner(trx, 'type', type.id))

/** All of which the project may know; null: all. */
export async function typesFor(db: Handle, projectId: string | null): Promise<VolumeType[]> {
  let query = db.selectFrom('types').selectAll()
  if (projectId !== null)
    query = query.where((eb) =>
      eb.or([
        eb('is_public', '=', 1),
        eb.exists(
          eb
            .selectFrom('type_access as a')
            .select('a.type_id')
            .whereRef('a.type_id', '=', 'types.id')
            .where('a.project_id', '=', projectId),
        ),
      ]),
    )
  return dressTypes(db, await query.orderBy('created_at', 'desc').orderBy('id', 'desc').execute())
}

async function dressTypes(db: Handle, rows: TypeRow[]): Promise<VolumeType[]> {
  const specs = await propertiesOf(
    db,
    'type',
    rows.map((row) => row.id),
  )
  return rows.map((row) => ({ ...row, extraSpecs: specs.get(row.id) ?? {} }))
}

export async function mayUseType(db: Handle, type: TypeRow, projectId: string): Promise<boolean> {
  if (type.is_public === 1) return true
  return (await accessOf(db, type.id)).includes(projectId)
}

export async function accessOf(db: Handle, typeId: string): Promise<string[]> {
  const rows = await db.selectFrom('type_access').select('project_id').where('type_id', '=', typeId).orderBy('project_id').execute()
  return rows.map((row) => row.project_id)
}

export async function volumesUseType(db: Handle, typeId: string): Promise<boolean> {
  return (await db.selectFrom('volumes').select('id').where('type_id', '=', typeId).limit(1).executeTakeFirst()) !== undefined
}

export async function deleteTypeRows(db: Handle, typeId: string): Promise<void> {
  await forgetProperties(db, ['type'], typeId)
  await db.deleteFrom('type_access').where('type_id', '=', typeId).execute()
  await db.deleteFrom('types').where('id', '=', typeId).execute()
}
