import type { Bus } from '../../kernel/bus/bus.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { Log } from '../../kernel/log/log.ts'
import { agent, control, events, NETWORK_CONTROL, networkTopic } from '../../network/rpc.ts'
import { audit } from './audit.ts'
import { DhcpAgent } from './dhcp.ts'
import { L2Agent } from './l2.ts'
import { L3Agent } from './l3.ts'
import type { Context, Machine, NetworkHostSettings } from './machine.ts'
import { type MetadataApi, MetadataServer } from './metadata/server.ts'

export interface NetworkHostOptions {
  settings: NetworkHostSettings
  machine: Machine
  bus: Bus
  log: Log
  /** Shared with compute, which believes an instance id that is signed with it. */
  metadataSecret: string
  metadataApi: MetadataApi
}

const REPORT_MS = 30_000
const ALIVE_MS = 1_000

/** Neutron's names of the parts, under which control lists them. */
const PARTS = [
  ['neutron-openvswitch-agent', 'Open vSwitch agent'],
  ['neutron-dhcp-agent', 'DHCP agent'],
  ['neutron-l3-agent', 'L3 agent'],
  ['neutron-metadata-agent', 'Metadata agent'],
] as const

/**
 * The network of this host: makes switch, firewall, address service, routers and metadata proxies what control says they should be. All state is in them;
 * stopping or killing this process interrupts nothing, and the next one goes on where it ended.
 */
export class NetworkHost {
  readonly l2: L2Agent
  readonly dhcp: DhcpAgent
  readonly l3: L3Agent
  readonly metadata: MetadataServer
  private readonly context: Context
  private readonly startedAt = new Date().toISOString()
  private readonly stops: (() => void)[] = []
  private readonly timers: NodeJS.Timeout[] = []

  constructor({ settings, machine, bus, log, metadataSecret, metadataApi }: NetworkHostOptions) {
    this.context = { settings, machine, bus, log }
    this.l2 = new L2Agent(this.context)
    this.dhcp = new DhcpAgent(this.context)
    this.l3 = new L3Agent(this.context)
    this.metadata = new MetadataServer({ bus, log, secret: metadataSecret, socket: settings.metadataSocket, api: metadataApi })
  }

  /** @throws Fault 409 when another process serves this host's metadata socket, 400 when a bridge's name leaves no room for its patch ports */
  async start(): Promise<void> {
    const { settings, bus } = this.context
    for (const bridge of Object.values(settings.bridgeMappings))
      if (bridge.length > 11) throw badRequest(`The bridge name ${bridge} is too long: 11 characters at most.`, 'BadName')
    const serves = settings.serves.dhcp || settings.serves.l3
    if (serves) await this.metadata.listen()
    this.stops.push(bus.serve(networkTopic(settings.host), agent.audit, () => audit(this.context)))
    const alive = () => bus.publish(events.hostAlive, { host: settings.host })
    if (serves) alive()
    // control must know the agents before it has work for them
    await this.report()
    this.timers.push(setInterval(() => void this.report(), REPORT_MS).unref())
    if (serves) this.timers.push(setInterval(alive, ALIVE_MS).unref())
    this.l2.start()
    if (settings.serves.dhcp) this.dhcp.start()
    if (settings.serves.l3) this.l3.start()
  }

  /** Everything that was built stays. */
  async stop(): Promise<void> {
    for (const timer of this.timers.splice(0)) clearInterval(timer)
    for (const stop of this.stops.splice(0)) stop()
    await Promise.all([this.l2.stop(), this.dhcp.stop(), this.l3.stop(), this.metadata.close()])
  }

  /** Resolves when each part has looked at everything, in a run that began after this call. */
  async settle(): Promise<void> {
    for (const part of [this.l2, this.dhcp, this.l3]) part.doubt()
    await this.l2.reconciler.settle()
    await Promise.all([this.dhcp.reconciler.settle(), this.l3.reconciler.settle()])
    await this.l2.reconciler.settle()
  }

  /** For a user to read: what each part did last, what it holds, what is wrong. */
  status() {
    return { l2: this.l2.status(), dhcp: this.dhcp.status(), l3: this.l3.status(), metadata: { requests: this.metadata.requests() } }
  }

  private async report(): Promise<void> {
    const { bus, settings, log } = this.context
    const { l2, dhcp, l3, metadata } = this.status()
    const configurations: Record<(typeof PARTS)[number][0], Record<string, unknown>> = {
      'neutron-openvswitch-agent': {
        bridge_mappings: settings.bridgeMappings,
        tunnel_types: settings.tunnels.types,
        tunneling_ip: settings.tunnels.address,
        devices: l2.devices.length,
        datapath_type: 'auto',
        integration_bridge: 'br-int',
        last_error: l2.lastError,
      },
      'neutron-dhcp-agent': {
        networks: dhcp.networks.length,
        ports: dhcp.networks.reduce((sum, each) => sum + each.ports, 0),
        dhcp_driver: 'dnsmasq',
        last_error: dhcp.lastError,
      },
      'neutron-l3-agent': {
        routers: l3.routers.length,
        interfaces: l3.routers.reduce((sum, each) => sum + each.interfaces, 0),
        floating_ips: l3.routers.reduce((sum, each) => sum + each.floatingIps, 0),
        ex_gw_ports: l3.routers.filter((each) => each.gateway !== null).length,
        agent_mode: 'legacy',
        last_error: l3.lastError,
      },
      'neutron-metadata-agent': { metadata_proxy_socket: settings.metadataSocket, requests: metadata.requests.length },
    }
    const { serves } = settings
    const absent = [...(serves.dhcp ? [] : ['neutron-dhcp-agent']), ...(serves.l3 ? [] : ['neutron-l3-agent'])]
    if (absent.length === 2) absent.push('neutron-metadata-agent') // guests reach it through what the other two make
    const here = PARTS.filter(([binary]) => !absent.includes(binary))
    const told = here.map(([binary, agentType]) =>
      bus
        .call(NETWORK_CONTROL, control.agentReport, {
          host: settings.host,
          binary,
          agentType,
          configurations: configurations[binary],
          startedAt: this.startedAt,
        })
        .catch((error) => log.warn({ err: error, binary }, 'control did not hear this report')),
    )
    await Promise.all(told)
  }
}
