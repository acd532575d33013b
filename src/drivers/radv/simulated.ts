import { notFound } from '../../kernel/errors/errors.ts'
import { remembered } from '../remembered.ts'
import { argumentsOf, identifier } from './arguments.ts'
import type { Advertisements, Radv } from './driver.ts'

export interface SimulatedRadv extends Radv {
  advertisements(routerId: string): Advertisements | undefined
  changes(): number
}

/** The twin of the advertiser: what would be said. */
export function simulatedRadv(options: { file?: string; namespaces?: () => Promise<string[]> } = {}): SimulatedRadv {
  const memory = remembered<{ nextPid: number; routers: Record<string, { advertisements: Advertisements; pid: number }> }>(options.file, {
    nextPid: 3000,
    routers: {},
  })
  const { routers } = memory.state
  let changes = 0
  const changed = () => {
    changes++
    memory.save()
  }
  const words = (advertisements: Advertisements) =>
    [advertisements.namespace, ...argumentsOf(advertisements, `/run/ra/${identifier(advertisements.routerId)}`, 'nobody')].join('\0')
  return {
    changes: () => changes,
    advertisements: (routerId) => routers[routerId]?.advertisements,
    async ensure(advertisements) {
      const { routerId, namespace } = advertisements
      const wanted = words(advertisements)
      if (options.namespaces && !(await options.namespaces()).includes(namespace))
        throw notFound(`There is no network namespace ${namespace}.`, 'NoSuchNamespace')
      const before = routers[routerId]
      if (before && words(before.advertisements) === wanted) return 'unchanged'
      routers[routerId] = { advertisements: structuredClone(advertisements), pid: memory.state.nextPid++ }
      changed()
      return before ? 'restarted' : 'started'
    },
    async stop(routerId) {
      if (!routers[identifier(routerId)]) return
      delete routers[routerId]
      changed()
    },
    list: async () =>
      Object.entries(routers)
        .map(([routerId, { pid }]) => ({ routerId, pid }))
        .sort((a, b) => (a.routerId < b.routerId ? -1 : 1)),
  }
}
