import { stocksWith } from '../db/inventories.ts'
import { listProviders, whoHasTraits, whoIsIn } from '../db/providers.ts'
import type { PlacementContext } from './context.ts'
import { shortage } from './inventory.ts'
import type { Provider } from './provider.ts'
import type { Wish } from './query.ts'
import { checkClasses } from './resource-class.ts'
import { checkTraits } from './trait.ts'

export type ProviderQuery = Omit<Wish, 'suffix'> & { name?: string; uuid?: string }

/** Providers that fit every filter by themselves. @throws Fault 400 for unknown classes and traits */
export async function findProviders({ database: { db } }: PlacementContext, query: ProviderQuery): Promise<Provider[]> {
  const classes = Object.keys(query.resources)
  const traits = [...new Set([...query.required.flat(), ...query.forbidden])]
  const aggregates = [...new Set([...query.memberOf.flat(), ...query.notMemberOf])]
  await checkClasses(db, classes)
  await checkTraits(db, traits)
  const providers = await listProviders(db, { name: query.name, uuid: query.uuid, inTree: query.inTree ?? undefined })
  const have = await whoHasTraits(db, traits)
  const members = await whoIsIn(db, aggregates)
  const stocks = new Map(
    (classes.length > 0 ? await stocksWith(db, classes) : []).map((stock) => [`${stock.provider_uuid} ${stock.resource_class}`, stock]),
  )
  return providers.filter(({ uuid }) => {
    const own = have.get(uuid)
    const groups = members.get(uuid)
    return (
      query.required.every((any) => any.some((trait) => own?.has(trait))) &&
      !query.forbidden.some((trait) => own?.has(trait)) &&
      query.memberOf.every((any) => any.some((aggregate) => groups?.has(aggregate))) &&
      !query.notMemberOf.some((aggregate) => groups?.has(aggregate)) &&
      Object.entries(query.resources).every(([name, amount]) => {
        const stock = stocks.get(`${uuid} ${name}`)
        return stock !== undefined && shortage(stock, amount) === null
      })
    )
  })
}
