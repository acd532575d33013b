import { setTimeout as pause } from 'node:timers/promises'
import type { Api } from '../src/cli/api.ts'
import type { LabCloud } from '../src/lab/lab-cloud.ts'
import type { Counts, Load } from './load.ts'

export interface Blow {
  name: string
  strike(cloud: LabCloud): Promise<unknown> | unknown
  heal(cloud: LabCloud): Promise<unknown>
  /** ms between the two (default 6 000). */
  lastsMs?: number
}

export const BLOWS: Blow[] = [
  { name: 'control process', strike: ({ controls }) => controls[0]!.kill(), heal: ({ controls }) => controls[0]!.start() },
  { name: 'other control process', strike: ({ controls }) => controls[1]!.kill(), heal: ({ controls }) => controls[1]!.start() },
  { name: 'host agent', strike: ({ hosts }) => hosts[0]!.kill(), heal: ({ hosts }) => hosts[0]!.start() },
  { name: 'other host agent', strike: ({ hosts }) => hosts[1]!.kill(), heal: ({ hosts }) => hosts[1]!.start() },
  { name: 'RabbitMQ node', strike: ({ cluster }) => cluster!.brokers.kill(1), heal: ({ cluster }) => cluster!.brokers.start(1) },
  { name: 'Galera node', strike: ({ cluster }) => cluster!.galera.kill(0), heal: ({ cluster }) => cluster!.galera.start(0) },
  {
    name: "a host's network",
    strike: ({ lab }) => lab.hosts[1]!.cut(true),
    heal: ({ lab }) => lab.hosts[1]!.cut(false),
  },
  {
    name: 'network between control processes',
    strike: ({ lab }) => lab.part(lab.controls, true),
    heal: ({ lab }) => lab.part(lab.controls, false),
  },
  {
    name: "a control process's network",
    strike: ({ lab }) => lab.controls[0]!.cut(true),
    heal: ({ lab }) => lab.controls[0]!.cut(false),
  },
  {
    name: 'rolling restart',
    async strike({ controls, hosts, cluster }) {
      for (const one of [...controls, ...hosts]) {
        await one.stop()
        await one.start()
      }
      const { brokers, galera } = cluster!
      for (const node of brokers.urls.keys()) {
        brokers.kill(node + 1)
        await brokers.start(node + 1)
      }
      for (const node of galera.nodes.keys()) {
        await galera.kill(node)
        await galera.start(node)
      }
    },
    heal: async () => {},
    lastsMs: 0,
  },
]

/** What came of a blow. */
export interface Outcome {
  counts: Counts
  /** ms from the blow until one of the creates had worked that were asked for after it; null: not while anybody waited. */
  againMs: number | null
  /** Of the servers that were there in the end, the one that took longest. */
  slowest: Load['slowest']
  /** Servers that are still there when nobody wants any. */
  stuck: string[]
  leaks: string[]
}

/** How long anybody waits for creates to work again. */
export const AGAIN_MS = 90_000
const REST_MS = 60_000
const WORKERS = 2
const NEWCOMER_MS = 1_000

/** Everything that must not be, in words. */
export const wrongsOf = ({ counts, stuck, leaks }: Outcome): string[] => [
  ...stuck.map((one) => `stuck: ${one}`),
  ...leaks.map((one) => `leak: ${one}`),
  ...(counts.lost > 0 ? [`${counts.lost} servers were accepted and are lost`] : []),
  ...(counts.readsFailed > 0 ? [`${counts.readsFailed} of ${counts.reads} reads failed`] : []),
]

/** Strikes while users are at work, heals, and looks at what is left when they have gone. */
export async function suffer(blow: Blow, cloud: LabCloud, load: Load, operator: Api): Promise<Outcome> {
  load.start(WORKERS)
  const calm = performance.now()
  while (load.workedAgain(calm) === null) await pause(50)
  const since = performance.now()
  await blow.strike(cloud)
  const struck = blow.lastsMs === 0 ? performance.now() : since
  const healing = pause(blow.lastsMs ?? 6_000).then(() => blow.heal(cloud))
  for (let next = struck; load.workedAgain(struck) === null && performance.now() - struck < AGAIN_MS; await pause(20))
    if (performance.now() >= next) {
      load.newcomer()
      next += NEWCOMER_MS
    }
  const againMs = load.workedAgain(since)
  await healing
  await pause(1_000)
  await load.stop()
  return { counts: load.counts, againMs, slowest: load.slowest, ...(await atRest(operator)) }
}

/** What is left when nobody wants anything any more and a minute had its chance to tidy up. */
async function atRest(operator: Api): Promise<{ stuck: string[]; leaks: string[] }> {
  const until = performance.now() + REST_MS
  for (;;) {
    const { servers } = await operator.get('/compute/v2.1/servers/detail?all_tenants=1')
    const { leaks } = await operator.get('/doctor/v1/leaks')
    if ((servers.length === 0 && leaks.length === 0) || performance.now() > until)
      return {
        stuck: servers.map((one: any) => `${one.name} ${one.status} ${one['OS-EXT-STS:task_state']} on ${one['OS-EXT-SRV-ATTR:host']}`),
        leaks: leaks.map((one: any) => `${one.kind} ${one.name} on ${one.where}: ${one.why}`),
      }
    await pause(500)
  }
}
