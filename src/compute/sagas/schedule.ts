import type { Transaction } from 'kysely'
import { message } from '../../kernel/bus/bus.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { flavorOf, requestOf, type ServerRequest } from '../app/instance-spec.ts'
import { takeTurn } from '../app/quota.ts'
import { type HostWishes, type RequestSpec, requestSpecOf } from '../app/scheduler/request-spec.ts'
import { SCHEDULER, scheduler } from '../app/scheduler/scheduler.ts'
import type { Weighed } from '../app/scheduler/weighers.ts'
import { groupTurn } from '../app/server-group.ts'
import { zoneNameOf } from '../app/zone.ts'
import { findInstance, updateInstance } from '../db/instances.ts'
import type { ComputeTables } from '../db/tables.ts'
import { type FlavorSpec, OVER } from '../rpc.ts'
import { changeRequest, type ServerRun, serverOf } from './on-host.ts'

/** Steps 8 to 15: from the user's wishes to a host that has taken the server into its books. */

export const CONDUCTOR = 'compute.conductor'
export const conductor = {
  build: message<{ serverId: string; filterProperties: FilterProperties }, { topic: string; process: number }>('build-instances'),
}

export type FilterProperties = HostWishes

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
export const makeRequestSpec = (run: Scheduling) => specWith(run)

/** `flavor`: not the one that the server has. */
export async function specWith(run: Scheduling, flavor?: FlavorSpec): Promise<{ spec: RequestSpec }> {
  const row = await serverOf(run)
  return { spec: await requestSpecOf(run.world, row, flavor ?? flavorOf(row), run.outputs['filter-properties']) }
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

/** Writes where the server is, or is to be, once it may have the host. */
type Take = (trx: Transaction<ComputeTables>, place: { host: string; node: string; zone: string }) => Promise<void>

/** 15: the best host that still has room in placement's books and keeps the group's promise; those after it are the alternates. */
export const selectHost = (run: Scheduling): Promise<ScheduleOutputs['select-host']> =>
  select(run, (trx, place) => updateInstance(trx, run.input.serverId, place))

export async function select(run: Scheduling, take: Take): Promise<ScheduleOutputs['select-host']> {
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
    if (await settle(run, one, spec, take))
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

/** Under the lock of the server's group, so that two servers of it cannot both come to where only one may. */
async function settle(run: Scheduling, chosen: Weighed, spec: RequestSpec, take: Take): Promise<boolean> {
  const zone = await zoneNameOf(run.world, chosen.host)
  return await run.world.database.transaction(async (trx) => {
    const { group } = spec
    if (group) {
      await takeTurn(trx, groupTurn(group.id))
      const others = await placesOfGroup(trx, group.id, run.input.serverId)
      const here = others.filter((host) => host === chosen.host).length
      if (group.policy === 'anti-affinity' && here >= group.maxPerHost) return false
      if (group.policy === 'affinity' && others.length > 0 && here === 0) return false
    }
    await take(trx, { host: chosen.host, node: chosen.node, zone })
    return true
  })
}

/** The hosts of the group's other servers, and those that they are on their way to. */
async function placesOfGroup(trx: Transaction<ComputeTables>, groupId: string, exceptServer: string): Promise<(string | null)[]> {
  const members = await trx
    .selectFrom('instances')
    .select(['id', 'host'])
    .where('group_id', '=', groupId)
    .where('deleted', '=', 0)
    .where('host', 'is not', null)
    .where('id', '!=', exceptServer)
    .execute()
  const ids = members.map((one) => one.id)
  const underWay =
    ids.length === 0
      ? []
      : await trx
          .selectFrom('migrations as m')
          .innerJoin('instances as i', 'i.id', 'm.server_id')
          .select('m.dest_host as host')
          .where('m.server_id', 'in', ids)
          .where('m.status', 'not in', OVER)
          .where('m.dest_host', 'is not', null)
          .whereRef('m.dest_host', '!=', 'i.host')
          .execute()
  return [...members, ...underWay].map((one) => one.host)
}

/** Gives the room back and remembers that this host failed. */
export async function deselectHost(run: Scheduling, output: ScheduleOutputs['select-host'] | null): Promise<void> {
  const { database, placement } = run.world
  await placement.release(run.input.serverId)
  const row = await findInstance(database.db, run.input.serverId)
  if (!row) return
  const tried = ({ triedHosts }: ServerRequest) => ({ triedHosts: output ? [...new Set([...triedHosts, output.host])] : triedHosts })
  await changeRequest(run, tried, { host: null, node: null, zone: null })
}
