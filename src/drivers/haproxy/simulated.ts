import { notFound } from '../../kernel/errors/errors.ts'
import { remembered } from '../remembered.ts'
import { configurationOf, identifier } from './configuration.ts'
import type { HaProxy, MetadataProxy } from './driver.ts'

export interface SimulatedHaProxy extends HaProxy {
  proxy(id: string): MetadataProxy | undefined
  changes(): number
}

/** The twin of haproxy: what would run, and with which configuration. */
export function simulatedHaProxy(options: { file?: string; namespaces?: () => Promise<string[]> } = {}): SimulatedHaProxy {
  const memory = remembered<{ nextPid: number; proxies: Record<string, { proxy: MetadataProxy; pid: number }> }>(options.file, {
    nextPid: 2000,
    proxies: {},
  })
  const { proxies } = memory.state
  let changes = 0
  const changed = () => {
    changes++
    memory.save()
  }
  return {
    changes: () => changes,
    proxy: (id) => proxies[id]?.proxy,
    async ensure(proxy) {
      const configuration = configurationOf(proxy, `/run/haproxy/${proxy.id}.pid`, undefined)
      if (options.namespaces && !(await options.namespaces()).includes(proxy.namespace))
        throw notFound(`There is no network namespace ${proxy.namespace}.`, 'NoSuchNamespace')
      const before = proxies[proxy.id]
      if (
        before &&
        before.proxy.namespace === proxy.namespace &&
        configurationOf(before.proxy, `/run/haproxy/${proxy.id}.pid`, undefined) === configuration
      )
        return 'unchanged'
      proxies[proxy.id] = { proxy: structuredClone(proxy), pid: memory.state.nextPid++ }
      changed()
      return before ? 'restarted' : 'started'
    },
    async stop(id) {
      if (!proxies[identifier(id)]) return
      delete proxies[id]
      changed()
    },
    list: async () =>
      Object.entries(proxies)
        .map(([id, { pid }]) => ({ id, pid }))
        .sort((a, b) => (a.id < b.id ? -1 : 1)),
  }
}
