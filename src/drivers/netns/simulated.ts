import ipaddr from 'ipaddr.js'
import { badRequest, conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import { remembered } from '../remembered.ts'
import type { Address, Change, Link, Namespace, Neighbour, NetNs, Route, Shape } from './driver.ts'
import { cidr, destination, deviceName, fullShape, ipAddress, macAddress, namespaceName, sysctlName, whole } from './words.ts'

interface SimulatedLink extends Omit<Link, 'index'> {
  index: number
  /** '' is the root namespace. */
  namespace: string
  peer?: number
  offload: boolean
  shape?: Shape
}

interface World {
  nextIndex: number
  namespaces: Record<string, { sysctl: Record<string, string>; routes: Route[]; neighbours: Neighbour[] }>
  links: SimulatedLink[]
}

/** The twin of the kernel's network; what tests and other twins may do to it besides. */
export interface SimulatedNetNs extends NetNs {
  /** How many calls changed something so far: equal before and after a run that had nothing to do. */
  changes(): number
  /** A device that something else makes: the tap of a guest, an internal port of the switch. */
  addLink(name: string, kind: string, options?: { namespace?: Namespace; mac?: string }): void
  /** The same thing's end, wherever it was moved to. */
  dropLink(name: string): void
  /** Grows with every device that comes, goes or changes. */
  version(): number
  /** A device of the machine's own namespace. */
  device(name: string): { mac: string; mtu: number } | undefined
  /** Every gratuitous ARP so far, oldest first. */
  announcements(): { namespace: Namespace; dev: string; address: string }[]
}

const SYSCTL = {
  'net.ipv4.ip_forward': '0',
  'net.ipv6.conf.all.forwarding': '0',
  'net.bridge.bridge-nf-call-iptables': '1',
  'net.bridge.bridge-nf-call-ip6tables': '1',
  'net.bridge.bridge-nf-call-arptables': '1',
}

export function simulatedNetNs(options: { file?: string } = {}): SimulatedNetNs {
  const memory = remembered<World>(options.file, { nextIndex: 1, namespaces: {}, links: [] })
  const world = memory.state
  const announced: { namespace: Namespace; dev: string; address: string }[] = []
  let changes = 0
  let version = 0
  if (!world.namespaces['']) makeNamespace('')

  const changed = () => {
    changes++
    touched()
  }

  const touched = () => {
    version++
    memory.save()
  }

  function makeNamespace(name: string) {
    world.namespaces[name] = { sysctl: { ...SYSCTL }, routes: [], neighbours: [] }
    world.links.push({ ...fresh('lo', 'loopback', name), mac: '00:00:00:00:00:00', mtu: 65536, up: name !== '' })
  }

  function fresh(name: string, kind: string, namespace: string): SimulatedLink {
    const index = world.nextIndex++
    const mac = `02:00:${[24, 16, 8, 0].map((shift) => ((index >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`
    return { name, index, kind, mac, mtu: 1500, up: false, promisc: false, addresses: [], namespace, offload: true }
  }

  function room(namespace: Namespace): string {
    if (namespace === undefined) return ''
    if (!world.namespaces[namespaceName(namespace)]) throw notFound(`There is no network namespace ${namespace}.`, 'NoSuchNamespace')
    return namespace
  }

  function find(namespace: Namespace, name: string): SimulatedLink {
    const [place, wanted] = [room(namespace), deviceName(name)]
    const link = world.links.find((each) => each.name === wanted && each.namespace === place)
    if (!link) throw notFound(`There is no device ${name}${namespace ? ` in ${namespace}` : ''}.`, 'NoSuchLink')
    return link
  }

  function add(link: SimulatedLink): SimulatedLink {
    const wanted = deviceName(link.name)
    if (world.links.some((each) => each.name === wanted && each.namespace === link.namespace))
      throw conflict(`There is a device ${link.name} already.`, 'LinkExists')
    world.links.push(link)
    return link
  }

  function forget(link: SimulatedLink) {
    const gone = new Set([link, ...world.links.filter((each) => each.peer === link.index || each.index === link.peer)])
    for (const each of gone) {
      flush(each)
      for (const slave of world.links) if (slave.namespace === each.namespace && slave.master === each.name) delete slave.master
    }
    world.links = world.links.filter((each) => !gone.has(each))
  }

  /** As when a device leaves its namespace: nothing that was said about it stays. */
  function flush(link: SimulatedLink) {
    const { namespace, name } = link
    link.addresses = []
    const home = world.namespaces[namespace]
    if (!home) return
    home.routes = home.routes.filter((route) => route.dev !== name)
    home.neighbours = home.neighbours.filter((each) => each.dev !== name)
  }

  function connected(namespace: string, family: 4 | 6): Route[] {
    return world.links
      .filter((link) => link.namespace === namespace && link.up && link.kind !== 'loopback')
      .flatMap((link) =>
        link.addresses
          .filter((each) => each.family === family && each.prefix < (family === 4 ? 32 : 128))
          .map((each) => ({ to: networkOf(each), dev: link.name, protocol: 'kernel' })),
      )
  }

  function carryOut(namespace: Namespace, change: Change) {
    const home = world.namespaces[room(namespace)]!
    switch (change.do) {
      case 'add-bridge':
        add({ ...fresh(change.name, 'bridge', room(namespace)), ...(change.mac ? { mac: macAddress(change.mac) } : {}) })
        return
      case 'add-dummy':
        add(fresh(change.name, 'dummy', room(namespace)))
        return
      case 'add-veth': {
        const one = fresh(change.name, 'veth', room(namespace))
        const other = fresh(change.peer, 'veth', change.peerNamespace === undefined ? one.namespace : room(change.peerNamespace))
        if (world.links.some((each) => each.namespace === other.namespace && each.name === deviceName(other.name)))
          throw conflict(`There is a device ${other.name} already.`, 'LinkExists')
        add({ ...one, peer: other.index })
        add({ ...other, peer: one.index })
        return
      }
      case 'delete-link':
        return forget(find(namespace, change.name))
      case 'set-link': {
        const link = find(namespace, change.name)
        if (change.mtu !== undefined) link.mtu = whole(change.mtu)
        if (change.mac !== undefined) link.mac = macAddress(change.mac)
        if (change.promisc !== undefined) link.promisc = change.promisc
        if (change.master === null) delete link.master
        else if (change.master !== undefined) link.master = find(namespace, change.master).name
        if (change.up !== undefined) link.up = change.up
        if (change.up === false) home.routes = home.routes.filter((route) => route.dev !== link.name)
        if (change.namespace === undefined || change.namespace === namespace) return
        const target = room(change.namespace)
        if (world.links.some((each) => each.namespace === target && each.name === link.name))
          throw conflict(`There is a device ${link.name} in ${target} already.`, 'LinkExists')
        flush(link)
        link.up = false
        delete link.master
        link.namespace = target
        return
      }
      case 'set-bridge':
        if (find(namespace, change.name).kind !== 'bridge') throw badRequest(`${change.name} is not a bridge.`, 'BadName')
        return
      case 'set-address': {
        const link = find(namespace, change.dev)
        const address: Address = { ...cidr(change.cidr) }
        if (!link.addresses.some((each) => each.address === address.address && each.prefix === address.prefix))
          link.addresses.push({ family: address.family, address: address.address, prefix: address.prefix })
        return
      }
      case 'delete-address': {
        const link = find(namespace, change.dev)
        const { address, prefix } = cidr(change.cidr)
        const rest = link.addresses.filter((each) => each.address !== address || each.prefix !== prefix)
        if (rest.length === link.addresses.length) throw notFound(`${change.dev} does not have ${change.cidr}.`, 'NoSuchEntry')
        link.addresses = rest
        return
      }
      case 'set-route': {
        const to = destination(change.to)
        const family = (change.via ?? to).includes(':') ? 6 : 4
        const via = change.via && ipAddress(change.via)
        const dev = change.dev ? find(namespace, change.dev).name : via && deviceTowards(room(namespace), via, family)
        if (!dev || (via && deviceTowards(room(namespace), via, family) !== dev))
          throw conflict(`No network that is up reaches ${via ?? to}.`, 'UnreachableGateway')
        home.routes = [
          ...home.routes.filter((route) => route.to !== to || familyOf(route) !== family),
          { to, ...(via ? { via } : {}), dev, protocol: 'boot' },
        ]
        return
      }
      case 'delete-route': {
        const to = destination(change.to)
        const family = (change.via ?? to).includes(':') ? 6 : 4
        const rest = home.routes.filter(
          (route) =>
            route.to !== to ||
            familyOf(route) !== family ||
            (change.dev && route.dev !== change.dev) ||
            (change.via && route.via !== ipAddress(change.via)),
        )
        if (rest.length === home.routes.length) throw notFound(`There is no route to ${to}.`, 'NoSuchEntry')
        home.routes = rest
        return
      }
      case 'set-neighbour': {
        const dev = find(namespace, change.dev).name
        const address = ipAddress(change.address)
        home.neighbours = [
          ...home.neighbours.filter((each) => each.dev !== dev || each.address !== address),
          { address, mac: macAddress(change.mac), dev, state: 'PERMANENT' },
        ]
      }
    }
  }

  function deviceTowards(namespace: string, address: string, family: 4 | 6): string | undefined {
    const target = ipaddr.parse(address)
    const scoped = world.namespaces[namespace]!.routes.filter((route) => !route.via && route.to !== 'default' && familyOf(route) === family)
    return [...connected(namespace, family), ...scoped].find((route) => {
      const { address: base, prefix } = cidr(route.to)
      return target.match(ipaddr.parse(base) as any, prefix)
    })?.dev
  }

  return {
    changes: () => changes,
    announcements: () => announced,
    addLink(name, kind, { namespace, mac } = {}) {
      add({ ...fresh(name, kind, room(namespace)), offload: kind === 'veth', ...(mac ? { mac: macAddress(mac) } : {}) })
      touched()
    },
    dropLink(name) {
      for (const link of world.links.filter((each) => each.name === name)) forget(link)
      touched()
    },
    version: () => version,
    device(name) {
      const link = world.links.find((each) => each.name === name && each.namespace === '')
      return link && { mac: link.mac, mtu: link.mtu }
    },

    namespaces: async () => Object.keys(world.namespaces).filter(Boolean).sort(),
    async ensureNamespace(name) {
      if (world.namespaces[namespaceName(name)]) return false
      makeNamespace(name)
      changed()
      return true
    },
    async removeNamespace(name) {
      if (!world.namespaces[namespaceName(name)]) return
      for (const link of world.links.filter((each) => each.namespace === name)) forget(link)
      delete world.namespaces[name]
      changed()
    },
    async links(namespace) {
      const place = room(namespace)
      return world.links
        .filter((each) => each.namespace === place)
        .map(({ namespace: _, peer: __, offload: ___, shape: ____, ...link }) => ({
          ...link,
          addresses: link.addresses.map((address) => ({ ...address })),
        }))
        .sort((a, b) => a.index - b.index)
    },
    async apply(namespace, list) {
      room(namespace)
      if (list.length === 0) return
      try {
        for (const change of list) named(change, () => carryOut(namespace, change))
      } finally {
        changed()
      }
    },
    routes: async (namespace, family) => [
      ...connected(room(namespace), family),
      ...world.namespaces[room(namespace)]!.routes.filter((route) => familyOf(route) === family),
    ],
    neighbours: async (namespace, dev) =>
      world.namespaces[room(namespace)]!.neighbours.filter((each) => each.dev === find(namespace, dev).name),
    async sysctl(namespace, names) {
      const held = world.namespaces[room(namespace)]!.sysctl
      return Object.fromEntries(names.map(sysctlName).flatMap((name) => (held[name] === undefined ? [] : [[name, held[name]]])))
    },
    async setSysctl(namespace, values) {
      const held = world.namespaces[room(namespace)]!.sysctl
      for (const [name, value] of Object.entries(values)) held[sysctlName(name)] = String(value)
      changed()
    },
    checksumOffload: async (namespace, dev) => find(namespace, dev).offload,
    async setChecksumOffload(namespace, dev, on) {
      find(namespace, dev).offload = on
      changed()
    },
    async announce(namespace, dev, address) {
      announced.push({ namespace, dev: find(namespace, dev).name, address: ipAddress(address) })
    },
    shape: async (namespace, dev) => structuredClone(find(namespace, dev).shape),
    async setShape(namespace, dev, shape) {
      const link = find(namespace, dev)
      if (!shape) delete link.shape
      else link.shape = fullShape(shape)
      changed()
    },
  }
}

/** A refusal says which change of the batch it was. */
function named(change: Change, action: () => void): void {
  try {
    action()
  } catch (error) {
    if (error instanceof Fault) throw new Fault(error.status, error.code, `${JSON.stringify(change)}: ${error.message}`)
    throw error
  }
}

const familyOf = (route: Route): 4 | 6 => ((route.to === 'default' ? (route.via ?? '') : route.to).includes(':') ? 6 : 4)

function networkOf({ address, prefix, family }: Address): string {
  const network =
    family === 4 ? ipaddr.IPv4.networkAddressFromCIDR(`${address}/${prefix}`) : ipaddr.IPv6.networkAddressFromCIDR(`${address}/${prefix}`)
  return `${network.toString()}/${prefix}`
}
