import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { holdOwner, type Properties, propertiesOf, removeProperty, replaceProperties, setProperties } from '../db/properties.ts'
import type { PropertyKind } from '../db/tables.ts'
import type { VolumeContext } from './context.ts'

export const metadataOf = async (context: VolumeContext, kind: PropertyKind, id: string): Promise<Properties> =>
  (await propertiesOf(context.database.db, kind, [id])).get(id) ?? {}

export async function addMetadata(context: VolumeContext, kind: PropertyKind, id: string, given: Properties): Promise<Properties> {
  checkMetadata(given)
  await ofOwner(context, kind, id, (trx) => setProperties(trx, kind, id, given))
  return await metadataOf(context, kind, id)
}

export async function replaceMetadata(context: VolumeContext, kind: PropertyKind, id: string, given: Properties): Promise<Properties> {
  checkMetadata(given)
  await ofOwner(context, kind, id, (trx) => replaceProperties(trx, kind, id, given))
  return given
}

/** What is written of something that goes at the same moment would stay. @throws Fault 404 */
async function ofOwner(context: VolumeContext, kind: PropertyKind, id: string, work: (trx: Handle) => Promise<void>): Promise<void> {
  await context.database.transaction(async (trx) => {
    if (!(await holdOwner(trx, kind, id))) throw notFound(`${NAMES[kind]} ${id} could not be found.`)
    await work(trx)
  })
}

const NAMES = { volume: 'Volume', image: 'Volume', snapshot: 'Snapshot', type: 'Volume type', qos: 'QoS specs' }

/** @throws Fault 404 */
export async function metadataItem(context: VolumeContext, kind: PropertyKind, id: string, name: string): Promise<string> {
  const own = await metadataOf(context, kind, id)
  if (!Object.hasOwn(own, name)) throw notFound(`There is no metadata ${name} on ${id}.`)
  return own[name]!
}

/** @throws Fault 404 */
export async function dropMetadata(context: VolumeContext, kind: PropertyKind, id: string, name: string): Promise<void> {
  if (!(await removeProperty(context.database.db, kind, id, name))) throw notFound(`There is no metadata ${name} on ${id}.`)
}

/** @throws Fault 400 */
export function checkMetadata(given: Properties): void {
  if (Object.keys(given).some((name) => name.length === 0)) throw badRequest('Metadata property key blank.')
  if (Object.keys(given).some((name) => name.length > 255)) throw badRequest('Metadata property key greater than 255 characters.')
  if (Object.values(given).some((value) => value.length > 255)) throw badRequest('Metadata property value greater than 255 characters.')
}
