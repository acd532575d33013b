import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { type TestCloud, testCloud } from '../src/cloud/testing.ts'
import { requestSpecOf } from '../src/compute/app/scheduler/request-spec.ts'
import { SCHEDULER, scheduler } from '../src/compute/app/scheduler/scheduler.ts'
import { findInstance } from '../src/compute/db/instances.ts'
import { Yard } from '../src/compute/sagas/testing.ts'
import { showBytes, showMs } from '../src/kernel/units/units.ts'
import { median, percentile, pool } from './client.ts'
import type { Report } from './report.ts'
import { hostsElsewhere, NETWORK_HOSTS } from './scale-hosts.ts'

/** Published: the last rate at which every boot succeeded, on 200 nodes; the mean boot among 1,000; and what this house aims at. */
const PEER = { bootsPerS: 1.5, bootMs: 13_100 }
const AIM = { decisionMs: 2, bootsPerS: 100 }
const DECISIONS = 200
const AT_ONCE = 8
/** Of a process that has run for a while: what it does often is compiled by then. */
const BOOTS_BEFORE = 100
const BOOTS = 400
const BOOTS_AT_ONCE = 32
const SOME = 100
const LOOK_MS = 20
const REST_MS = 10_000

/** Decisions among many hosts that only report, and boots on hosts that are whole twins: all in this process. */
export async function scale(report: Report): Promise<void> {
  for (const hosts of [1_000, 10_000]) await decisions(hosts, report)
  await boots(1_000, report)
}

async function decisions(hosts: number, report: Report): Promise<void> {
  const yard = await Yard.over(await testCloud({ development: false }))
  const { context, cloud } = yard
  try {
    const row = (await findInstance(context.database.db, await yard.server()))!
    await known(cloud, hosts - 1)
    const any = { hints: {}, zone: null, forcedHost: null, forcedNode: null, ignoreHosts: [] }
    const spec = await requestSpecOf(context, row, JSON.parse(row.flavor_json), any)
    const decide = async (n: number) => {
      const one = { ...spec, serverId: `${row.id}-${n}` }
      await cloud.bus.call(SCHEDULER, scheduler.hostStates, { spec: one })
      const { left } = await cloud.bus.call(SCHEDULER, scheduler.filter, { spec: one })
      return await cloud.bus.call(SCHEDULER, scheduler.weigh, { spec: one, hosts: left })
    }
    const times: number[] = []
    for (let n = 0; n < DECISIONS; n++) {
      const begun = performance.now()
      await decide(n)
      times.push(performance.now() - begun)
    }
    const beside = `aim ${AIM.decisionMs} ms: ${(median(times) / AIM.decisionMs).toFixed(1)} of it; 95 % in ${showMs(percentile(times, 0.95))}`
    report(`a decision among ${hosts} hosts`, showMs(median(times)), beside)
    const begun = performance.now()
    await pool(DECISIONS, AT_ONCE, async (n) => void (await decide(DECISIONS + n)))
    report(`decisions among ${hosts} hosts`, `${((DECISIONS * 1000) / (performance.now() - begun)).toFixed(0)}/s`, `${AT_ONCE} at once`)
    report(`memory with ${hosts} hosts known`, showBytes(process.memoryUsage().rss), 'of the whole process')
  } finally {
    await cloud.stop()
  }
}

/** As many hosts as told, as if each had reported: copies of the one that is there. */
async function known({ control }: TestCloud, count: number): Promise<void> {
  const [compute, placement] = [control.compute.context.database, control.placement.context.database]
  const host = await compute.db.selectFrom('hosts').selectAll().executeTakeFirstOrThrow()
  const provider = await placement.db.selectFrom('providers').selectAll().executeTakeFirstOrThrow()
  const inventories = await placement.db.selectFrom('inventories').selectAll().execute()
  const names = Array.from({ length: count }, (_, n) => ({ number: n + 2, name: `many${n}`, uuid: randomUUID() }))
  for (let n = 0; n < count; n += 200) {
    const some = names.slice(n, n + 200)
    await compute.transaction((trx) =>
      trx
        .insertInto('hosts')
        .values(some.map(({ number, name, uuid }) => ({ ...host, number, host: name, service_id: randomUUID(), provider_id: uuid })))
        .execute(),
    )
    await placement.transaction(async (trx) => {
      await trx
        .insertInto('providers')
        .values(some.map(({ name, uuid }) => ({ ...provider, name, uuid, root_uuid: uuid })))
        .execute()
      await trx
        .insertInto('inventories')
        .values(some.flatMap(({ uuid }) => inventories.map((one) => ({ ...one, provider_uuid: uuid }))))
        .execute()
    })
  }
}

