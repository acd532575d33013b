import { host as computeHost, computeTopic, OVER } from '../compute/rpc.ts'
import type { Bus, Message } from '../kernel/bus/bus.ts'
import { must, type RestTransport } from '../kernel/http/client.ts'
import { agent as networkAgent, networkTopic } from '../network/rpc.ts'
import { storage, volumeTopic } from '../volume/rpc.ts'

/** A thing on a host: a domain, a bridge, a namespace, a chain, a process, a file, a target. */
export interface Thing {
  kind: string
  name: string
  /** The id of the server, port, network, router, volume, snapshot or image it is there for. */
  owner: string | null
}

export interface Leak extends Thing {
  where: string
  why: string
}

export interface LeakReport {
  /** Things that no row of any service asks for. */
  leaks: Leak[]
  /** How many things were looked at, by kind. */
  examined: Record<string, number>
}

export interface Auditor {
  bus: Bus
  transport: RestTransport
  token: () => Promise<string>
}

/** Asks every host what is there and every service what should be, and names what is over. */
export async function findLeaks(auditor: Auditor): Promise<LeakReport> {
  const token = await auditor.token()
  const get = (path: string, query: Record<string, string> = {}, headers: Record<string, string> = {}) =>
    must(auditor.transport.send({ method: 'GET', path, query, token, headers }))
  const [
    { servers },
    { ports },
    { networks },
    { routers },
    { floatingips },
    { volumes },
    { snapshots },
    { images },
    { services },
    { agents },
    { services: backends },
    { resource_providers: providers },
    { migrations },
  ] = await Promise.all([
    get('/compute/v2.1/servers/detail', { all_tenants: '1' }),
    get('/network/v2.0/ports'),
    get('/network/v2.0/networks'),
    get('/network/v2.0/routers'),
    get('/network/v2.0/floatingips'),
    get('/volume/v3/volumes', { all_tenants: '1' }),
    get('/volume/v3/snapshots', { all_tenants: '1' }),
    get('/image/v2/images', { limit: '1000' }),
    get('/compute/v2.1/os-services'),
    get('/network/v2.0/agents'),
    get('/volume/v3/os-services'),
    get('/placement/resource_providers'),
    get('/compute/v2.1/os-migrations', {}, { 'openstack-api-version': 'compute 2.59' }),
  ])
  const known = new Set<string>(
    [...servers, ...ports, ...networks, ...routers, ...floatingips, ...volumes, ...snapshots, ...images].map(
      (one: { id: string }) => one.id,
    ),
  )
  const serverIds = new Set<string>(servers.map((one: { id: string }) => one.id))
  const open = migrations.filter((one: { status: string }) => !OVER.includes(one.status))
  const consumers = new Set<string>([...serverIds, ...open.map((one: { uuid: string }) => one.uuid)])
  const places = new Map<string, Set<string>>(servers.map((one: any) => [one.id, new Set([one['OS-EXT-SRV-ATTR:host']])]))
  for (const { instance_uuid: id, source_compute, dest_compute } of open)
    for (const host of [source_compute, dest_compute]) places.get(id)?.add(host)

  const asked: [where: string, topic: string, message: Message<Record<string, never>, Thing[]>][] = [
    ...hosts(services, 'nova-compute').map(
      (name) => [name, computeTopic(name), computeHost.audit] as [string, string, typeof computeHost.audit],
    ),
    ...[...new Set<string>(agents.map((one: { host: string }) => one.host))].map(
      (name) => [name, networkTopic(name), networkAgent.audit] as [string, string, typeof networkAgent.audit],
    ),
    ...hosts(backends, 'cinder-volume').map((name) => [name, volumeTopic(name), storage.audit] as [string, string, typeof storage.audit]),
  ]
  const examined: Record<string, number> = {}
  const leaks: Leak[] = []
  for (const [where, topic, message] of asked)
    for (const thing of await auditor.bus.call(topic, message, {})) {
      examined[thing.kind] = (examined[thing.kind] ?? 0) + 1
      if (thing.owner === null) continue
      if (!known.has(thing.owner)) leaks.push({ ...thing, where, why: `nothing has the id ${thing.owner}` })
      else if (message === computeHost.audit && places.get(thing.owner)?.has(where) === false)
        leaks.push({ ...thing, where, why: `server ${thing.owner} is on ${[...places.get(thing.owner)!].join(', ')}` })
    }
  for (const port of ports)
    if (port.device_owner.startsWith('compute:') && !serverIds.has(port.device_id))
      leaks.push({ kind: 'port', name: port.id, owner: port.device_id, where: 'network', why: 'its server does not exist' })
  for (const provider of providers) {
    const { allocations } = await get(`/placement/resource_providers/${provider.uuid}/allocations`)
    examined.allocation = (examined.allocation ?? 0) + Object.keys(allocations).length
    for (const consumer of Object.keys(allocations))
      if (!consumers.has(consumer))
        leaks.push({
          kind: 'allocation',
          name: `${provider.name}/${consumer}`,
          owner: consumer,
          where: 'placement',
          why: 'there is no such server, and no such migration under way',
        })
  }
  return { leaks, examined }
}

const hosts = (services: { binary: string; host: string }[], binary: string) =>
  services.filter((one) => one.binary === binary).map((one) => one.host)
