import type { SelectQueryBuilder } from 'kysely'
import { preparedFor } from '../../kernel/db/prepared.ts'
import { FEW, type Handle, MANY } from './providers.ts'
import type { InventoryRow, PlacementTables } from './tables.ts'

/** An inventory with what is taken of it. */
export interface Stock extends InventoryRow {
  used: number
}

export const inventoriesOf = (db: Handle, uuid: string): Promise<InventoryRow[]> =>
  db.selectFrom('inventories').selectAll().where('provider_uuid', '=', uuid).orderBy('resource_class').execute()

export async function replaceInventories(trx: Handle, uuid: string, rows: InventoryRow[]): Promise<void> {
  await trx.deleteFrom('inventories').where('provider_uuid', '=', uuid).execute()
  if (rows.length > 0) await trx.insertInto('inventories').values(rows).execute()
}

type Stocks = SelectQueryBuilder<PlacementTables, 'inventories', object>

type Taken = InventoryRow & { used: unknown }

/** `narrow` picks the inventories; what is taken of each is added up beside it, without the consumers that are left out. */
const stocks = (db: Handle, narrow: (query: Stocks) => Stocks, leaveOut: string[] = []) =>
  narrow(db.selectFrom('inventories') as Stocks)
    .selectAll('inventories')
    .select((eb) =>
      eb
        .selectFrom('allocations')
        .select((inner) => inner.fn.sum<number>('allocations.used').as('used'))
        .whereRef('allocations.provider_uuid', '=', 'inventories.provider_uuid')
        .whereRef('allocations.resource_class', '=', 'inventories.resource_class')
        .$if(leaveOut.length > 0, (query) => query.where('allocations.consumer_uuid', 'not in', leaveOut))
        .as('used'),
    )

const ofFew = preparedFor<Taken>((db, uuids) => stocks(db, (query) => query.where('inventories.provider_uuid', 'in', uuids)))

function counted(rows: Taken[]): Stock[] {
  for (const row of rows) row.used = Number(row.used ?? 0)
  return rows as Stock[]
}

/** What these providers have, and what others than `leaveOut` hold of it. */
export async function stocksOf(db: Handle, uuids: string[], leaveOut: string[] = []): Promise<Stock[]> {
  if (uuids.length === 0) return []
  if (uuids.length > MANY) {
    const wanted = new Set(uuids)
    return counted(await stocks(db, (query) => query, leaveOut).execute()).filter((stock) => wanted.has(stock.provider_uuid))
  }
  if (uuids.length <= FEW && leaveOut.length === 0) return counted(await ofFew(db, uuids))
  return counted(await stocks(db, (query) => query.where('inventories.provider_uuid', 'in', uuids), leaveOut).execute())
}

/** Of every provider, what it has of these classes. */
export const stocksWith = async (db: Handle, classes: string[]): Promise<Stock[]> =>
  counted(await stocks(db, (query) => query.where('inventories.resource_class', 'in', classes)).execute())

export async function classInUse(db: Handle, name: string): Promise<boolean> {
  return (await db.selectFrom('inventories').select('resource_class').where('resource_class', '=', name).limit(1).execute()).length > 0
}
