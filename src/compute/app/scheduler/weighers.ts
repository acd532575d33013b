import type { Candidate } from './host-states.ts'
import type { SchedulerSettings } from './settings.ts'

interface Weigher {
  name: string
  /** In the configuration, and in an aggregate's metadata. */
  multiplier: keyof SchedulerSettings
  key: string
  /** What a host is worth by this measure; more is better. Over the hosts it becomes 0..1, times the multiplier. */
  worth: (host: Candidate) => number
  /** The policy of the group for whose members it is. */
  policy?: string
}

const WEIGHERS: Weigher[] = [
  { name: 'ram', multiplier: 'ramWeightMultiplier', key: 'ram_weight_multiplier', worth: (host) => host.free.memoryMiB },
  { name: 'cpu', multiplier: 'cpuWeightMultiplier', key: 'cpu_weight_multiplier', worth: (host) => host.free.vcpus },
  { name: 'disk', multiplier: 'diskWeightMultiplier', key: 'disk_weight_multiplier', worth: (host) => host.free.diskGiB },
  { name: 'io_ops', multiplier: 'ioOpsWeightMultiplier', key: 'io_ops_weight_multiplier', worth: (host) => host.ioOps },
  {
    name: 'soft_affinity',
    multiplier: 'softAffinityWeightMultiplier',
    key: 'soft_affinity_weight_multiplier',
    worth: (host) => host.groupMembers,
    policy: 'soft-affinity',
  },
  {
    name: 'soft_anti_affinity',
    multiplier: 'softAntiAffinityWeightMultiplier',
    key: 'soft_anti_affinity_weight_multiplier',
    worth: (host) => -host.groupMembers,
    policy: 'soft-anti-affinity',
  },
]

export interface Weighed {
  host: string
  node: string
  providerId: string
  weight: number
  weights: Record<string, number>
}

/** Step 14: best first, but one of the best few (`hostSubsetSize`) before all. */
export function weighHosts(hosts: Candidate[], policy: string | null, settings: SchedulerSettings): Weighed[] {
  const totals = hosts.map((host): Weighed => ({ host: host.host, node: host.node, providerId: host.providerId, weight: 0, weights: {} }))
  for (const weigher of WEIGHERS) {
    if (weigher.policy && weigher.policy !== policy) continue
    const worths = hosts.map(weigher.worth)
    const low = Math.min(...worths, ...(weigher.policy ? [] : [0]))
    const span = Math.max(...worths) - low
    worths.forEach((value, i) => {
      const weight = span === 0 ? 0 : ((value - low) / span) * multiplierOf(hosts[i]!, weigher, settings)
      totals[i]!.weights[weigher.name] = round(weight)
      totals[i]!.weight += weight
    })
  }
  for (const one of totals) one.weight = round(one.weight)
  const { hostSubsetSize, shuffleBestSameWeighedHosts } = settings
  const ranked = totals
    .map((one) => ({ one, draw: shuffleBestSameWeighedHosts ? Math.random() : 0 }))
    .sort((a, b) => b.one.weight - a.one.weight || a.draw - b.draw)
    .map(({ one }) => one)
  if (hostSubsetSize > 1) ranked.unshift(...ranked.splice(Math.floor(Math.random() * Math.min(hostSubsetSize, ranked.length)), 1))
  return ranked
}

/** The lowest that an aggregate of the host says, else the operator's. */
function multiplierOf(host: Candidate, { key, multiplier }: Weigher, settings: SchedulerSettings): number {
  const given = host.aggregates
    .flatMap(({ metadata }) => (metadata[key] === undefined ? [] : [Number(metadata[key])]))
    .filter(Number.isFinite)
  return given.length > 0 ? Math.min(...given) : (settings[multiplier] as number)
}

const round = (value: number) => Math.round(value * 1000) / 1000
