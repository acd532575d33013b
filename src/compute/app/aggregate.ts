import { randomUUID } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import { fromJson, timestamp, toJson } from '../../kernel/db/columns.ts'
import { prepared } from '../../kernel/db/prepared.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { type Handle, nextNumber } from '../db/handle.ts'
import type { AggregateRow, ComputeTables } from '../db/tables.ts'
import { computeTopic, host } from '../rpc.ts'
import type { ComputeContext } from './context.ts'
import { imageSpecs } from './image-spec.ts'
import { takeTurn } from './quota.ts'

/** A host is in one zone, whatever aggregates it is in: changes of any of them follow one another. */
const ALL = 'aggregates'

export interface Aggregate {
  id: number
  uuid: string
  name: string
  metadata: Record<string, string>
  hosts: string[]
  created_at: string
  updated_at: string | null
}

const dress = (row: AggregateRow): Aggregate => ({
  id: Number(row.id),
  uuid: row.uuid,
  name: row.name,
  metadata: fromJson(row.metadata_json),
  hosts: fromJson(row.hosts_json),
  created_at: row.created_at,
  updated_at: row.updated_at,
})

export const zoneOf = (aggregate: Aggregate): string | undefined => aggregate.metadata.availability_zone

/** A host's zone: that of its aggregate, else the default. */
export const zoneOfHost = (aggregates: Aggregate[], host: string, defaultZone: string): string =>
  aggregates
    .filter((one) => one.hosts.includes(host))
    .map(zoneOf)
    .find((zone) => zone !== undefined) ?? defaultZone

export async function listAggregates(db: Handle): Promise<Aggregate[]> {
  return (await all(db, {})).rows.map(dress)
}

const all = prepared((db: Kysely<ComputeTables>) => db.selectFrom('aggregates').selectAll().orderBy('id'))

/** By number or, in newer requests, by uuid. @throws Fault 404 */
export async function findAggregate(db: Handle, id: string): Promise<Aggregate> {
  const row = await db
    .selectFrom('aggregates')
    .selectAll()
    .where(/^\d+$/.test(id) ? 'id' : 'uuid', '=', (/^\d+$/.test(id) ? Number(id) : id) as never)
    .executeTakeFirst()
  if (!row) throw notFound(`Aggregate ${id} could not be found.`, 'AggregateNotFound')
  return dress(row)
}

/** Returns when it is known which images are meant; the hosts fetch them on their own. @throws Fault 400 for an image that is not there */
export async function cacheImages(context: ComputeContext, request: RequestContext, id: string, imageIds: string[]): Promise<void> {
  const { hosts } = await findAggregate(context.database.db, id)
  const images = await imageSpecs(context, request, imageIds)
  for (const name of hosts)
    for (const image of images.values())
      context.bus
        .call(computeTopic(name), host.fetchBase, { image }, { timeoutMs: 3_600_000 })
        .catch((error) =>
          context.log.warn({ err: error, host: name, image: image.id }, 'a host did not fetch an image ahead of its servers'),
        )
}

export async function createAggregate(context: ComputeContext, name: string, zone: string | null): Promise<Aggregate> {
  return await context.database.transaction(async (trx) => {
    await takeTurn(trx, ALL)
    await nameIsFree(trx, name)
    const row: AggregateRow = {
      id: await nextNumber(trx, 'aggregates'),
      uuid: randomUUID(),
      name,
      metadata_json: toJson(zone ? { availability_zone: zone } : {}),
      hosts_json: '[]',
      created_at: timestamp(),
      updated_at: null,
    }
    await trx.insertInto('aggregates').values(row).execute()
    return dress(row)
  })
}

/** Applies `change` to the aggregate as it is then. @throws Fault 404 and what `change` throws */
export async function changeAggregate(
  context: ComputeContext,
  id: string,
  change: (aggregate: Aggregate, all: Aggregate[]) => Partial<Pick<Aggregate, 'name' | 'metadata' | 'hosts'>>,
): Promise<Aggregate> {
  return await context.database.transaction(async (trx) => {
    await takeTurn(trx, ALL)
    const before = await findAggregate(trx, id)
    const after = { ...before, ...change(before, await listAggregates(trx)), updated_at: timestamp() }
    if (after.name !== before.name) await nameIsFree(trx, after.name)
    await trx
      .updateTable('aggregates')
      .set({ name: after.name, metadata_json: toJson(after.metadata), hosts_json: toJson(after.hosts), updated_at: after.updated_at })
      .where('id', '=', before.id)
      .execute()
    return after
  })
}

/** @throws Fault 404 for a host that is unknown, 409 when it is in already or would be in two zones */
export async function addHost(context: ComputeContext, id: string, host: string): Promise<Aggregate> {
  const known = await context.database.db.selectFrom('hosts').select('host').where('host', '=', host).executeTakeFirst()
  if (!known) throw notFound(`Compute host ${host} could not be found.`, 'ComputeHostNotFound')
  return await changeAggregate(context, id, (aggregate, all) => {
    if (aggregate.hosts.includes(host))
      throw conflict(`Cannot add host ${host} in aggregate ${aggregate.id}: host exists`, 'AggregateHostExists')
    const zone = zoneOf(aggregate)
    const other = all.find(
      (one) => one.id !== aggregate.id && one.hosts.includes(host) && zoneOf(one) !== undefined && zoneOf(one) !== zone,
    )
    if (zone !== undefined && other)
      throw conflict(
        `Cannot add host to aggregate ${aggregate.id}. Reason: One or more hosts already in availability zone(s) ${zoneOf(other)}.`,
      )
    return { hosts: [...aggregate.hosts, host] }
  })
}

export async function removeHost(context: ComputeContext, id: string, host: string): Promise<Aggregate> {
  return await changeAggregate(context, id, (aggregate) => {
    if (!aggregate.hosts.includes(host)) throw notFound(`Aggregate ${aggregate.id} has no host ${host}.`, 'AggregateHostNotFound')
    return { hosts: aggregate.hosts.filter((one) => one !== host) }
  })
}

/** `null` takes a key away. */
export async function setMetadata(context: ComputeContext, id: string, changes: Record<string, string | null>): Promise<Aggregate> {
  return await changeAggregate(context, id, (aggregate) => ({
    metadata: Object.fromEntries(Object.entries({ ...aggregate.metadata, ...changes }).filter(([, value]) => value !== null)) as Record<
      string,
      string
    >,
  }))
}

export async function deleteAggregate(context: ComputeContext, id: string): Promise<void> {
  await context.database.transaction(async (trx) => {
    await takeTurn(trx, ALL)
    const aggregate = await findAggregate(trx, id)
    if (aggregate.hosts.length > 0)
      throw badRequest(`Cannot remove host from aggregate ${aggregate.id}. Reason: Host aggregate is not empty.`, 'InvalidAggregateAction')
    await trx.deleteFrom('aggregates').where('id', '=', aggregate.id).execute()
  })
}

async function nameIsFree(trx: Transaction<ComputeTables>, name: string): Promise<void> {
  const taken = await trx.selectFrom('aggregates').select('id').where('name', '=', name).executeTakeFirst()
  if (taken) throw conflict(`Aggregate ${name} already exists.`, 'AggregateNameExists')
}