async function boots(hosts: number, report: Report): Promise<void> {
  const begun = performance.now()
  const cloud = await testCloud({ hosts, development: false, startHosts: hostsElsewhere })
  try {
    report(`${hosts} whole simulated hosts up`, showMs(performance.now() - begun), `${NETWORK_HOSTS} of them serve networks`)
    const yard = await Yard.over(cloud)
    const rest = process.cpuUsage()
    await pause(REST_MS)
    const { user, system } = process.cpuUsage(rest)
    report(
      `at rest with ${hosts} hosts`,
      `${((user + system) / 10 / REST_MS).toFixed(1)} % of a core`,
      'heartbeats, reports, reconcilers of all',
    )
    const settled = settlements(yard)
    const done: { at: number; ms: number }[] = []
    // so many are under way until the last that counts has ended
    await pool(BOOTS_BEFORE + BOOTS + BOOTS_AT_ONCE, BOOTS_AT_ONCE, async () => {
      const since = performance.now()
      await settled(await yard.request())
      done.push({ at: performance.now(), ms: performance.now() - since })
    })
    const counted = done.slice(BOOTS_BEFORE, BOOTS_BEFORE + BOOTS)
    const ends = [done[BOOTS_BEFORE - 1]!, ...counted].map((one) => one.at)
    const perS = (BOOTS * 1000) / (ends.at(-1)! - ends[0]!)
    report(
      `boots on ${hosts} hosts, none failed`,
      `${perS.toFixed(1)}/s`,
      `after ${BOOTS_BEFORE} others; the fastest ${SOME} in a row ${fastest(ends).toFixed(1)}/s; peer ${PEER.bootsPerS}/s: ${(perS / PEER.bootsPerS).toFixed(1)} times; aim ${AIM.bootsPerS}/s`,
    )
    const mean = counted.reduce((sum, { ms }) => sum + ms, 0) / BOOTS
    report(
      `a boot in the mean, with ${BOOTS_AT_ONCE} under way`,
      showMs(mean),
      `peer ${showMs(PEER.bootMs)}: ${(PEER.bootMs / mean).toFixed(0)} times faster`,
    )
    report(`memory with ${hosts} hosts`, showBytes(process.memoryUsage().rss), 'control and all agents in one process')
  } finally {
    await cloud.stop()
  }
}

/** Boots a second of those that took the least: what else a machine does slows the others. */
const fastest = (ends: number[]): number => Math.max(...ends.slice(SOME).map((end, i) => (SOME * 1000) / (end - ends[i]!)))

/** Waits until a server is active, looking at all that are waited for with one query, so that looking costs little. @throws Error when one fails */
function settlements({ context: { database } }: Yard): (id: string) => Promise<void> {
  const waiting = new Map<string, { resolve: () => void; reject: (error: Error) => void }>()
  let looking = false
  const look = async () => {
    looking = true
    while (waiting.size > 0) {
      const rows = await database.db
        .selectFrom('instances')
        .select(['id', 'vm_state', 'fault_json'])
        .where('id', 'in', [...waiting.keys()])
        .where('vm_state', '!=', 'building')
        .execute()
      for (const { id, vm_state, fault_json } of rows) {
        const { resolve, reject } = waiting.get(id)!
        waiting.delete(id)
        if (vm_state === 'active') resolve()
        else reject(new Error(fault_json ?? vm_state))
      }
      await pause(LOOK_MS)
    }
    looking = false
  }
  return (id) =>
    new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject })
      if (!looking) look().catch(reject)
    })
}
