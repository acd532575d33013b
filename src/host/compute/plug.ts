import { setTimeout as pause } from 'node:timers/promises'
import type { Plug, Vif } from '../../compute/rpc.ts'
import type { Change, NetNs } from '../../drivers/netns/driver.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { DEAD_VLAN } from '../network/flows.ts'
import { qbrOf, qvbOf, qvoOf, tapOf } from '../network/names.ts'
import { vifLimitsOf } from './flavor-limits.ts'
import { unless } from './power-states.ts'
import type { World } from './world.ts'

/** The bridge that the firewall works on; a guest whose port is plugged into the switch itself has none, and steps 33 to 35 have nothing to do. */
const isHybrid = (vif: Vif) => vif.details.ovsHybridPlug
const switchOf = (vif: Vif) => vif.details.bridgeName || 'br-int'

/** Step 33. */
export async function createBridge({ machine: { netns } }: World, { vif }: Plug): Promise<{ bridge: string }> {
  assertBound(vif)
  if (!isHybrid(vif)) return { bridge: switchOf(vif) }
  const name = qbrOf(vif.portId)
  await applyNew(netns, { do: 'add-bridge', name }, [
    { do: 'set-bridge', name, forwardDelay: 0, ageing: 0, stp: false, multicastSnooping: false },
    { do: 'set-link', name, mtu: vif.network.mtu },
  ])
  // before it is up: the host takes no part in what passes, and a guest must not reach it by a link-local address. A kernel without IPv6 has no such switch.
  await netns.setSysctl(undefined, { [`net.ipv6.conf.${name}.disable_ipv6`]: 1 }).catch((error) => {
    if (error.code !== 'ENOENT') throw error
  })
  return { bridge: name }
}

/** Step 34. */
export async function createVeth({ machine: { netns } }: World, { vif }: Plug): Promise<{ qvb: string; qvo: string; mtu: number }> {
  const { mtu } = vif.network
  const [qvb, qvo] = [qvbOf(vif.portId), qvoOf(vif.portId)]
  if (!isHybrid(vif)) return { qvb: tapOf(vif.portId), qvo: tapOf(vif.portId), mtu }
  await applyNew(
    netns,
    { do: 'add-veth', name: qvb, peer: qvo },
    [qvb, qvo].map((name) => ({ do: 'set-link', name, mtu, promisc: true, up: true })),
  )
  return { qvb, qvo, mtu }
}

/** Step 35. From here on the bridge passes frames. */
export async function joinBridge({ machine: { netns } }: World, { vif }: Plug): Promise<{ bridge: string; port: string }> {
  if (!isHybrid(vif)) return { bridge: switchOf(vif), port: tapOf(vif.portId) }
  const [bridge, port] = [qbrOf(vif.portId), qvbOf(vif.portId)]
  await netns.apply(undefined, [
    { do: 'set-link', name: port, master: bridge },
    { do: 'set-link', name: bridge, up: true },
  ])
  return { bridge, port }
}

/** Step 36. The network's agent sees the port by its ids and wires it. A port without hybrid plug comes onto the switch when the guest starts. */
export async function joinIntegration({ machine: { ovs } }: World, { uuid, vif, flavor }: Plug): Promise<{ bridge: string; port: string }> {
  const bridge = switchOf(vif)
  if (!isHybrid(vif)) return { bridge, port: tapOf(vif.portId) }
  const port = qvoOf(vif.portId)
  await ovs.ensurePort(bridge, port, {
    externalIds: {
      'iface-id': vif.portId,
      'iface-status': 'active',
      'attached-mac': vif.macAddress,
      'vm-uuid': uuid,
      ...vifLimitsOf(flavor),
    },
  })
  return { bridge, port }
}

/** All that 33 to 36 made, however far they came. */
export async function unplug({ machine: { ovs, netns } }: World, { vifs }: { vifs: Pick<Vif, 'portId'>[] }): Promise<void> {
  for (const { portId } of vifs) {
    await ovs.removePort(qvoOf(portId))
    for (const name of [qvbOf(portId), qbrOf(portId)]) await unless(['NoSuchLink'], netns.apply(undefined, [{ do: 'delete-link', name }]))
  }
}

/** One batch where the device is new; where it is there already it only gets its settings. */
async function applyNew(netns: NetNs, add: Change, settings: Change[]): Promise<void> {
  try {
    await netns.apply(undefined, [add, ...settings])
  } catch (error) {
    if ((error as Fault).code !== 'LinkExists') throw error
    await netns.apply(undefined, settings)
  }
}

const NOT_BOUND = ['unbound', 'binding_failed']

function assertBound({ vifType, portId }: Vif): void {
  if (NOT_BOUND.includes(vifType))
    throw new Fault(
      500,
      'VirtualInterfaceUnplugged',
      `Port ${portId} cannot be plugged here: the network service bound it as "${vifType}". Is this host's Open vSwitch agent running?`,
    )
}

/** The network's agent tags what it has wired. */
export async function waitWired(
  { machine: { ovs } }: World,
  { vifs, timeoutMs }: { vifs: Vif[]; timeoutMs: number },
): Promise<{ ports: number }> {
  const wanted = vifs.filter((vif) => vif.details.ovsHybridPlug)
  const end = Date.now() + timeoutMs
  for (;;) {
    const bridges = [...new Set(wanted.map((vif) => vif.details.bridgeName || 'br-int'))]
    const ports = (await Promise.all(bridges.map((bridge) => ovs.ports(bridge)))).flat()
    const wired = new Set(ports.filter(({ tag }) => tag !== undefined && tag !== DEAD_VLAN).map(({ name }) => name))
    const missing = wanted.filter((vif) => !wired.has(qvoOf(vif.portId)))
    if (missing.length === 0) return { ports: wanted.length }
    if (Date.now() > end)
      throw new Fault(
        500,
        'VirtualInterfacePlugException',
        `Port ${missing.map((vif) => vif.portId).join(', ')} was not wired within ${timeoutMs / 1000} s on the host that the server goes to: look at its network agent.`,
      )
    await pause(50)
  }
}
