import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { type Properties, setProperties } from '../db/properties.ts'
import { deleteQosRows, linkQos, type QosSpecs, qosSpecs, typesWithQos, unlinkQos } from '../db/qos.ts'
import type { VolumeType } from '../db/types.ts'
import type { VolumeContext } from './context.ts'

export type { QosSpecs }

export const CONSUMERS = ['front-end', 'back-end', 'both']

/** @throws Fault 404 */
export async function seeQos(context: VolumeContext, id: string): Promise<QosSpecs> {
  const [found] = await qosSpecs(context.database.db, [id])
  if (!found) throw notFound(`No such QoS spec ${id}.`, 'QoSSpecsNotFound')
  return found
}

export const listQos = (context: VolumeContext): Promise<QosSpecs[]> => qosSpecs(context.database.db, null)

/** @throws Fault 409 when the name is taken */
export async function createQos(context: VolumeContext, name: string, consumer: string, specs: Properties): Promise<QosSpecs> {
  const row = { id: randomUUID(), name, consumer, created_at: timestamp() }
  await context.database.transaction(async (trx) => {
    const there = await trx.selectFrom('qos_specs').select('id').where('name', '=', name).executeTakeFirst()
    if (there) throw conflict(`QoS Specs ${name} already exists.`, 'QoSSpecsExists')
    await trx.insertInto('qos_specs').values(row).execute()
    await setProperties(trx, 'qos', row.id, specs)
  })
  return { ...row, specs }
}

export async function changeQos(context: VolumeContext, qos: QosSpecs, consumer: string, specs: Properties): Promise<void> {
  await context.database.transaction(async (trx) => {
    await trx.updateTable('qos_specs').set({ consumer }).where('id', '=', qos.id).execute()
    await setProperties(trx, 'qos', qos.id, specs)
  })
}

/** @throws Fault 400 for a key that it does not have */
export async function dropQosKeys(context: VolumeContext, qos: QosSpecs, keys: string[]): Promise<void> {
  const unknown = keys.find((key) => !Object.hasOwn(qos.specs, key))
  if (unknown !== undefined) throw badRequest(`QoS spec ${qos.id} has no spec with key ${unknown}.`, 'QoSSpecsKeyNotFound')
  if (keys.length === 0) return
  const { db } = context.database
  await db.deleteFrom('properties').where('kind', '=', 'qos').where('owner_id', '=', qos.id).where('name', 'in', keys).execute()
}

/** @throws Fault 400 while types have it, unless forced */
export async function deleteQos(context: VolumeContext, qos: QosSpecs, force: boolean): Promise<void> {
  await context.database.transaction(async (trx) => {
    if (!force && (await typesWithQos(trx, qos.id)).length > 0)
      throw badRequest(`QoS Specs ${qos.id} is still associated with entities.`, 'QoSSpecsInUse')
    await deleteQosRows(trx, qos.id)
  })
}

export const associationsOf = (context: VolumeContext, qos: QosSpecs) => typesWithQos(context.database.db, qos.id)

/** @throws Fault 400 when the type has other ones */
export async function associate(context: VolumeContext, qos: QosSpecs, type: VolumeType): Promise<void> {
  if (type.qos_specs_id !== null && type.qos_specs_id !== qos.id)
    throw badRequest(
      `Invalid volume type: Type ${type.id} is already associated with another qos specs: ${type.qos_specs_id}`,
      'InvalidVolumeType',
    )
  await linkQos(context.database.db, type.id, qos.id)
}

export async function disassociate(context: VolumeContext, qos: QosSpecs, type: VolumeType): Promise<void> {
  if (type.qos_specs_id === qos.id) await linkQos(context.database.db, type.id, null)
}

export const disassociateAll = (context: VolumeContext, qos: QosSpecs) => unlinkQos(context.database.db, qos.id)
