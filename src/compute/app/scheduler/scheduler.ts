import { type Bus, message } from '../../../kernel/bus/bus.ts'
import { Fault } from '../../../kernel/errors/errors.ts'
import type { ComputeContext } from '../context.ts'
import { filterHosts, filtersOf, type Round, whyNot } from './filters.ts'
import { DRAWN, DRAWN_AGAIN, type Gathered, gatherHosts, theseHosts } from './host-states.ts'
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
  const settings = context.settings.scheduler
  const filters = filtersOf(settings)
  const gathered = new Map<string, { at: number; hosts: Promise<Gathered> }>()
  const gather = (spec: RequestSpec, draw: number | 'all'): Promise<Gathered> => {
    const hosts = gatherHosts(context, spec, draw)
    gathered.set(spec.serverId, { at: Date.now(), hosts })
    hosts.catch(() => gathered.delete(spec.serverId))
    return hosts
  }
  const known = (spec: RequestSpec): Promise<Gathered> | undefined => {
    for (const [id, { at }] of gathered) if (Date.now() - at > FRESH_MS) gathered.delete(id)
    return gathered.get(spec.serverId)?.hosts
  }
  const stops = [
    bus.serve(SCHEDULER, scheduler.receive, () => ({ topic: SCHEDULER, process: process.pid })),
    bus.serve(SCHEDULER, scheduler.hostStates, async ({ spec }) => {
      const { hosts, total } = await gather(spec, DRAWN)
      return {
        hosts: total,
        looked: hosts.length,
        up: hosts.filter((one) => one.up).length,
        fitting: hosts.filter((one) => one.fits).length,
      }
    }),
    bus.serve(SCHEDULER, scheduler.filter, async ({ spec }) => {
      let { hosts, total, drawn } = await (known(spec) ?? gather(spec, DRAWN))
      let { left, rounds } = filterHosts(hosts, spec, filters)
      for (const draw of [...DRAWN_AGAIN, 'all'] as const) {
        if (left.length > 0 || !drawn) break
        if (draw !== 'all' && draw >= total) continue
        ;({ hosts, drawn } = await gather(spec, draw))
        ;({ left, rounds } = filterHosts(hosts, spec, filters))
      }
      if (left.length === 0)
        throw new Fault(500, 'NoValidHost', `No valid host was found. ${whyNot(hosts.length, rounds)}.`, { details: { rounds } })
      return { left: left.map((one) => one.host), total: hosts.length, rounds }
    }),
    bus.serve(SCHEDULER, scheduler.weigh, async ({ spec, hosts }) => {
      const wanted = new Set(hosts)
      // another process may have drawn and filtered them
      const candidates = (await known(spec))?.hosts.filter((one) => wanted.has(one.host)) ?? (await theseHosts(context, spec, hosts))
      gathered.delete(spec.serverId)
      return { ranked: weighHosts(candidates, spec.group?.policy ?? null, settings).slice(0, RANKED) }
    }),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}
