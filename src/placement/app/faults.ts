import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'

/** The codes by which clients tell one conflict from another. */
const CONCURRENT_UPDATE = 'placement.concurrent_update'
const INVENTORY_IN_USE = 'placement.inventory.inuse'
const PROVIDER_IN_USE = 'placement.resource_provider.inuse'
const CANNOT_DELETE_PARENT = 'placement.resource_provider.cannot_delete_parent'
const DUPLICATE_NAME = 'placement.duplicate_name'
const BAD_VALUE = 'placement.query.bad_value'

export const badValue = (message: string) => badRequest(message, BAD_VALUE)
export const noProvider = (uuid: string) => notFound(`No resource provider with uuid ${uuid} found`)
export const staleGeneration = () => conflict('resource provider generation conflict', CONCURRENT_UPDATE)
export const inventoryInUse = (classes: string[], provider: string) =>
  conflict(`There was a conflict: inventory for '${classes.join(', ')}' on resource provider '${provider}' in use.`, INVENTORY_IN_USE)
export const providerInUse = (uuid: string) =>
  conflict(`Unable to delete resource provider ${uuid}: Resource provider has allocations.`, PROVIDER_IN_USE)
export const hasChildren = (uuid: string) =>
  conflict(`Unable to delete parent resource provider ${uuid}: It has child resource providers.`, CANNOT_DELETE_PARENT)
export const duplicateName = (what: string) => conflict(`Conflicting resource provider ${what} already exists.`, DUPLICATE_NAME)
export const consumerMoved = (uuid: string, seen: number | null, is: number | null) =>
  conflict(`consumer generation conflict: consumer ${uuid} expected ${is} but got ${seen}`, CONCURRENT_UPDATE)
export const consumersRaced = () => conflict('Another request changed the same consumer at the same time.', CONCURRENT_UPDATE)

const RACES = new Set(['ER_DUP_ENTRY', 'ER_CHECKREAD', 'ERR_SQLITE_ERROR'])

/** Somebody else wrote the same row at the same time, says the database. */
export const isRace = (error: unknown): boolean => {
  const { code, message } = error as { code?: string; message?: string }
  return RACES.has(code ?? '') && (code !== 'ERR_SQLITE_ERROR' || /UNIQUE constraint/.test(message ?? ''))
}
