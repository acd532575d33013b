import { find, parseXml } from '../../drivers/libvirt/xml.ts'
import { portOfDevice } from '../network/names.ts'
import { instanceDirectories } from './instance-directory.ts'
import { unless } from './power-states.ts'
import type { ResourceTracker } from './resource-tracker.ts'
import { secretOwner } from './volume-secrets.ts'
import type { World } from './world.ts'

export interface Thing {
  kind: string
  name: string
  owner: string | null
}

/** Guests' devices; what routers and address servers have (qr-, qg-, their taps in namespaces) is the network's. */
const PLUG = /^(qbr|qvb|qvo|tap)/

/** Everything of Yun's compute that is on this host, from the things themselves. Base images are shared and belong to nobody. */
export async function audit(world: World, tracker: ResourceTracker): Promise<Thing[]> {
  const { libvirt, ovs, netns } = world.machine
  const [directories, domains, secrets, ports, links] = await Promise.all([
    instanceDirectories(world),
    world.domains.list(),
    libvirt.listSecrets(),
    ovs.ports(),
    netns.links(),
  ])
  const things: Thing[] = [
    ...tracker.claims().map((uuid) => ({ kind: 'claim', name: uuid, owner: uuid })),
    ...directories.map((uuid) => ({ kind: 'directory', name: uuid, owner: uuid })),
    ...domains.map(({ name, uuid }) => ({ kind: 'domain', name, owner: uuid })),
    ...secrets.flatMap((secret) => {
      const owner = secretOwner(secret)
      return owner ? [{ kind: 'secret', name: secret.usageId, owner }] : []
    }),
  ]
  // a device's name has the first characters of its port's id: the whole one stands on the switch and in the domains
  const ids = new Set(ports.map((port) => port.externalIds['iface-id'] ?? ''))
  for (const { uuid } of domains) for (const port of await portsOf(world, uuid)) ids.add(port)
  const whole = new Map([...ids].map((id) => [id.slice(0, 11), id]))
  const internal = new Set(ports.filter(({ type }) => type === 'internal').map(({ name }) => name))
  for (const { name } of links) {
    const head = PLUG.test(name) && !internal.has(name) ? portOfDevice(name) : undefined
    if (head) things.push({ kind: 'device', name, owner: whole.get(head) ?? head })
  }
  return things
}

async function portsOf({ machine: { libvirt } }: World, uuid: string): Promise<string[]> {
  const xml = await unless(['NoDomain'], libvirt.domainXml(uuid, { inactive: true }))
  if (!xml) return []
  return find(parseXml(xml), 'metadata', 'yun:instance', 'yun:ports', 'yun:port').map(({ attributes }) => attributes.uuid ?? '')
}
