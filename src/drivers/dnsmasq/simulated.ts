import { notFound } from '../../kernel/errors/errors.ts'
import type { Namespace } from '../netns/driver.ts'
import { remembered } from '../remembered.ts'
import type { DhcpEvent, DhcpService, Dnsmasq, Lease } from './driver.ts'
import { argumentsOf, type DhcpFiles, filesOf, identifier } from './files.ts'

const FILES = ['host', 'addn_hosts', 'opts'] as const

interface Server {
  namespace: string
  files: DhcpFiles
  args: string[]
  hosts: DhcpService['hosts']
  leases: Lease[]
  pid: number
}

export interface SimulatedDnsmasq extends Dnsmasq {
  /** A guest asks for an address on the network, as its DHCP client does. @returns the lease, or undefined: the server does not know the MAC */
  request(networkId: string, mac: string): Lease | undefined
  files(networkId: string): DhcpFiles | undefined
  changes(): number
}

/** The twin of dnsmasq: the same files, held in memory; `namespaces` tells which exist. */
export function simulatedDnsmasq(
  options: { file?: string; directory?: string; namespaces?: () => Promise<string[]> } = {},
): SimulatedDnsmasq {
  const memory = remembered<{ nextPid: number; servers: Record<string, Server> }>(options.file, { nextPid: 1000, servers: {} })
  const { servers } = memory.state
  const listeners = new Set<(event: DhcpEvent) => void>()
  const directory = options.directory ?? '/run/dhcp'
  let changes = 0
  const changed = () => {
    changes++
    memory.save()
  }
  const inNamespace = async (namespace: Namespace) => {
    if (namespace && options.namespaces && !(await options.namespaces()).includes(namespace))
      throw notFound(`There is no network namespace ${namespace}.`, 'NoSuchNamespace')
  }
  return {
    changes: () => changes,
    files: (networkId) => servers[networkId]?.files,
    request(networkId, mac) {
      const server = servers[networkId]
      const host = server?.hosts.find((each) => each.mac.toLowerCase() === mac.toLowerCase())
      const address = host?.addresses.find((each) => !each.includes(':'))
      const tell = (kind: string, more: string) => {
        const line = `dnsmasq-dhcp[${server?.pid}]: ${kind}(tap) ${more}`
        for (const listener of listeners)
          listener({
            networkId,
            kind,
            mac,
            ...(address && kind !== 'DHCPDISCOVER' ? { address } : {}),
            ...(host && kind === 'DHCPACK' ? { name: host.name } : {}),
            line,
            at: Date.now(),
          })
      }
      if (server) tell('DHCPDISCOVER', mac)
      if (!server || !host || !address) return undefined
      for (const kind of ['DHCPOFFER', 'DHCPREQUEST']) tell(kind, `${address} ${mac}`)
      const expiresAt = Math.floor(Date.now() / 1000) + 86_400
      const lease = { mac, address, name: host.name, expiresAt, line: `${expiresAt} ${mac} ${address} ${host.name} 01:${mac}` }
      server.leases = [...server.leases.filter((each) => each.address !== address && each.mac !== mac), lease]
      changed()
      tell('DHCPACK', `${address} ${mac} ${host.name}`)
      return lease
    },

    async ensure(service) {
      await inNamespace(service.namespace)
      const before = servers[identifier(service.networkId)]
      const files = filesOf(service)
      const args = argumentsOf(service, `${directory}/${service.networkId}`, 'nobody')
      const sameProcess = before && before.args.join('\0') === args.join('\0')
      const held = before?.leases ?? []
      const owners =
        held.length > 0 ? service.hosts.flatMap((host) => host.addresses.map((address) => [address, host.mac.toLowerCase()] as const)) : []
      const owner = new Map(owners)
      const leases = held.filter((lease) => !owner.has(lease.address) || owner.get(lease.address) === lease.mac)
      if (sameProcess && FILES.every((file) => before.files[file] === files[file]) && leases.length === before.leases.length)
        return 'unchanged'
      const restart = !sameProcess || leases.length !== before.leases.length
      servers[service.networkId] = {
        namespace: service.namespace,
        files,
        args,
        hosts: [...service.hosts],
        leases,
        pid: restart ? memory.state.nextPid++ : before.pid,
      }
      changed()
      return before ? (restart ? 'restarted' : 'reloaded') : 'started'
    },
    async stop(networkId) {
      if (!servers[networkId]) return
      delete servers[networkId]
      changed()
    },
    list: async () =>
      Object.entries(servers)
        .map(([networkId, { pid }]) => ({ networkId, pid }))
        .sort((a, b) => (a.networkId < b.networkId ? -1 : 1)),
    leases: async (networkId) => structuredClone(servers[networkId]?.leases ?? []),
    hostFile: (networkId) => `${directory}/${networkId}/host`,
    follow(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: async () => listeners.clear(),
  }
}
