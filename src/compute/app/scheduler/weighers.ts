import type { Candidate } from './host-states.ts'

/** What a host is worth by one measure; more is better. Normalised over the hosts to 0..1, times the multiplier. */
const WEIGHERS: [name: string, multiplier: number, worth: (host: Candidate) => number][] = [
  ['ram', 1, (host) => host.free.memoryMiB],
  ['cpu', 1, (host) => host.free.vcpus],
  ['disk', 1, (host) => host.free.diskGiB],
  ['io_ops', -1, (host) => host.ioOps],
  ['soft_affinity', 1, (host) => host.groupMembers],
]

export interface Weighed {
  host: string
  node: string
  providerId: string
  weight: number
  weights: Record<string, number>
}

/** Step 14: best first; among equals the order is drawn, so that they share. */
export function weighHosts(hosts: Candidate[], policy: string | null): Weighed[] {
  const totals = hosts.map((host): Weighed => ({ host: host.host, node: host.node, providerId: host.providerId, weight: 0, weights: {} }))
  for (const [name, multiplier, worth] of WEIGHERS) {
    if (name === 'soft_affinity' && !policy?.startsWith('soft-')) continue
    const sign = name === 'soft_affinity' && policy === 'soft-anti-affinity' ? -1 : 1
    const worths = hosts.map(worth)
    const low = Math.min(...worths)
    const span = Math.max(...worths) - low
    worths.forEach((value, i) => {
      const weight = span === 0 ? 0 : ((value - low) / span) * multiplier * sign
      totals[i]!.weights[name] = round(weight)
      totals[i]!.weight += weight
    })
  }
  for (const one of totals) one.weight = round(one.weight)
  return totals
    .map((one) => ({ one, draw: Math.random() }))
    .sort((a, b) => b.one.weight - a.one.weight || a.draw - b.draw)
    .map(({ one }) => one)
}

const round = (value: number) => Math.round(value * 1000) / 1000
