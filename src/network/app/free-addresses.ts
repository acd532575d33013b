import { preparedFor } from '../../kernel/db/prepared.ts'
import { addressesOf, numberOf, type Range } from './addresses.ts'
import type { NetworkContext, Work } from './context.ts'

/** So many addresses are looked at before all that are taken are read. */
const NEXT = 16
const SUBNETS = 10_000

/** Of this process: where the last search in each subnet ended. */
const ends = new WeakMap<NetworkContext['database'], Map<string, bigint>>()

/**
 * An address of `pools` that nobody has: one of the next after the last that was given, so that it costs the same however many are taken; when there is none among
 * these, the lowest.
 */
export async function freeAddress(
  work: Work,
  subnetId: string,
  pools: Range[],
  except: (address: string) => boolean,
): Promise<string | null> {
  const known = endsOf(work.context)
  const end = known.get(subnetId)
  const next = end === undefined ? [] : [...addressesOf(pools, end + 1n).take(NEXT)]
  const address = (await firstOf(work, subnetId, next, except)) ?? (await lowest(work, subnetId, pools, except))
  if (address === null) return null
  if (known.size >= SUBNETS) known.clear()
  known.set(subnetId, numberOf(address))
  return address
}

export async function isTaken({ trx }: Work, subnetId: string, address: string): Promise<boolean> {
  return (await taken(trx, [subnetId, address])).length > 0
}

async function firstOf({ trx }: Work, subnetId: string, addresses: string[], except: (address: string) => boolean): Promise<string | null> {
  if (addresses.length === 0) return null
  const others = new Set((await taken(trx, [subnetId, ...addresses])).map(({ address }) => address))
  return addresses.find((address) => !others.has(address) && !except(address)) ?? null
}

async function lowest({ trx }: Work, subnetId: string, pools: Range[], except: (address: string) => boolean): Promise<string | null> {
  const rows = await trx.selectFrom('allocations').select('address').where('subnet_id', '=', subnetId).execute()
  const others = new Set(rows.map(({ address }) => address))
  return addressesOf(pools).find((address) => !others.has(address) && !except(address)) ?? null
}

/** Of a subnet's addresses those that somebody has. */
const taken = preparedFor<{ address: string }>((db, [subnetId, ...addresses]) =>
  db.selectFrom('allocations').select('address').where('subnet_id', '=', subnetId!).where('address', 'in', addresses),
)

function endsOf({ database }: NetworkContext): Map<string, bigint> {
  const known = ends.get(database) ?? new Map<string, bigint>()
  ends.set(database, known)
  return known
}
