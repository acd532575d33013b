import { type Bus, message } from '../../../kernel/bus/bus.ts'
import { Fault } from '../../../kernel/errors/errors.ts'
import type { ComputeContext } from '../context.ts'
import { filterHosts, type Round, whyNot } from './filters.ts'
import { type Gathered, gatherHosts } from './host-states.ts'
import type { RequestSpec } from './request-spec.ts'
import { type Weighed, weighHosts } from './weighers.ts'

export const SCHEDULER = 'compute.scheduler'

/** The conductor's questions to a scheduler, one for each of steps 11 to 14; any scheduler process may answer any of them. */
export const scheduler = {
  receive: message<{ spec: RequestSpec }, { topic: string; process: number }>('schedule'),
  /** `hosts`: how many there are; `looked`: of these the others speak. */
  hostStates: message<{ spec: RequestSpec }, { hosts: number; looked: number; up: number; fitting: number }>('host-states'),
  filter: message<{ spec: RequestSpec }, { left: string[]; total: number; rounds: Round[] }>('filter-hosts'),
  weigh: message<{ spec: RequestSpec; hosts: string[] }, { ranked: Weighed[] }>('weigh-hosts'),
}

/** Alternates beyond these are never asked. */
const RANKED = 20
/** Host states gathered for a request serve the questions that follow within this time (ms). */
const FRESH_MS = 5_000

/** @throws over the bus Fault 500 NoValidHost that says which filter left nothing, and what was nearest */
export function serveScheduler(context: ComputeContext, bus: Bus): () => void {
  const gathered = new Map<string, { at: number; hosts: Promise<Gathered> }>()
  const gather = (spec: RequestSpec, how: 'known' | 'fresh' | 'all'): Promise<Gathered> => {
    for (const [id, { at }] of gathered) if (Date.now() - at > FRESH_MS) gathered.delete(id)
    const known = gathered.get(spec.serverId)
    if (known && how === 'known') return known.hosts
    const hosts = gatherHosts(context, spec, { all: how === 'all' })
    gathered.set(spec.serverId, { at: Date.now(), hosts })
    hosts.catch(() => gathered.delete(spec.serverId))
    return hosts
  }
  const stops = [
    bus.serve(SCHEDULER, scheduler.receive, () => ({ topic: SCHEDULER, process: process.pid })),
    bus.serve(SCHEDULER, scheduler.hostStates, async ({ spec }) => {
      const { hosts, total } = await gather(spec, 'fresh')
      return {
        hosts: total,
        looked: hosts.length,
        up: hosts.filter((one) => one.up).length,
        fitting: hosts.filter((one) => one.fits).length,
      }
    }),
    bus.serve(SCHEDULER, scheduler.filter, async ({ spec }) => {
      let { hosts, total } = await gather(spec, 'known')
      let { left, rounds } = filterHosts(hosts, spec)
      if (left.length === 0 && hosts.length < total) {
        hosts = (await gather(spec, 'all')).hosts
        ;({ left, rounds } = filterHosts(hosts, spec))
      }
      if (left.length === 0)
        throw new Fault(500, 'NoValidHost', `No valid host was found. ${whyNot(hosts.length, rounds)}.`, { details: { rounds } })
      return { left: left.map((one) => one.host), total: hosts.length, rounds }
    }),
    bus.serve(SCHEDULER, scheduler.weigh, async ({ spec, hosts }) => {
      const wanted = new Set(hosts)
      const candidates = (await gather(spec, 'known')).hosts.filter((one) => wanted.has(one.host))
      gathered.delete(spec.serverId)
      return { ranked: weighHosts(candidates, spec.group?.policy ?? null).slice(0, RANKED) }
    }),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}
