import { toJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict, Fault } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { deleteRow, insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { SubnetPoolRow, SubnetRow } from '../db/tables.ts'
import { overlaps, type Prefix, prefixOf, textOf } from './addresses.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { missing, type Noun, refuseKnownIds, STANDARD, seeRows } from './noun.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { flags, named, standard } from './standard.ts'

export type SubnetPool = SubnetPoolRow

export const subnetPoolNoun: Noun<'subnetpools', SubnetPool> = {
  name: 'subnetpool',
  plural: 'subnetpools',
  type: 'SubnetPool',
  table: 'subnetpools',
  columns: {
    ...STANDARD,
    ip_version: ['ip_version', 'number'],
    shared: ['shared', 'flag'],
    is_default: ['is_default', 'flag'],
    default_prefixlen: ['default_prefixlen', 'number'],
    min_prefixlen: ['min_prefixlen', 'number'],
    max_prefixlen: ['max_prefixlen', 'number'],
    default_quota: ['default_quota', 'number'],
  },
  visible: (projectId) => (query) => query.where((eb) => eb.or([eb('project_id', '=', projectId), eb('shared', '=', 1)])),
  dress: async (_db, rows) => rows,
}

export interface AskedSubnetPool {
  id?: string
  name?: string
  description?: string | null
  project_id?: string
  prefixes: string[]
  default_prefixlen?: number | string | null
  min_prefixlen?: number | string | null
  max_prefixlen?: number | string | null
  shared?: boolean
  is_default?: boolean
  default_quota?: number | string | null
}

const BITS = { 4: 32, 6: 128 }
/** What subnets there are at least and at most, unless told. */
const SHORTEST = { 4: 8, 6: 64 }

/** All or none. @throws Fault 400 for prefixes and lengths that do not fit together, 409 where there is a default pool already */
export async function createSubnetPools(context: NetworkContext, viewer: Viewer, asked: AskedSubnetPool[]): Promise<SubnetPool[]> {
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  return await mutate(context, ['subnetpools', ...projects.map((one) => quotaLock('subnetpool', one))], async (work) => {
    await checkQuota(work, 'subnetpool', projects)
    await refuseKnownIds(work.trx, subnetPoolNoun as Noun, asked)
    const rows = asked.map((one, i): SubnetPool => {
      const prefixes = merged(one.prefixes)
      return {
        ...standard(one, projects[i]!),
        ip_version: prefixes[0]!.version,
        prefixes: toJson(prefixes.map(({ text }) => text)),
        ...lengths(prefixes[0]!.version, one),
        shared: Number(one.shared ?? false),
        is_default: Number(one.is_default ?? false),
        default_quota: one.default_quota === undefined || one.default_quota === null ? null : Number(one.default_quota),
      }
    })
    await refuseSecondDefault(work, rows)
    await insertRow(work.trx, 'subnetpools', rows)
    return rows
  })
}

/** @throws Fault 400 also when prefixes would be taken away, 409 */
export async function updateSubnetPool(context: NetworkContext, pool: SubnetPool, asked: Partial<AskedSubnetPool>): Promise<SubnetPool> {
  return await mutate(context, ['subnetpools', `subnetpool:${pool.id}`], async (work) => {
    const [now] = await rowsWhere(work.trx, 'subnetpools', 'id', [pool.id])
    if (!now) throw missing(subnetPoolNoun, pool.id)
    const columns: Partial<SubnetPool> = { ...named(asked), ...flags(asked, { is_default: 'is_default' }) }
    if (asked.prefixes) {
      const before: string[] = JSON.parse(now.prefixes)
      const after = merged(asked.prefixes)
      if (after[0]!.version !== now.ip_version) throw wrong('Cannot mix IPv4 and IPv6 prefixes in a subnet pool.', 'PrefixVersionMismatch')
      if (!before.every((one) => after.some((prefix) => within(prefix, prefixOf(one)))))
        throw wrong('Illegal update to prefixes: existing prefixes must be a subset of the new ones.', 'IllegalSubnetPoolPrefixUpdate')
      columns.prefixes = toJson(after.map(({ text }) => text))
    }
    const given = (name: 'default_prefixlen' | 'min_prefixlen' | 'max_prefixlen') => (asked[name] === undefined ? now[name] : asked[name])
    Object.assign(
      columns,
      lengths(now.ip_version, {
        default_prefixlen: given('default_prefixlen'),
        min_prefixlen: given('min_prefixlen'),
        max_prefixlen: given('max_prefixlen'),
      }),
    )
    if (asked.default_quota !== undefined) columns.default_quota = asked.default_quota === null ? null : Number(asked.default_quota)
    if (columns.is_default && !now.is_default) await refuseSecondDefault(work, [{ ...now, is_default: 1 }])
    await updateRow(work.trx, 'subnetpools', now.id, columns)
    return (await rowsWhere(work.trx, 'subnetpools', 'id', [now.id]))[0]!
  })
}

/** @throws Fault 409 while subnets have addresses of it */
export async function deleteSubnetPool(context: NetworkContext, pool: SubnetPool): Promise<void> {
  await mutate(context, [`subnetpool:${pool.id}`], async ({ trx }) => {
    if ((await rowsWhere(trx, 'subnets', 'subnetpool_id', [pool.id])).length > 0)
      throw conflict(`Unable to delete subnet pool: Subnet pool ${pool.id} has existing allocations.`, 'SubnetPoolDeleteError')
    if (!(await deleteRow(trx, 'subnetpools', pool.id))) throw missing(subnetPoolNoun, pool.id)
  })
}

interface Wish {
  subnetpool_id?: string | null
  use_default_subnetpool?: boolean
  ip_version?: 4 | 6
  cidr?: string | null
  prefixlen?: number | null
}

/** The pool from which each subnet is to be, null for those with addresses of their own. @throws Fault 404, and 400 where there is no default pool */
export async function poolsFor(context: NetworkContext, viewer: Viewer, asked: Wish[]): Promise<(SubnetPool | null)[]> {
  const { db } = context.database
  const named = await seeRows(
    db,
    subnetPoolNoun,
    viewer,
    asked.flatMap((one) => one.subnetpool_id || []),
  )
  const byDefault = asked.some((one) => one.use_default_subnetpool && !one.subnetpool_id)
  const defaults = byDefault ? await defaultPools(db) : []
  return asked.map(({ subnetpool_id, use_default_subnetpool, ip_version = 4 }) => {
    if (subnetpool_id) return named.get(subnetpool_id)!
    if (!use_default_subnetpool) return null
    const pool = defaults.find((one) => one.ip_version === ip_version)
    if (!pool) throw badRequest(`Bad subnets request: No default subnetpool found for IPv${ip_version}.`, 'BadRequest')
    return pool
  })
}

/** As they are now. @throws Fault 404 for the first that is gone */
export async function poolsById(db: Handle, ids: string[]): Promise<Map<string, SubnetPool>> {
  const pools = new Map((await rowsWhere(db, 'subnetpools', 'id', ids)).map((pool) => [pool.id, pool]))
  for (const id of ids) if (!pools.has(id)) throw missing(subnetPoolNoun, id)
  return pools
}

const defaultPools = (db: Handle): Promise<SubnetPool[]> => db.selectFrom('subnetpools').selectAll().where('is_default', '=', 1).execute()

/** A prefix of the pool that none of `subnets`, which have theirs of it, has: the one that is asked for, or the first of that size. @throws Fault 400, 409 */
export function allocate(pool: SubnetPool, subnets: Pick<SubnetRow, 'project_id' | 'cidr'>[], projectId: string, asked: Wish): Prefix {
  if (asked.ip_version !== undefined && asked.ip_version !== pool.ip_version)
    throw wrong('Bad subnets request: ip_version is not that of the pool.', 'BadRequest')
  const length = asked.cidr ? prefixOf(asked.cidr).length : Number(asked.prefixlen ?? pool.default_prefixlen)
  if (length < pool.min_prefixlen)
    throw wrong(
      `Unable to allocate subnet with prefix length ${length}, minimum allowed prefix is ${pool.min_prefixlen}.`,
      'MinPrefixSubnetAllocationError',
    )
  if (length > pool.max_prefixlen)
    throw wrong(
      `Unable to allocate subnet with prefix length ${length}, maximum allowed prefix is ${pool.max_prefixlen}.`,
      'MaxPrefixSubnetAllocationError',
    )
  checkPoolQuota(
    pool,
    length,
    subnets.filter((one) => one.project_id === projectId).map((one) => prefixOf(one.cidr).length),
  )
  const taken = subnets.map((one) => prefixOf(one.cidr))
  const whole: Prefix[] = JSON.parse(pool.prefixes).map((text: string) => prefixOf(text))
  const found = asked.cidr
    ? [prefixOf(asked.cidr)].find((prefix) => whole.some((one) => within(one, prefix)) && !taken.some((one) => overlaps(one, prefix)))
    : firstPrefix(whole, length, taken)
  if (!found)
    throw conflict(
      asked.cidr
        ? `Failed to allocate subnet: Cannot allocate requested subnet from the available set of prefixes.`
        : `Failed to allocate subnet: Insufficient prefix space to allocate subnet size /${length}.`,
      'SubnetAllocationError',
    )
  return found
}

/** Steps over what is taken, so that a large pool is not walked address by address. */
function firstPrefix(whole: Prefix[], length: number, taken: Prefix[]): Prefix | undefined {
  for (const { version, first, last, length: size } of whole) {
    if (size > length) continue
    const step = 1n << BigInt(BITS[version] - length)
    for (let at = first; at + step - 1n <= last; ) {
      const prefix = prefixOf(`${textOf(version, at)}/${length}`)
      const other = taken.find((one) => overlaps(one, prefix))
      if (!other) return prefix
      at = (other.last / step + 1n) * step
    }
  }
  return undefined
}

/** Counted in addresses, for IPv6 in prefixes of 64 bits. @throws Fault 409 */
function checkPoolQuota(pool: SubnetPool, length: number, own: number[]): void {
  if (pool.default_quota === null) return
  const size = (one: number) => 2 ** ((pool.ip_version === 4 ? 32 : 64) - one)
  if (own.reduce((sum, one) => sum + size(one), size(length)) > pool.default_quota)
    throw new Fault(409, 'SubnetPoolQuotaExceeded', 'Per-project subnet pool prefix quota exceeded.')
}

const wrong = (message: string, code: string) => badRequest(message, code)
const within = (outer: Prefix, inner: Prefix) => outer.version === inner.version && outer.first <= inner.first && inner.last <= outer.last

/** Without those that lie in others. @throws Fault 400 */
function merged(texts: string[]): Prefix[] {
  const all = texts.map((text) => prefixOf(text))
  if (all.some((one) => one.version !== all[0]!.version))
    throw wrong('Cannot mix IPv4 and IPv6 prefixes in a subnet pool.', 'PrefixVersionMismatch')
  return all.filter((one, i) => !all.some((other, j) => i !== j && within(other, one) && (!within(one, other) || j < i)))
}

/** @throws Fault 400 for lengths that contradict each other */
function lengths(
  version: 4 | 6,
  asked: Pick<AskedSubnetPool, 'default_prefixlen' | 'min_prefixlen' | 'max_prefixlen'>,
): Pick<SubnetPool, 'default_prefixlen' | 'min_prefixlen' | 'max_prefixlen'> {
  const number = (value: number | string | null | undefined, usual: number) =>
    value === undefined || value === null ? usual : Number(value)
  const min = number(asked.min_prefixlen, SHORTEST[version])
  const max = number(asked.max_prefixlen, BITS[version])
  const usual = number(asked.default_prefixlen, min)
  for (const [name, value] of Object.entries({ min_prefixlen: min, max_prefixlen: max, default_prefixlen: usual }))
    if (value > BITS[version])
      throw wrong(`Illegal prefix bounds: ${name}=${value} is not one of IPv${version}.`, 'IllegalSubnetPoolPrefixBounds')
  if (min > max) throw wrong(`Illegal prefix bounds: max_prefixlen=${max}, min_prefixlen=${min}.`, 'IllegalSubnetPoolPrefixBounds')
  if (usual < min || usual > max)
    throw wrong(
      `Illegal prefix bounds: default_prefixlen=${usual}, min_prefixlen=${min}, max_prefixlen=${max}.`,
      'IllegalSubnetPoolPrefixBounds',
    )
  return { default_prefixlen: usual, min_prefixlen: min, max_prefixlen: max }
}

async function refuseSecondDefault({ trx }: Work, pools: SubnetPool[]): Promise<void> {
  const wanted = pools.filter((pool) => pool.is_default === 1)
  if (wanted.length === 0) return
  const all = [...(await defaultPools(trx)), ...wanted]
  for (const pool of wanted) {
    const other = all.find((one) => one.ip_version === pool.ip_version && one.id !== pool.id)
    if (other) throw conflict(`A default subnetpool for this IP family has already been set: ${other.id}.`, 'ExistingSubnetPool')
  }
}
