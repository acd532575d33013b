import { isDeepStrictEqual } from 'node:util'
import { difference, type Wanted } from '../../drivers/iptables/plan.ts'
import type { Port, PortSpec } from '../../drivers/ovs/driver.ts'
import type { ExternalNetwork } from '../../network/rpc.ts'
import { familyOf, networkOf } from './addresses.ts'
import type { ProviderLink } from './flows.ts'
import type { Context } from './machine.ts'
import type { Tunnel } from './tunnel-flows.ts'

export const INTEGRATION = 'br-int'
export const TUNNEL = 'br-tun'

/** The bridges that every host has, and what leads from one to another. */
export interface Bridges {
  changes: string[]
  providers: ProviderLink[]
  /** OpenFlow's number, on br-tun, of the patch to br-int. */
  patch: number
  tunnels: Tunnel[]
}

/** Sees to br-int, br-tun, the provider bridges and the patches and tunnels between them. What is there already stays as it is. */
export async function ensureBridges(
  { machine: { ovs }, settings }: Context,
  endpoints: { type: 'vxlan' | 'gre'; address: string }[],
): Promise<Bridges> {
  const changes: string[] = []
  const datapathType = (await ovs.datapathTypes()).includes('system') ? 'system' : 'netdev'
  const there = new Map((await ovs.bridges()).map((bridge) => [bridge.name, bridge]))
  for (const name of [INTEGRATION, TUNNEL, ...Object.values(settings.bridgeMappings)]) {
    const bridge = there.get(name)
    if (bridge?.failMode === 'secure') continue
    if (!bridge) changes.push(`bridge ${name} (${datapathType})`)
    // a bridge that is there keeps its datapath: another one would cut every port off for a moment
    await ovs.ensureBridge(name, { datapathType: bridge?.datapathType ?? datapathType, failMode: 'secure' })
  }

  const before = new Map((await ovs.ports()).map((port) => [port.name, port]))
  const ensure = async (bridge: string, name: string, spec: PortSpec): Promise<Port> => {
    const port = before.get(name)
    if (port?.bridge !== bridge) changes.push(`port ${name} on ${bridge}`)
    else if (port.ofport !== undefined && port.type === spec.type && isDeepStrictEqual({ ...port.options }, spec.options)) return port
    return await ovs.ensurePort(bridge, name, spec)
  }
  const patched = async (bridge: string, port: string, otherBridge: string, otherPort: string): Promise<[number, number]> => {
    const made = await ensure(bridge, port, { type: 'patch', options: { peer: otherPort } })
    const other = await ensure(otherBridge, otherPort, { type: 'patch', options: { peer: port } })
    const number = made.ofport ?? (await ovs.waitForPort(port, (each) => each?.ofport !== undefined, 5_000))!.ofport!
    return [number, other.ofport!]
  }

  const [, patch] = await patched(INTEGRATION, 'patch-tun', TUNNEL, 'patch-int')
  const providers: ProviderLink[] = []
  for (const [physicalNetwork, bridge] of Object.entries(settings.bridgeMappings)) {
    const [onIntegration, onProvider] = await patched(INTEGRATION, `int-${bridge}`, bridge, `phy-${bridge}`)
    providers.push({ physicalNetwork, bridge, onIntegration, onProvider })
  }

  const tunnels: Bridges['tunnels'] = []
  const wanted = new Set<string>()
  for (const { type, address } of endpoints) {
    const name = tunnelName(type, address)
    wanted.add(name)
    const port = await ensure(TUNNEL, name, {
      type,
      options: { remote_ip: address, local_ip: settings.tunnels.address!, in_key: 'flow', out_key: 'flow', df_default: 'true' },
    })
    if (port.ofport !== undefined) tunnels.push({ type, address, ofport: port.ofport })
  }
  for (const port of before.values())
    if (port.bridge === TUNNEL && (port.type === 'vxlan' || port.type === 'gre') && !wanted.has(port.name)) {
      await ovs.removePort(port.name)
      changes.push(`port ${port.name} removed`)
    }
  return { changes, providers, patch, tunnels }
}

/** `vxlan-c0a83202` leads to 192.168.50.2. */
function tunnelName(type: 'vxlan' | 'gre', address: string): string {
  const hex =
    familyOf(address) === 4
      ? address
          .split('.')
          .map((byte) => Number(byte).toString(16).padStart(2, '0'))
          .join('')
      : address.replaceAll(':', '').slice(-8)
  return `${type}-${hex}`
}

