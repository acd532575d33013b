import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { type Properties, setProperties } from '../db/properties.ts'
import { accessOf, deleteTypeRows, findType, mayUseType, typesFor, type VolumeType, volumesUseType } from '../db/types.ts'
import type { Viewer, VolumeContext } from './context.ts'
import { DEFAULT_TYPE } from './new-volume.ts'

export type { VolumeType }

export const listTypes = (context: VolumeContext, viewer: Viewer) =>
  typesFor(context.database.db, viewer.isAdmin ? null : (viewer.projectId ?? ''))

const noType = (id: string) => notFound(`Volume type ${id} could not be found.`, 'VolumeTypeNotFound')

/** By id; `default` is the one that is used when none is named. @throws Fault 404 */
export async function seeType(context: VolumeContext, viewer: Viewer, id: string): Promise<VolumeType> {
  const type = await findType(context.database.db, id === 'default' ? DEFAULT_TYPE : id)
  if (!type || (id !== 'default' && type.id !== id)) throw noType(id)
  if (!viewer.isAdmin && !(await mayUseType(context.database.db, type, viewer.projectId ?? ''))) throw noType(id)
  return type
}

export interface TypeChange {
  name?: string
  description?: string | null
  isPublic?: boolean
}

/** @throws Fault 409 when the name is taken */
export async function createType(
  context: VolumeContext,
  asked: TypeChange & { name: string; extraSpecs: Properties },
): Promise<VolumeType> {
  await requireFree(context, asked.name)
  const at = timestamp()
  const row = {
    id: randomUUID(),
    name: asked.name,
    description: asked.description ?? null,
    is_public: asked.isPublic === false ? 0 : 1,
    qos_specs_id: null,
    created_at: at,
    updated_at: at,
  }
  await context.database.transaction(async (trx) => {
    await trx.insertInto('types').values(row).execute()
    await setProperties(trx, 'type', row.id, asked.extraSpecs)
  })
  return { ...row, extraSpecs: asked.extraSpecs }
}

export async function updateType(context: VolumeContext, type: VolumeType, change: TypeChange): Promise<VolumeType> {
  if (change.name !== undefined && change.name !== type.name) {
    if (type.name === DEFAULT_TYPE) throw badRequest(`The type ${DEFAULT_TYPE} keeps its name.`)
    await requireFree(context, change.name)
  }
  const columns = {
    name: change.name ?? type.name,
    description: change.description === undefined ? type.description : change.description,
    is_public: change.isPublic === undefined ? type.is_public : Number(change.isPublic),
    updated_at: timestamp(),
  }
  await context.database.db.updateTable('types').set(columns).where('id', '=', type.id).execute()
  return { ...type, ...columns }
}

async function requireFree(context: VolumeContext, name: string): Promise<void> {
  const there = await findType(context.database.db, name)
  if (there?.name === name) throw conflict(`Volume Type ${name} already exists.`, 'VolumeTypeExists')
}

/** @throws Fault 400 while volumes have it, or for the default */
export async function deleteType(context: VolumeContext, type: VolumeType): Promise<void> {
  if (type.name === DEFAULT_TYPE) throw badRequest(`The volume type ${type.id} is the default volume type and cannot be deleted.`)
  await context.database.transaction(async (trx) => {
    if (await volumesUseType(trx, type.id))
      throw badRequest(`Target volume type is still in use: volumes have type ${type.name}.`, 'VolumeTypeInUse')
    await deleteTypeRows(trx, type.id)
  })
}

export const typeAccess = (context: VolumeContext, type: VolumeType) => accessOf(context.database.db, type.id)

export async function setAccess(context: VolumeContext, type: VolumeType, projectId: string, may: boolean): Promise<void> {
  if (type.is_public) throw conflict('Type access modification is not applicable to public volume type.')
  const has = (await typeAccess(context, type)).includes(projectId)
  if (may && has) throw conflict(`Volume type access for ${type.id} / ${projectId} combination already exists.`)
  if (!may && !has) throw notFound(`Volume type access not found for ${type.id} / ${projectId} combination.`)
  const { db } = context.database
  if (may) await db.insertInto('type_access').values({ type_id: type.id, project_id: projectId }).execute()
  else await db.deleteFrom('type_access').where('type_id', '=', type.id).where('project_id', '=', projectId).execute()
}
