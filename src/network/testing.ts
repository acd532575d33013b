import { MemoryBus } from '../kernel/bus/memory.ts'
import { inMemory } from '../kernel/http/client.ts'
import { type TestAnswer, type TestServer, testServer } from '../kernel/http/testing.ts'
import { silent } from '../kernel/log/log.ts'
import { NetworkClient } from './client.ts'
import type { Notice } from './reconcilers/notices.ts'
import { control, NETWORK_CONTROL } from './rpc.ts'
import { createNetworkService, type NetworkOptions, type NetworkService } from './service.ts'

export interface NetworkHouse {
  service: NetworkService
  bus: MemoryBus
  client: NetworkClient
  /** What compute was told. */
  notices: Notice[]
  request(method: string, path: string, options?: Parameters<TestServer['request']>[2]): Promise<TestAnswer>
  /** POSTs a document and answers the new one; throws what the service says against it. */
  make(path: string, name: string, document: object, as?: string): Promise<any>
  /** Agents of host `one` report. */
  agents(host?: string): Promise<void>
  /** A network with a subnet. */
  network(cidr?: string, as?: string, more?: object): Promise<{ network: any; subnet: any }>
  /** The provider network with its subnet, outside of everything. */
  outside(): Promise<{ network: any; subnet: any }>
  close(): Promise<void>
}

const PARTS = [
  ['neutron-openvswitch-agent', 'Open vSwitch agent'],
  ['neutron-dhcp-agent', 'DHCP agent'],
  ['neutron-l3-agent', 'L3 agent'],
] as const

/** The network service on its own; addresses of requests begin below `/network/v2.0`. */
export async function networkHouse(options: Partial<NetworkOptions> = {}): Promise<NetworkHouse> {
  const bus = new MemoryBus((error) => {
    throw error
  })
  const notices: Notice[] = []
  const service = await createNetworkService({
    databaseUrl: 'sqlite::memory:',
    log: silent(),
    bus,
    exclusive: true,
    tenantNetworkType: 'vxlan',
    physicalNetworks: { public: 'br-ex' },
    external: { cidr: '172.24.4.0/24', gateway: '172.24.4.1' },
    notifyCompute: async (events) => void notices.push(...events),
    ...options,
  })
  await service.start()
  const { server, request, close } = await testServer({ apis: service.api })
  const house: NetworkHouse = {
    service,
    bus,
    notices,
    client: new NetworkClient(inMemory(server.edge), { token: async () => 'service' }),
    request: (method, path, more) => request(method, `/network/v2.0${path}`, more),
    async make(path, name, document, as = 'admin') {
      const answer = await house.request('POST', path, { as, body: { [name]: document } })
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
      return answer.body[name]
    },
    async agents(host = 'one') {
      for (const [binary, agentType] of PARTS)
        await bus.call(NETWORK_CONTROL, control.agentReport, {
          host,
          binary,
          agentType,
          configurations: {},
          startedAt: new Date().toISOString(),
        })
    },
    async network(cidr = '10.1.0.0/24', as = 'admin', more = {}) {
      const network = await house.make('/networks', 'network', { name: 'private', ...more }, as)
      const subnet = await house.make('/subnets', 'subnet', { network_id: network.id, cidr, ip_version: cidr.includes(':') ? 6 : 4 }, as)
      return { network, subnet }
    },
    async outside() {
      const network = await house.make('/networks', 'network', {
        name: 'public',
        'router:external': true,
        'provider:network_type': 'flat',
        'provider:physical_network': 'public',
      })
      const subnet = await house.make('/subnets', 'subnet', {
        network_id: network.id,
        cidr: '172.24.4.0/24',
        gateway_ip: '172.24.4.1',
        enable_dhcp: false,
        allocation_pools: [{ start: '172.24.4.10', end: '172.24.4.100' }],
      })
      return { network, subnet }
    },
    async close() {
      await close()
      await service.stop()
      await bus.close()
    },
  }
  return house
}
