import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { type Properties, setProperties } from '../db/properties.ts'
import {
  accessOf,
  DEFAULT_TYPE,
  deleteTypeRows,
  findType,
  holdType,
  mayUseType,
  typesFor,
  type VolumeType,
  volumesUseType,
} from '../db/types.ts'
import type { Viewer, VolumeContext } from './context.ts'

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
    await requireFree(trx, asked.name)
    await trx.insertInto('types').values(row).execute()
    await setProperties(trx, 'type', row.id, asked.extraSpecs)
  })
  return { ...row, extraSpecs: asked.extraSpecs }
}

export async function updateType(context: VolumeContext, type: VolumeType, change: TypeChange): Promise<VolumeType> {
  const { name = type.name } = change
  if (name !== type.name && type.name === DEFAULT_TYPE) throw badRequest(`The type ${DEFAULT_TYPE} keeps its name.`)
  const columns = {
    ...(name === type.name ? {} : { name }),
    ...(change.description === undefined ? {} : { description: change.description }),
    ...(change.isPublic === undefined ? {} : { is_public: Number(change.isPublic) }),
    updated_at: timestamp(),
  }
  await context.database.transaction(async (trx) => {
    if (name !== type.name) await requireFree(trx, name)
    const { numUpdatedRows } = await trx.updateTable('types').set(columns).where('id', '=', type.id).executeTakeFirst()
    if (numUpdatedRows === 0n) throw noType(type.id)
  })
  return { ...type, ...columns }
}

/** Of two at once the second runs again and finds the first. */
async function requireFree(trx: Handle, name: string): Promise<void> {
  const there = await findType(trx, name)
  if (there?.name === name) throw conflict(`Volume Type ${name} already exists.`, 'VolumeTypeExists')
}

/** @throws Fault 400 while volumes have it, or for the default */
export async function deleteType(context: VolumeContext, type: VolumeType): Promise<void> {
  if (type.name === DEFAULT_TYPE) throw badRequest(`The volume type ${type.id} is the default volume type and cannot be deleted.`)
  await context.database.transaction(async (trx) => {
    await holdType(trx, type)
    if (await volumesUseType(trx, type.id))
      throw badRequest(`Target volume type is still in use: volumes have type ${type.name}.`, 'VolumeTypeInUse')
    await deleteTypeRows(trx, type.id)
  })
}

export const typeAccess = (context: VolumeContext, type: VolumeType) => accessOf(context.database.db, type.id)

export async function setAccess(context: VolumeContext, type: VolumeType, projectId: string, may: boolean): Promise<void> {
  if (type.is_public) throw conflict('Type access modification is not applicable to public volume type.')
  await context.database.transaction(async (trx) => {
    const has = (await accessOf(trx, type.id)).includes(projectId)
    if (may && has) throw conflict(`Volume type access for ${type.id} / ${projectId} combination already exists.`)
    if (!may && !has) throw notFound(`Volume type access not found for ${type.id} / ${projectId} combination.`)
    if (!(await holdType(trx, type))) throw noType(type.id)
    if (may) await trx.insertInto('type_access').values({ type_id: type.id, project_id: projectId }).execute()
    else await trx.deleteFrom('type_access').where('type_id', '=', type.id).where('project_id', '=', projectId).execute()
  })
}
