import { message } from '../../kernel/bus/bus.ts'
import { toJson } from '../../kernel/db/columns.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { flavorOf, imageBacked, requestOf } from '../app/instance-spec.ts'
import { takeTurn } from '../app/quota.ts'
import { type RequestSpec, resourcesOf } from '../app/scheduler/request-spec.ts'
import { SCHEDULER, scheduler } from '../app/scheduler/scheduler.ts'
import type { Weighed } from '../app/scheduler/weighers.ts'
import { groupTurn } from '../app/server-group.ts'
import { findInstance, updateInstance } from '../db/instances.ts'
import { type ServerRun, serverOf } from './on-host.ts'

/** Steps 8 to 15: from the user's wishes to a host that has taken the server into its books. */

export const CONDUCTOR = 'compute.conductor'
export const conductor = {
  build: message<{ serverId: string; filterProperties: FilterProperties }, { topic: string; process: number }>('build-instances'),
}

export interface FilterProperties {
  hints: Record<string, unknown>
  zone: string | null
  forcedHost: string | null
  forcedNode: string | null
  ignoreHosts: string[]
}

export interface ScheduleOutputs {
  'filter-properties': FilterProperties
  'request-spec': { spec: RequestSpec }
  'filter-hosts': { left: string[]; total: number; rounds: { filter: string; before: number; after: number }[] }
  'weigh-hosts': { ranked: Weighed[] }
  'select-host': { host: string; node: string; providerId: string; alternates: string[] }
}

type Scheduling = ServerRun<object, ScheduleOutputs>

/** 8 */
export async function makeFilterProperties(run: Scheduling): Promise<FilterProperties> {
  const row = await serverOf(run)
  const { hints, forcedHost, forcedNode, triedHosts } = requestOf(row)
  return { hints, zone: row.requested_zone, forcedHost, forcedNode, ignoreHosts: triedHosts }
}

/** 9 */
export const callConductor = (run: Scheduling) =>
  run.world.bus.call(
    CONDUCTOR,
    conductor.build,
    { serverId: run.input.serverId, filterProperties: run.outputs['filter-properties'] },
    { key: run.key },
  )

/** 10 */
export async function makeRequestSpec(run: Scheduling): Promise<{ spec: RequestSpec }> {
  const row = await serverOf(run)
  const properties = run.outputs['filter-properties']
  const flavor = flavorOf(row)
  const volumeBacked = !imageBacked(row)
  const group = row.group_id
    ? await run.world.database.db.selectFrom('server_groups').selectAll().where('id', '=', row.group_id).executeTakeFirst()
    : undefined
  const spec: RequestSpec = {
    serverId: row.id,
    projectId: row.project_id,
    flavor,
    image: requestOf(row).image,
    volumeBacked,
    ...properties,
    group: group ? { id: group.id, policy: group.policy, maxPerHost: JSON.parse(group.rules_json).max_server_per_host ?? 1 } : null,
    resources: resourcesOf(flavor, volumeBacked),
  }
  return { spec }
}

const specOf = (run: Scheduling) => run.outputs['request-spec'].spec

/** 11 */
export const callScheduler = (run: Scheduling) => run.world.bus.call(SCHEDULER, scheduler.receive, { spec: specOf(run) }, { key: run.key })
/** 12 */
export const hostStates = (run: Scheduling) => run.world.bus.call(SCHEDULER, scheduler.hostStates, { spec: specOf(run) })
/** 13 */
export const filterHosts = (run: Scheduling) => run.world.bus.call(SCHEDULER, scheduler.filter, { spec: specOf(run) })
/** 14 */
export const weighHosts = (run: Scheduling) =>
  run.world.bus.call(SCHEDULER, scheduler.weigh, { spec: specOf(run), hosts: run.outputs['filter-hosts'].left })

/** 15: the best host that still has room in placement's books and keeps the group's promise; those after it are the alternates. */
export async function selectHost(run: Scheduling): Promise<ScheduleOutputs['select-host']> {
  const { world } = run
  const row = await serverOf(run)
  const spec = specOf(run)
  const tried = new Set(requestOf(row).triedHosts)
  const { ranked } = run.outputs['weigh-hosts']
  const open = ranked.filter((one) => !tried.has(one.host))
  let full = 0
  for (const [i, one] of open.entries()) {
    const fits = await world.placement.claim(row.id, {
      allocations: { [one.providerId]: spec.resources },
      projectId: row.project_id,
      userId: row.user_id,
    })
    if (!fits) {
      full++
      continue
    }
    if (await settle(run, one, spec))
      return { host: one.host, node: one.node, providerId: one.providerId, alternates: open.slice(i + 1).map((other) => other.host) }
    await world.placement.release(row.id)
  }
  const reasons: [number, string][] = [
    [ranked.length - open.length, 'failed to build it'],
    [full, 'filled up meanwhile'],
    [open.length - full, `may not have it: others of the ${spec.group?.policy} group came first`],
  ]
  const why = reasons.flatMap(([n, words]) => (n > 0 ? [`${n} ${words}`] : [])).join(', ')
  throw new Fault(500, 'NoValidHost', `No valid host was found. Of ${ranked.length} hosts that passed the filters ${why}.`)
}

/** Writes the host; under the lock of the server's group, so that two servers of it cannot both come to where only one may. */
async function settle(run: Scheduling, chosen: Weighed, spec: RequestSpec): Promise<boolean> {
  const { serverId } = run.input
  const zone = (await zoneOf(run, chosen.host)) ?? run.world.settings.defaultZone
  return await run.world.database.transaction(async (trx) => {
    const { group } = spec
    if (group) {
      await takeTurn(trx, groupTurn(group.id))
      const members = await trx
        .selectFrom('instances')
        .select('host')
        .where('group_id', '=', group.id)
        .where('deleted', '=', 0)
        .where('host', 'is not', null)
        .where('id', '!=', serverId)
        .execute()
      const here = members.filter((one) => one.host === chosen.host).length
      if (group.policy === 'anti-affinity' && here >= group.maxPerHost) return false
      if (group.policy === 'affinity' && members.length > 0 && here === 0) return false
    }
    await updateInstance(trx, serverId, { host: chosen.host, node: chosen.node, zone })
    return true
  })
}

async function zoneOf(run: Scheduling, host: string): Promise<string | undefined> {
  const rows = await run.world.database.db.selectFrom('aggregates').select(['metadata_json', 'hosts_json']).execute()
  return rows
    .filter((row) => (JSON.parse(row.hosts_json) as string[]).includes(host))
    .map((row) => JSON.parse(row.metadata_json).availability_zone as string | undefined)
    .find((zone) => zone !== undefined)
}

/** Gives the room back and remembers that this host failed. */
export async function deselectHost(run: Scheduling, output: ScheduleOutputs['select-host'] | null): Promise<void> {
  const { database, placement } = run.world
  await placement.release(run.input.serverId)
  const row = await findInstance(database.db, run.input.serverId)
  if (!row) return
  const request = requestOf(row)
  const triedHosts = output ? [...new Set([...request.triedHosts, output.host])] : request.triedHosts
  await updateInstance(database.db, row.id, { host: null, node: null, zone: null, request_json: toJson({ ...request, triedHosts }) })
}