const OUTSIDE = 'neutron-outside'
/** Where a bridge remembers the addresses that it was given here. */
const GIVEN = 'gateway-cidrs'
export const ownsOutsideChain = (chain: string) => chain.startsWith(`${OUTSIDE}-`)

/**
 * This machine's own place on the external networks: the provider bridge has the gateway's address, so that a user here reaches floating IPs, and what
 * guests send outside goes on with this machine's address. Other networks' bridges lose theirs.
 */
export async function ensureOutside(
  { machine: { ovs, netns, iptables }, settings }: Context,
  external: ExternalNetwork[],
): Promise<string[]> {
  const changes: string[] = []
  const flat = external.filter(({ segment }) => segment.networkType === 'flat' && settings.bridgeMappings[segment.physicalNetwork ?? ''])
  const wanted = settings.external.hostAddress ? flat : []
  const links = new Map((await netns.links()).map((link) => [link.name, link]))
  for (const bridge of await ovs.bridges()) {
    const link = links.get(bridge.name)
    if (!link || !Object.values(settings.bridgeMappings).includes(bridge.name)) continue
    const has = link.addresses.map((each) => `${each.address}/${each.prefix}`)
    const due = wanted
      .filter(({ segment }) => settings.bridgeMappings[segment.physicalNetwork!] === bridge.name)
      .map((each) => each.gatewayCidr)
    const ours = bridge.externalIds[GIVEN]?.split(' ').filter(Boolean) ?? []
    // an address that somebody else gave the bridge stays
    const over = ours.filter((cidr) => !due.includes(cidr) && has.includes(cidr))
    const missing = due.filter((cidr) => !has.includes(cidr))
    if (ours.join() !== due.join())
      await ovs.ensureBridge(bridge.name, { datapathType: bridge.datapathType, externalIds: { [GIVEN]: due.join(' ') } })
    if (link.up && !missing.length && !over.length) continue
    await netns.apply(undefined, [
      { do: 'set-link', name: bridge.name, up: true },
      ...over.map((cidr) => ({ do: 'delete-address' as const, dev: bridge.name, cidr })),
      ...missing.map((cidr) => ({ do: 'set-address' as const, dev: bridge.name, cidr })),
    ])
    changes.push(`${bridge.name} up${missing.map((cidr) => `, ${cidr}`).join('')}${over.map((cidr) => `, without ${cidr}`).join('')}`)
  }
  const lines = difference(
    await iptables.save(undefined, 4),
    outsideRules(settings.external.masquerade ? wanted : [], settings.bridgeMappings),
    ownsOutsideChain,
  )
  if (Object.keys(lines).length) {
    await iptables.restore(undefined, 4, lines, { noflush: true })
    changes.push('masquerading of external networks')
  }
  if (
    wanted.length &&
    settings.external.masquerade &&
    (await netns.sysctl(undefined, ['net.ipv4.ip_forward']))['net.ipv4.ip_forward'] === '0'
  ) {
    await netns.setSysctl(undefined, { 'net.ipv4.ip_forward': 1 })
    changes.push('forwarding on')
  }
  return changes
}

/** Frames that cross a guest's qbr bridge come by here too: they are on their way in and keep their sender. */
function outsideRules(external: ExternalNetwork[], mappings: Record<string, string>): Wanted {
  const four = external.filter(({ gatewayCidr }) => familyOf(gatewayCidr) === 4)
  if (!four.length) return {}
  const bridges = [...new Set(four.map(({ segment }) => mappings[segment.physicalNetwork!]!))]
  return {
    nat: {
      chains: {
        [`${OUTSIDE}-POSTROUTING`]: four.map(
          ({ gatewayCidr }) =>
            `-s ${networkOf(gatewayCidr)} ! -d ${networkOf(gatewayCidr)} -m physdev ! --physdev-is-bridged -j MASQUERADE`,
        ),
      },
      hooks: { POSTROUTING: [`-j ${OUTSIDE}-POSTROUTING`] },
    },
    // the machine's own firewall may refuse forwarding by default
    filter: {
      chains: {
        [`${OUTSIDE}-FORWARD`]: bridges.flatMap((bridge) => [
          `-i ${bridge} ! -o ${bridge} -j ACCEPT`,
          `-o ${bridge} -m state --state RELATED,ESTABLISHED -j ACCEPT`,
        ]),
      },
      hooks: { FORWARD: [`-j ${OUTSIDE}-FORWARD`] },
    },
  }
}
