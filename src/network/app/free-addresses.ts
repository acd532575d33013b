import { preparedFor } from '../../kernel/db/prepared.ts'
import { rowsWhere } from '../db/rows.ts'
import { addressesOf, numberOf, type Range } from './addresses.ts'
import type { NetworkContext, Work } from './context.ts'

/** So many addresses are looked at, beyond those that are wanted, before all that are taken are read. */
const NEXT = 16
const SUBNETS = 10_000
/** Addresses that one query asks for. */
const AT_ONCE = 500

/** Of this process: where the last search in each subnet ended. */
const ends = new WeakMap<NetworkContext['database'], Map<string, bigint>>()

export interface Wanted {
  subnetId: string
  pools: Range[]
  /** So many of any. */
  free: number
  /** And these. */
  own: string[]
}

interface Known {
  taken: Set<string>
  seen: Set<string>
  /** All that are taken are known. */
  whole: boolean
  /** To be tried one after the other. */
  next: string[]
}

/**
 * Who has which addresses of some subnets, read at once for all ports that want some. A free one is one of the next after the last that was given, so that it costs the same however
 * many are taken; when there is none among these, the lowest.
 */
export class FreeAddresses {
  private readonly work: Work
  private readonly ends: Map<string, bigint>
  private readonly known = new Map<string, Known>()

  private constructor(work: Work) {
    this.work = work
    this.ends = ends.get(work.context.database) ?? new Map()
    ends.set(work.context.database, this.ends)
  }

  static async of(work: Work, wanted: Wanted[]): Promise<FreeAddresses> {
    const free = new FreeAddresses(work)
    const unknown: string[] = []
    const pairs: Pair[] = []
    for (const one of wanted) {
      const end = free.ends.get(one.subnetId)
      if (one.free > 0 && end === undefined) unknown.push(one.subnetId)
      const next = one.free > 0 && end !== undefined ? [...addressesOf(one.pools, end + 1n).take(NEXT + one.free - 1)] : []
      free.of(one.subnetId).next.push(...next)
      for (const address of [...one.own, ...next]) pairs.push([one.subnetId, address])
    }
    await free.readWhole(unknown)
    await free.read(pairs)
    return free
  }

  /** Answers whether nobody has had it so far. */
  async take(subnetId: string, address: string): Promise<boolean> {
    const known = this.of(subnetId)
    await this.read([[subnetId, address]])
    if (known.taken.has(address)) return false
    known.taken.add(address)
    return true
  }

  /** Null when there is none left. */
  async any(subnetId: string, pools: Range[]): Promise<string | null> {
    const { next, taken } = this.of(subnetId)
    let address: string | null = null
    while (address === null && next.length > 0) {
      const candidate = next.shift()!
      if (!taken.has(candidate)) address = candidate
    }
    if (address === null) {
      await this.readWhole([subnetId])
      address = addressesOf(pools).find((one) => !taken.has(one)) ?? null
    }
    if (address === null) return null
    taken.add(address)
    if (this.ends.size >= SUBNETS) this.ends.clear()
    this.ends.set(subnetId, numberOf(address))
    return address
  }

  private of(subnetId: string): Known {
    const known = this.known.get(subnetId) ?? { taken: new Set(), seen: new Set(), whole: false, next: [] }
    this.known.set(subnetId, known)
    return known
  }

  private async readWhole(subnetIds: string[]): Promise<void> {
    const unknown = subnetIds.filter((id) => !this.of(id).whole)
    for (const { subnet_id, address } of await rowsWhere(this.work.trx, 'allocations', 'subnet_id', unknown))
      this.of(subnet_id).taken.add(address)
    for (const id of unknown) this.of(id).whole = true
  }

  private async read(pairs: Pair[]): Promise<void> {
    const unknown = pairs.filter(([id, address]) => !this.of(id).whole && !this.of(id).seen.has(address))
    for (let at = 0; at < unknown.length; at += AT_ONCE)
      for (const { subnet_id, address } of await takenOf(this.work, unknown.slice(at, at + AT_ONCE))) this.of(subnet_id).taken.add(address)
    for (const [id, address] of unknown) this.of(id).seen.add(address)
  }
}

/** Subnet and address. */
type Pair = [string, string]

async function takenOf({ trx }: Work, pairs: Pair[]): Promise<{ subnet_id: string; address: string }[]> {
  const bySubnet = [...Map.groupBy(pairs, ([id]) => id)].map(([id, own]) => ({ id, addresses: own.map(([, address]) => address) }))
  const [first] = bySubnet
  if (bySubnet.length === 1 && first!.addresses.length <= 2 * NEXT) return await takenOfOne(trx, [first!.id, ...first!.addresses])
  return await trx
    .selectFrom('allocations')
    .select(['subnet_id', 'address'])
    .where((eb) => eb.or(bySubnet.map(({ id, addresses }) => eb.and([eb('subnet_id', '=', id), eb('address', 'in', addresses)]))))
    .execute()
}

const takenOfOne = preparedFor<{ subnet_id: string; address: string }>((db, [subnetId, ...addresses]) =>
  db.selectFrom('allocations').select(['subnet_id', 'address']).where('subnet_id', '=', subnetId!).where('address', 'in', addresses),
)
