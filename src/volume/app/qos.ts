import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { holdOwner, type Properties, propertiesOf, setProperties } from '../db/properties.ts'
import { deleteQosRows, linkQos, type QosSpecs, qosSpecs, typesWithQos, unlinkQos } from '../db/qos.ts'
import { findType, type VolumeType } from '../db/types.ts'
import type { VolumeContext } from './context.ts'

export type { QosSpecs }

export const CONSUMERS = ['front-end', 'back-end', 'both']

/** @throws Fault 404 */
export async function seeQos(context: VolumeContext, id: string): Promise<QosSpecs> {
  const [found] = await qosSpecs(context.database.db, [id])
  if (!found) throw noQos(id)
  return found
}

const noQos = (id: string) => notFound(`No such QoS spec ${id}.`, 'QoSSpecsNotFound')

/** Runs `work` in a transaction in which the specs stay what they are. @throws Fault 404 when they have gone */
const holding = (context: VolumeContext, { id }: QosSpecs, work: (trx: Handle) => Promise<void>): Promise<void> =>
  context.database.transaction(async (trx) => {
    if (!(await holdOwner(trx, 'qos', id))) throw noQos(id)
    await work(trx)
  })

export const listQos = (context: VolumeContext): Promise<QosSpecs[]> => qosSpecs(context.database.db, null)

/** @throws Fault 409 when the name is taken */
export async function createQos(context: VolumeContext, name: string, consumer: string, specs: Properties): Promise<QosSpecs> {
  const row = { id: randomUUID(), name, consumer, created_at: timestamp(), generation: 0 }
  await context.database.transaction(async (trx) => {
    const there = await trx.selectFrom('qos_specs').select('id').where('name', '=', name).executeTakeFirst()
    if (there) throw conflict(`QoS Specs ${name} already exists.`, 'QoSSpecsExists')
    await trx.insertInto('qos_specs').values(row).execute()
    await setProperties(trx, 'qos', row.id, specs)
  })
  return { ...row, specs }
}

export const changeQos = (context: VolumeContext, qos: QosSpecs, consumer: string, specs: Properties): Promise<void> =>
  holding(context, qos, async (trx) => {
    await trx.updateTable('qos_specs').set({ consumer }).where('id', '=', qos.id).execute()
    await setProperties(trx, 'qos', qos.id, specs)
  })

/** @throws Fault 400 for a key that it does not have */
export const dropQosKeys = (context: VolumeContext, qos: QosSpecs, keys: string[]): Promise<void> =>
  holding(context, qos, async (trx) => {
    const specs = (await propertiesOf(trx, 'qos', [qos.id])).get(qos.id) ?? {}
    const unknown = keys.find((key) => !Object.hasOwn(specs, key))
    if (unknown !== undefined) throw badRequest(`QoS spec ${qos.id} has no spec with key ${unknown}.`, 'QoSSpecsKeyNotFound')
    if (keys.length === 0) return
    await trx.deleteFrom('properties').where('kind', '=', 'qos').where('owner_id', '=', qos.id).where('name', 'in', keys).execute()
  })

/** @throws Fault 400 while types have it, unless forced */
export const deleteQos = (context: VolumeContext, qos: QosSpecs, force: boolean): Promise<void> =>
  holding(context, qos, async (trx) => {
    if (!force && (await typesWithQos(trx, qos.id)).length > 0)
      throw badRequest(`QoS Specs ${qos.id} is still associated with entities.`, 'QoSSpecsInUse')
    await deleteQosRows(trx, qos.id)
  })

export const associationsOf = (context: VolumeContext, qos: QosSpecs) => typesWithQos(context.database.db, qos.id)

/** @throws Fault 400 when the type has other ones, 404 when it has gone */
export const associate = (context: VolumeContext, qos: QosSpecs, type: VolumeType): Promise<void> =>
  holding(context, qos, async (trx) => {
    if ((await linkQos(trx, type.id, qos.id, qos.id)) || (await linkQos(trx, type.id, null, qos.id))) return
    const present = await findType(trx, type.id)
    if (!present) throw notFound(`Volume type ${type.id} could not be found.`, 'VolumeTypeNotFound')
    throw badRequest(
      `Invalid volume type: Type ${type.id} is already associated with another qos specs: ${present.qos_specs_id}`,
      'InvalidVolumeType',
    )
  })

export async function disassociate(context: VolumeContext, qos: QosSpecs, type: VolumeType): Promise<void> {
  await linkQos(context.database.db, type.id, qos.id, null)
}

export const disassociateAll = (context: VolumeContext, qos: QosSpecs) => unlinkQos(context.database.db, qos.id)

const RATES = ['read_iops_sec', 'read_bytes_sec', 'write_iops_sec', 'write_bytes_sec', 'total_iops_sec', 'total_bytes_sec']

/** Rates that are said for each GiB become those of a volume: at least `…_per_gb_min`, at most `…_max`. @throws Fault 400 */
export function ofThisSize(specs: Properties | null, sizeGiB: number): Properties | null {
  if (!specs) return null
  const sized = { ...specs }
  const take = (name: string): number | null => {
    const text = sized[name]
    if (text === undefined) return null
    delete sized[name]
    if (!/^\d{1,15}$/.test(text))
      throw badRequest(`QoS specs say ${name}=${JSON.stringify(text)}, which is no whole number.`, 'InvalidQoSSpecs')
    return Number(text)
  }
  for (const rate of RATES) {
    const perGiB = take(`${rate}_per_gb`)
    if (perGiB === null) continue
    const least = Math.max(take(`${rate}_per_gb_min`) ?? 0, perGiB * sizeGiB)
    sized[rate] = String(Math.min(least, take(`${rate}_max`) ?? least))
  }
  return sized
}
