import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { fromJson, timestamp, toJson } from '../../kernel/db/columns.ts'
import { prepared } from '../../kernel/db/prepared.ts'
import { conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import { type Handle, nextNumber } from '../db/handle.ts'
import type { ComputeTables, HostRow } from '../db/tables.ts'
import { type FlavorSpec, type HostState, OVER } from '../rpc.ts'
import { type Aggregate, listAggregates, zoneOfHost } from './aggregate.ts'
import type { ComputeContext } from './context.ts'
import { isUp, stateOf } from './scheduler/host-states.ts'

export interface Host extends HostRow {
  state: HostState
  up: boolean
  zone: string
  aggregates: Aggregate[]
}

/** What this process put into the books of each host, and since when its agent ran then. */
const booked = new WeakMap<ComputeContext, Map<string, { inventories: string; startedAt: string }>>()

/** A host's report: its row, and in placement its provider and what it has. True when its agent was started since the last one: its guests may have gone off unheard. */
export async function hostReported(context: ComputeContext, report: HostState): Promise<boolean> {
  const inventories = inventoriesOf(context, report)
  const known = booked.get(context) ?? new Map<string, { inventories: string; startedAt: string }>()
  booked.set(context, known)
  const before = known.get(report.host)
  const same = before?.inventories === toJson(inventories)
  if (same && before?.startedAt === report.startedAt && (await seenAgain(context, report))) return false
  const row = await keep(context, report)
  if (!same || row.made) {
    await context.placement.ensureProvider(row.provider_id, report.hypervisorHostname)
    await context.placement.setInventories(row.provider_id, inventories)
  }
  known.set(report.host, { inventories: toJson(inventories), startedAt: report.startedAt })
  return row.restarted
}

const seenNow = (report: HostState) => ({ state_json: toJson(report), seen_at: timestamp() })

/** False when the host is not known any more. A report that is lost in a power cut comes again. */
async function seenAgain({ database }: ComputeContext, report: HostState): Promise<boolean> {
  const { numAffectedRows = 0n } = await database.soon((db) => see(db, { host: report.host, ...seenNow(report) }))
  return numAffectedRows > 0n
}

const see = prepared((db: Kysely<ComputeTables>, { host, state_json, seen_at }: Pick<HostRow, 'host' | 'state_json' | 'seen_at'>) =>
  db.updateTable('hosts').set({ state_json, seen_at }).where('host', '=', host),
)

async function keep(context: ComputeContext, report: HostState): Promise<{ provider_id: string; restarted: boolean; made: boolean }> {
  const seen = seenNow(report)
  return await context.database.transaction(async (trx) => {
    const known = await trx.selectFrom('hosts').select(['provider_id', 'state_json']).where('host', '=', report.host).executeTakeFirst()
    if (known) {
      await trx.updateTable('hosts').set(seen).where('host', '=', report.host).execute()
      return {
        provider_id: known.provider_id,
        restarted: fromJson<HostState>(known.state_json).startedAt !== report.startedAt,
        made: false,
      }
    }
    const row: HostRow = {
      host: report.host,
      number: await nextNumber(trx, 'hosts'),
      service_id: randomUUID(),
      provider_id: randomUUID(),
      disabled: 0,
      disabled_reason: null,
      forced_down: 0,
      created_at: timestamp(),
      ...seen,
    }
    await trx.insertInto('hosts').values(row).execute()
    return { provider_id: row.provider_id, restarted: false, made: true }
  })
}

function inventoriesOf(context: ComputeContext, report: HostState) {
  const { ratios } = context.settings
  const inventory = (total: number, ratio: number, reserved = 0) => ({
    total,
    reserved,
    min_unit: 1,
    max_unit: total,
    step_size: 1,
    allocation_ratio: ratio,
  })
  return {
    VCPU: inventory(report.vcpus, ratios.cpu),
    MEMORY_MB: inventory(report.memoryMiB, ratios.ram),
    DISK_GB: inventory(report.diskGiB, ratios.disk),
  }
}

export async function listHosts(context: ComputeContext): Promise<Host[]> {
  const { db } = context.database
  const [rows, aggregates] = await Promise.all([db.selectFrom('hosts').selectAll().orderBy('number').execute(), listAggregates(db)])
  return rows.map((row) => ({
    ...row,
    state: stateOf(row),
    up: isUp(context, row),
    zone: zoneOfHost(aggregates, row.host, context.settings.defaultZone),
    aggregates: aggregates.filter((one) => one.hosts.includes(row.host)),
  }))
}

/** Settings of an operator: enabled, forced down. @throws Fault 404 */
export async function updateHost(
  context: ComputeContext,
  host: string,
  columns: Partial<Pick<HostRow, 'disabled' | 'disabled_reason' | 'forced_down'>>,
): Promise<void> {
  const done = await context.database.db.updateTable('hosts').set(columns).where('host', '=', host).executeTakeFirst()
  if (done.numUpdatedRows === 0n) throw notFound(`Service with host ${host} binary nova-compute could not be found.`, 'HostBinaryNotFound')
}

/** Forgets a host that no server is on, on its way to, or may come back to. @throws Fault 409 */
export async function removeHost(context: ComputeContext, { host, provider_id }: Pick<HostRow, 'host' | 'provider_id'>): Promise<void> {
  const { database, placement } = context
  await mustBeLeft(database.db, host)
  // a server has a place in the books before it has the host, and without a provider none gets one
  await placement.removeProvider(provider_id).catch((error) => {
    if (!(error instanceof Fault && error.status === 409)) throw error
    throw conflict(
      `Unable to delete compute service of ${host}: something has a place there (openstack resource provider show --allocations ${provider_id}). If it is a server on its way, ask again.`,
    )
  })
  booked.get(context)?.delete(host)
  await database.transaction(async (trx) => {
    await mustBeLeft(trx, host)
    await trx.deleteFrom('hosts').where('host', '=', host).execute()
  })
}

async function mustBeLeft(db: Handle, host: string): Promise<void> {
  const server = await db.selectFrom('instances').select('id').where('host', '=', host).where('deleted', '=', 0).executeTakeFirst()
  if (server) throw conflict('Unable to delete compute service that is hosting instances. Migrate or delete the instances first.')
  const migration = await db
    .selectFrom('migrations')
    .select(['number', 'server_id'])
    .where((eb) => eb.or([eb('source_host', '=', host), eb('dest_host', '=', host)]))
    .where('status', 'not in', OVER)
    .executeTakeFirst()
  if (migration)
    throw conflict(
      `Unable to delete compute service of ${host}: migration ${migration.number} of server ${migration.server_id} is in progress. Let it end, confirm or revert it first.`,
    )
}

/** Names and ids of the servers that live on these hosts, by host. */
export async function serversOn(context: ComputeContext, hosts: string[]): Promise<Map<string, { id: string; name: string }[]>> {
  if (hosts.length === 0) return new Map()
  const rows = await context.database.db
    .selectFrom('instances')
    .select(['id', 'name', 'host'])
    .where('deleted', '=', 0)
    .where('host', 'in', hosts)
    .execute()
  return Map.groupBy(rows, (row) => row.host!)
}

/** What each project's servers on a host may use of it. */
export async function sharesOf(context: ComputeContext, host: string) {
  const rows = await context.database.db
    .selectFrom('instances')
    .select(['project_id', 'flavor_json'])
    .where('host', '=', host)
    .where('deleted', '=', 0)
    .execute()
  return [...Map.groupBy(rows, (row) => row.project_id)].map(([project, own]) => {
    const share = { project, vcpus: 0, memoryMiB: 0, diskGiB: 0 }
    for (const { flavor_json } of own) {
      const flavor = fromJson<FlavorSpec>(flavor_json)
      share.vcpus += flavor.vcpus
      share.memoryMiB += flavor.ramMiB
      share.diskGiB += flavor.rootGiB + flavor.ephemeralGiB
    }
    return share
  })
}
