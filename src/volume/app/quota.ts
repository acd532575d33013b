import type { Transaction } from 'kysely'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { deleteQuotaRows, ensureLock, quotaRows, setQuotaRows, takeLock, usageRows } from '../db/quotas.ts'
import type { VolumeTables } from '../db/tables.ts'
import { typesFor } from '../db/types.ts'
import type { VolumeContext } from './context.ts'

/** Cinder's defaults. -1: no limit. */
export const DEFAULT_LIMITS: Record<string, number> = {
  volumes: 10,
  per_volume_gigabytes: -1,
  snapshots: 10,
  gigabytes: 1000,
  backups: 10,
  backup_gigabytes: 1000,
  groups: 10,
}

const PER_TYPE = ['volumes', 'gigabytes', 'snapshots']
const CLASS = 'class:default'

export type Limits = Record<string, number>

/** A project's own limits over the default class's over those above; each type has three more. */
export async function limitsOf(db: Handle, projectId: string | null): Promise<Limits> {
  const limits: Limits = { ...DEFAULT_LIMITS }
  for (const type of await typesFor(db, null)) for (const resource of PER_TYPE) limits[`${resource}_${type.name}`] = -1
  const rows = await quotaRows(db, [CLASS, projectId ?? CLASS])
  for (const owner of [CLASS, projectId])
    for (const row of rows) if (row.owner === owner && row.resource in limits) limits[row.resource] = Number(row.hard_limit)
  return limits
}

export type Usage = Record<string, number>

/** Only what is not zero. */
export async function usageOf(db: Handle, projectId: string): Promise<Usage> {
  const usage: Usage = {}
  const add = (resource: string, amount: number) => {
    usage[resource] = (usage[resource] ?? 0) + amount
  }
  const { volumes, snapshots } = await usageRows(db, projectId)
  for (const [resource, rows] of [
    ['volumes', volumes],
    ['snapshots', snapshots],
  ] as const)
    for (const { type, count, size } of rows) {
      add(resource, count)
      add('gigabytes', size)
      add(`${resource}_${type}`, count)
      add(`gigabytes_${type}`, size)
    }
  return usage
}

export interface Wanted {
  volumes?: number
  snapshots?: number
  gigabytes: number
  typeName: string
  /** Of the one volume, for per_volume_gigabytes. */
  volumeGiB?: number
  /** Only the type's own limits count: it is the project's already. */
  typeOnly?: boolean
}

const shown = (limit: number) => (limit < 0 ? 'any' : String(limit))

/** Answers what is counted, in words. @throws Fault 413 naming what would be exceeded */
export type Reserve = (wanted: Wanted) => Promise<string>

/**
 * Runs `work` in one transaction that holds the project's quota row: two requests cannot both take the last place. The rows that `work` writes after it has called `reserve` are the reservation;
 * what it holds it holds before, as what is read afterwards is what is.
 */
export async function reserving<T>(
  context: VolumeContext,
  projectId: string,
  work: (trx: Transaction<VolumeTables>, reserve: Reserve) => Promise<T>,
): Promise<T> {
  await ensureLock(context.database.db, projectId)
  return await context.database.transaction(async (trx) => {
    await takeLock(trx, projectId)
    return await work(trx, (wanted) => check(trx, projectId, wanted))
  })
}

async function check(trx: Handle, projectId: string, wanted: Wanted): Promise<string> {
  const [limits, usage] = [await limitsOf(trx, projectId), await usageOf(trx, projectId)]
  const used = (resource: string) => usage[resource] ?? 0
  const over = (resource: string, amount: number) => {
    const limit = limits[resource] ?? -1
    return limit >= 0 && amount > 0 && used(resource) + amount > limit
  }
  const most = limits.per_volume_gigabytes!
  if (wanted.volumeGiB !== undefined && most >= 0 && wanted.volumeGiB > most)
    throw tooMuch(
      'VolumeSizeExceedsLimit',
      `Requested volume size ${wanted.volumeGiB}G is larger than maximum allowed limit ${most}G.`,
      'per_volume_gigabytes',
    )
  for (const suffix of [...(wanted.typeOnly ? [] : ['']), `_${wanted.typeName}`]) {
    const gigabytes = `gigabytes${suffix}`
    if (over(gigabytes, wanted.gigabytes))
      throw tooMuch(
        'VolumeSizeExceedsAvailableQuota',
        `Requested volume or snapshot exceeds allowed ${gigabytes} quota. Requested ${wanted.gigabytes}G, quota is ${limits[gigabytes]}G and ${used(gigabytes)}G has been consumed.`,
        gigabytes,
      )
    if (over(`volumes${suffix}`, wanted.volumes ?? 0))
      throw tooMuch(
        'VolumeLimitExceeded',
        `Maximum number of volumes allowed (${limits[`volumes${suffix}`]}) exceeded for quota 'volumes${suffix}'.`,
        `volumes${suffix}`,
      )
    if (over(`snapshots${suffix}`, wanted.snapshots ?? 0))
      throw tooMuch(
        'SnapshotLimitExceeded',
        `Maximum number of snapshots allowed (${limits[`snapshots${suffix}`]}) exceeded for quota 'snapshots${suffix}'.`,
        `snapshots${suffix}`,
      )
  }
  const count = (['volumes', 'snapshots'] as const)
    .filter((resource) => wanted[resource])
    .map((resource) => `${resource} ${used(resource)}+${wanted[resource]} of ${shown(limits[resource]!)}`)
  return [...count, `gigabytes ${used('gigabytes')}+${wanted.gigabytes} of ${shown(limits.gigabytes!)}`].join(', ')
}

const tooMuch = (code: string, message: string, over: string) =>
  new Fault(413, code, message, { details: { over }, headers: { 'Retry-After': '0' } })

/** @throws Fault 400 for a limit that does not exist */
export async function setLimits(context: VolumeContext, projectId: string | null, limits: Limits): Promise<void> {
  const known = await limitsOf(context.database.db, null)
  const unknown = Object.keys(limits).filter((resource) => !Object.hasOwn(known, resource))
  if (unknown.length > 0) throw badRequest(`Bad key(s) in quota set: ${unknown.join(', ')}`)
  await context.database.transaction((trx) => setQuotaRows(trx, projectId ?? CLASS, limits))
}

export const forgetLimits = (context: VolumeContext, projectId: string) => deleteQuotaRows(context.database.db, projectId)

/** Null: of the default class. */
export async function quotaOf(context: VolumeContext, projectId: string | null): Promise<{ limits: Limits; usage: Usage }> {
  const { db } = context.database
  return { limits: await limitsOf(db, projectId), usage: projectId === null ? {} : await usageOf(db, projectId) }
}
