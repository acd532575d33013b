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
  namespace: string
  /** With prefix lengths; other addresses but link-local ones are taken away. */
  addresses: string[]
}

/**
 * Makes the port and device as asked, with no interruption where they are so already. The namespace must exist.
 * A userspace switch makes its devices anew when it restarts, in the root namespace, and the one that was moved is dead: the new one takes its place.
 * @returns what changed, in words
 */
export async function ensureInternalPort({ ovs, netns }: Machine, port: InternalPort): Promise<string[]> {
  const { name, namespace } = port
  const changes: string[] = []
  const known = (await ovs.ports(INTEGRATION)).find((each) => each.name === name)
  let [inside, outside] = await Promise.all([linkIn(namespace), linkIn(undefined)])
  if (known && !inside && !outside) await ovs.removePort(name) // the switch lost its device
  if (!known || (!inside && !outside)) {
    // what is left of one that the switch no longer has
    if (inside) await netns.apply(namespace, [{ do: 'delete-link', name }])
    inside = undefined
    await ovs.ensurePort(INTEGRATION, name, {
      type: 'internal',
      mac: port.mac,
      mtu: port.mtu,
      externalIds: { 'iface-id': port.portId, 'attached-mac': port.mac, 'iface-status': 'active' },
    })
    await until(`Open vSwitch makes ${name}`, async () => (await linkIn(undefined)) !== undefined, 5_000)
    outside = await linkIn(undefined)
    changes.push(`port ${name} on ${INTEGRATION}`)
  }
  if (outside) {
    if (inside) await netns.apply(namespace, [{ do: 'delete-link', name }])
    await netns.apply(undefined, [{ do: 'set-link', name, namespace }])
    changes.push(`${name} into ${namespace}`)
    inside = await linkIn(namespace)
  }
  const fixes = fixesOf(port, inside!)
  await netns.apply(namespace, fixes)
  return [...changes, ...fixes.map((fix) => `${namespace}: ${inWords(fix)}`)]

  async function linkIn(where: string | undefined): Promise<Link | undefined> {
    return (await netns.links(where)).find((link) => link.name === name)
  }
}

function fixesOf(port: InternalPort, link: Link): Change[] {
  const { name } = port
  const has = new Set(link.addresses.map((each) => `${each.address}/${each.prefix}`))
  const due = new Set(port.addresses.map((text) => `${cidr(text).address}/${cidr(text).prefix}`))
  const [mac, mtu, up] = [link.mac !== port.mac.toLowerCase(), link.mtu !== port.mtu, !link.up]
  return [
    ...(mac || mtu || up
      ? [{ do: 'set-link' as const, name, ...(mac ? { mac: port.mac } : {}), ...(mtu ? { mtu: port.mtu } : {}), ...(up ? { up } : {}) }]
      : []),
    ...[...has]
      .filter((address) => !due.has(address) && !address.startsWith('fe80:'))
      .map((address) => ({ do: 'delete-address' as const, dev: name, cidr: address })),
    ...[...due].filter((address) => !has.has(address)).map((address) => ({ do: 'set-address' as const, dev: name, cidr: address })),
  ]
}

function inWords(change: Change): string {
  if (change.do === 'set-address') return `${change.cidr} on ${change.dev}`
  if (change.do === 'delete-address') return `${change.cidr} off ${change.dev}`
  return 'name' in change ? `${change.name} set` : change.do
}
