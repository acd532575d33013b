import { until } from '../../drivers/daemon.ts'
import type { Change, Link } from '../../drivers/netns/driver.ts'
import { cidr } from '../../drivers/netns/words.ts'
import { INTEGRATION } from './bridges.ts'
import type { Machine } from './machine.ts'

/** A device of the switch inside a namespace: where a network's DHCP server, or a router, has its place on the network. */
export interface InternalPort {
  portId: string
  name: string
  mac: string
  mtu: number
  /** With prefix lengths; other addresses but link-local ones are taken away. */
  addresses: string[]
}

export interface Plugged {
  /** In words. */
  changes: string[]
  /** The devices of the namespace as they were before. */
  before: Link[]
  /** Names of those that were made anew or moved in. */
  fresh: Set<string>
}

/**
 * Makes the ports and devices of a namespace as asked, with no interruption where they are so already; ports of other names that `replaces` recognises are
 * removed. The namespace must exist. A userspace switch makes its devices anew when it restarts, in the root namespace, and the one that was moved is dead:
 * the new one takes its place.
 */
export async function ensureInternalPorts(
  { ovs, netns }: Machine,
  namespace: string,
  ports: InternalPort[],
  replaces: RegExp,
): Promise<Plugged> {
  const changes: string[] = []
  const fresh = new Set<string>()
  const [known, before, outside] = await Promise.all([ovs.ports(INTEGRATION), netns.links(namespace), netns.links()])
  const names = new Set(ports.map((port) => port.name))
  for (const { name } of before)
    if (replaces.test(name) && !names.has(name)) {
      await ovs.removePort(name)
      changes.push(`port ${name} removed`)
    }
  for (const port of ports) {
    const here = { known: has(known, port.name), inside: has(before, port.name), outside: has(outside, port.name) }
    if (here.known && here.inside && !here.outside) continue
    changes.push(...(await plugIn(port, here)))
    fresh.add(port.name)
  }
  const now = fresh.size ? await netns.links(namespace) : before
  const fixes = ports.flatMap((port) => fixesOf(port, now.find((link) => link.name === port.name)!))
  await netns.apply(namespace, fixes)
  return { changes: [...changes, ...fixes.map((fix) => `${namespace}: ${inWords(fix)}`)], before, fresh }

  async function plugIn(
    { name, mac, mtu, portId }: InternalPort,
    { known, inside, outside }: { known: boolean; inside: boolean; outside: boolean },
  ): Promise<string[]> {
    // what is left of one that the switch no longer has, or has made anew
    if (inside) await netns.apply(namespace, [{ do: 'delete-link', name }])
    if (known && !outside) await ovs.removePort(name)
    if (!known || !outside) {
      const externalIds = { 'iface-id': portId, 'attached-mac': mac, 'iface-status': 'active' }
      await ovs.ensurePort(INTEGRATION, name, { type: 'internal', mac, mtu, externalIds })
      await until(`Open vSwitch makes ${name}`, async () => has(await netns.links(), name), 5_000)
    }
    await netns.apply(undefined, [{ do: 'set-link', name, namespace }])
    return [...(known && outside ? [] : [`port ${name} on ${INTEGRATION}`]), `${name} into ${namespace}`]
  }
}

const has = (list: { name: string }[], name: string) => list.some((each) => each.name === name)

function fixesOf(port: InternalPort, link: Link): Change[] {
  const { name } = port
  const held = new Set(link.addresses.map((each) => `${each.address}/${each.prefix}`))
  const due = new Set(port.addresses.map((text) => `${cidr(text).address}/${cidr(text).prefix}`))
  const [mac, mtu, up] = [link.mac !== port.mac.toLowerCase(), link.mtu !== port.mtu, !link.up]
  return [
    ...(mac || mtu || up
      ? [{ do: 'set-link' as const, name, ...(mac ? { mac: port.mac } : {}), ...(mtu ? { mtu: port.mtu } : {}), ...(up ? { up } : {}) }]
      : []),
    ...[...held]
      .filter((address) => !due.has(address) && !address.startsWith('fe80:'))
      .map((address) => ({ do: 'delete-address' as const, dev: name, cidr: address })),
    ...[...due].filter((address) => !held.has(address)).map((address) => ({ do: 'set-address' as const, dev: name, cidr: address })),
  ]
}

function inWords(change: Change): string {
  if (change.do === 'set-address') return `${change.cidr} on ${change.dev}`
  if (change.do === 'delete-address') return `${change.cidr} off ${change.dev}`
  return 'name' in change ? `${change.name} set` : change.do
}
