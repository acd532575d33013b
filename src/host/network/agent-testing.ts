import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { simulatedDnsmasq } from '../../drivers/dnsmasq/simulated.ts'
import { simulatedHaProxy } from '../../drivers/haproxy/simulated.ts'
import { simulatedIpTables } from '../../drivers/iptables/simulated.ts'
import { simulatedNetNs } from '../../drivers/netns/simulated.ts'
import { simulatedOvs } from '../../drivers/ovs/simulated.ts'
import { simulatedRadv } from '../../drivers/radv/simulated.ts'
import { MemoryBus } from '../../kernel/bus/memory.ts'
import { silent } from '../../kernel/log/log.ts'
import { NetworkHost } from './agent.ts'
import { device, dhcpNetwork, FakeControl, floatingIp, plug, router } from './testing.ts'

export const SECOND_NETWORK = '11111111-aaaa-4bbb-8ccc-000000000002'

/** A host of twins with its agent, and control beside it. */
export async function onHost(
  body: (lab: Lab) => Promise<void>,
  options: { tunnels?: string; serves?: { dhcp: boolean; l3: boolean } } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'network-host-'))
  const netns = simulatedNetNs()
  const namespaces = () => netns.namespaces()
  const machine = {
    netns,
    ovs: simulatedOvs({ netns, datapathTypes: ['netdev'] }),
    iptables: simulatedIpTables({ namespaces }),
    dnsmasq: simulatedDnsmasq({ namespaces }),
    haproxy: simulatedHaProxy({ namespaces }),
    radv: simulatedRadv({ namespaces }),
  }
  const bus = new MemoryBus((error) => assert.fail(String(error)))
  const control = new FakeControl(bus)
  const settings = {
    host: 'one',
    serves: options.serves ?? { dhcp: true, l3: true },
    bridgeMappings: { public: 'br-ex' },
    tunnels: { address: options.tunnels ?? null, types: ['vxlan' as const, 'gre' as const] },
    external: { hostAddress: true, masquerade: true },
    dnsDomain: 'openstacklocal',
    upstreamDns: [],
    metadataSocket: join(folder, 'metadata.sock'),
    everyMs: 60_000,
  }
  const make = () =>
    new NetworkHost({
      settings,
      machine,
      bus,
      log: silent(),
      metadataSecret: 's',
      metadataApi: async () => ({ status: 200, headers: {}, body: '' }),
    })
  const lab: Lab = {
    machine,
    bus,
    control,
    host: make(),
    changes: () =>
      [machine.netns, machine.ovs, machine.iptables, machine.dnsmasq, machine.haproxy, machine.radv].map((each) => each.changes()),
    restart,
  }
  async function restart() {
    await lab.host.stop()
    control.told.length = 0
    lab.host = make()
    await lab.host.start()
    await lab.host.settle()
  }
  await lab.host.start()
  try {
    await body(lab)
  } finally {
    await lab.host.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

export interface Lab {
  machine: {
    netns: ReturnType<typeof simulatedNetNs>
    ovs: ReturnType<typeof simulatedOvs>
    iptables: ReturnType<typeof simulatedIpTables>
    dnsmasq: ReturnType<typeof simulatedDnsmasq>
    haproxy: ReturnType<typeof simulatedHaProxy>
    radv: ReturnType<typeof simulatedRadv>
  }
  bus: MemoryBus
  control: FakeControl
  host: NetworkHost
  /** Of each twin: equal before and after a run that had nothing to do. */
  changes(): number[]
  /** Another process on the same machine. */
  restart(): Promise<void>
}

/** Two guests, their network with DHCP, a router with a gateway and a floating IP for the first. */
export async function furnish({ machine, control, host }: Lab) {
  const guests = [device(1), device(2)]
  control.devices = guests
  control.networks = [dhcpNetwork(guests)]
  control.routers = [router({ floatingIps: [floatingIp(1, guests[0]!)] })]
  await host.settle()
  for (const guest of guests) await plug(machine, guest)
  await host.settle()
  return guests
}

export const linesOf = async ({ machine }: Lab, bridge: string) =>
  (await machine.ovs.flows.dumpFlows(bridge)).map((flow) => `${flow.table} ${flow.priority} ${flow.match.join(',')} > ${flow.actions}`)
