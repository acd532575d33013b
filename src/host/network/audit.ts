import { ownsFirewallChain } from './firewall/rules.ts'
import type { Context } from './machine.ts'
import { dhcpNamespace, namespaceOwner, routerNamespace } from './names.ts'

/** A thing on this host and the id of the network, router or port that it is there for; what every host has for itself has no owner. */
export interface Thing {
  kind: string
  name: string
  owner: string | null
}

/** Everything of Yun's networks that is on this host, from the things themselves: what nothing asks for is a leak. */
export async function audit({ machine: { ovs, netns, iptables, dnsmasq, haproxy, radv }, settings }: Context): Promise<Thing[]> {
  const things: Thing[] = []
  const bridges = await ovs.bridges()
  const known = new Set(['br-int', 'br-tun', ...Object.values(settings.bridgeMappings)])
  for (const bridge of bridges) if (known.has(bridge.name)) things.push({ kind: 'bridge', name: bridge.name, owner: null })

  const portIds: string[] = []
  for (const port of await ovs.ports()) {
    const owner = port.externalIds['iface-id']
    if (!owner) continue
    portIds.push(owner)
    things.push({ kind: 'switch port', name: port.name, owner })
  }
  for (const name of await netns.namespaces()) {
    const owner = namespaceOwner(name)
    if (owner) things.push({ kind: 'namespace', name, owner: owner.id })
  }
  for (const { networkId, pid } of await dnsmasq.list()) {
    things.push({ kind: 'files', name: dnsmasq.hostFile(networkId), owner: networkId })
    if (pid !== undefined) things.push({ kind: 'process', name: `dnsmasq ${pid} in ${dhcpNamespace(networkId)}`, owner: networkId })
  }
  const namespaces = new Set(await netns.namespaces())
  for (const { id, pid } of await haproxy.list())
    things.push({
      kind: pid === undefined ? 'files' : 'process',
      name: `haproxy ${pid ?? ''} in ${namespaces.has(routerNamespace(id)) ? routerNamespace(id) : dhcpNamespace(id)}`,
      owner: id,
    })
  for (const { routerId, pid } of await radv.list())
    things.push({
      kind: pid === undefined ? 'files' : 'process',
      name: `advertiser ${pid ?? ''} in ${routerNamespace(routerId)}`,
      owner: routerId,
    })
  for (const family of [4, 6] as const)
    for (const [table, chains] of Object.entries(await iptables.save(undefined, family)))
      for (const chain of Object.keys(chains)) {
        const port = ownsFirewallChain(chain) ? /-[ios]([0-9a-f]{8}-[0-9a-f])$/.exec(chain)?.[1] : undefined
        // a chain of a port that the switch no longer has cannot be wanted, whoever the port belongs to
        if (port)
          things.push({ kind: `chain (IPv${family} ${table})`, name: chain, owner: portIds.find((id) => id.startsWith(port)) ?? port })
      }
  return things
}
