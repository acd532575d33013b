import { timestamp } from '../../kernel/db/columns.ts'
import type { Handle } from './handle.ts'
import { forgetProperties, type Properties, propertiesOf } from './properties.ts'
import type { QosRow } from './tables.ts'

export interface QosSpecs extends QosRow {
  specs: Properties
}

export async function qosSpecs(db: Handle, ids: string[] | null): Promise<QosSpecs[]> {
  if (ids?.length === 0) return []
  const all = db.selectFrom('qos_specs').selectAll().orderBy('created_at', 'desc').orderBy('id')
  const rows = await (ids ? all.where('id', 'in', ids) : all).execute()
  const specs = await propertiesOf(
    db,
    'qos',
    rows.map((row) => row.id),
  )
  return rows.map((row) => ({ ...row, specs: specs.get(row.id) ?? {} }))
}

export const typesWithQos = (db: Handle, qosId: string) =>
  db.selectFrom('types').select(['id', 'name']).where('qos_specs_id', '=', qosId).orderBy('name').execute()

/** Gives a type these in the place of others (`from`; null: of none). Answers whether it had those. */
export async function linkQos(db: Handle, typeId: string, from: string | null, to: string | null): Promise<boolean> {
  const had = db.updateTable('types').set({ qos_specs_id: to, updated_at: timestamp() }).where('id', '=', typeId)
  const linked = await had.where('qos_specs_id', from === null ? 'is' : '=', from).executeTakeFirst()
  return linked.numUpdatedRows > 0n
}

export async function unlinkQos(db: Handle, qosId: string): Promise<void> {
  await db.updateTable('types').set({ qos_specs_id: null }).where('qos_specs_id', '=', qosId).execute()
}

export async function deleteQosRows(db: Handle, qosId: string): Promise<void> {
  await forgetProperties(db, ['qos'], qosId)
  await unlinkQos(db, qosId)
  await db.deleteFrom('qos_specs').where('id', '=', qosId).execute()
}

/** What the one who attaches has to see to; null where that is nothing. */
export async function frontEndSpecs(db: Handle, typeId: string): Promise<Properties | null> {
  const type = await db.selectFrom('types').select('qos_specs_id').where('id', '=', typeId).executeTakeFirst()
  if (!type?.qos_specs_id) return null
  const [found] = await qosSpecs(db, [type.qos_specs_id])
  return found && found.consumer !== 'back-end' ? found.specs : null
}
