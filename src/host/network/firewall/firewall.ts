import type { Family, IpTables, Restore, Tables } from '../../../drivers/iptables/driver.ts'
import { comparable, difference, type Wanted } from '../../../drivers/iptables/plan.ts'
import type { DeviceDetails } from '../../../network/rpc.ts'
import { chainsOf, type FilteredPort, firewallOf, ownsFirewallChain, zonesIn } from './rules.ts'

const FIRST_ZONE = 4097
const LAST_ZONE = 65_535
const FAMILIES: Family[] = [4, 6]

/**
 * The hybrid firewall: iptables rules on the tap devices where they are in their qbr bridges. All state is in iptables itself: the zones of the ports are read
 * back from the raw table, so that a restart keeps connections.
 */
export class HybridFirewall {
  private readonly iptables: IpTables

  constructor(iptables: IpTables) {
    this.iptables = iptables
  }

  /** Makes the rules of this host those of exactly these ports; one restore for each family that differs. @returns what changed, in words */
  async apply(ports: DeviceDetails[]): Promise<string[]> {
    const saved = await Promise.all(FAMILIES.map(async (family) => ({ family, tables: await this.iptables.save(undefined, family) })))
    const before = zonesIn(saved[0]!.tables.raw?.['neutron-openvswi-PREROUTING']?.rules ?? [])
    const zones = new Map(before)
    const filtered = ports.map((port): FilteredPort => ({ ...port, zone: zoneOf(port.portId, zones) }))
    const changes: string[] = []
    const cut = new Set([...before].filter(([port]) => !ports.some(({ portId }) => portId.startsWith(port))).map(([, zone]) => zone))
    const families = saved.map(async ({ family, tables }) => {
      const wanted = firewallOf(filtered, family)
      const lines = difference(tables, wanted, ownsFirewallChain)
      if (!Object.keys(lines).length) return
      await this.iptables.restore(undefined, family, lines, { noflush: true })
      changes.push(`firewall IPv${family}: ${inWords(lines)}`)
      for (const port of filtered) if (lostRules(port, tables, wanted)) cut.add(port.zone)
    })
    await Promise.all(families)
    // what was let in under a rule that is gone must not go on, and connections of a port that is gone must not greet the next one in its zone
    if (changes.length) for (const zone of cut) await this.iptables.cut(undefined, { zone })
    return changes
  }
}

const inWords = (lines: Restore) =>
  Object.entries(lines)
    .map(([table, list]) => `${list.length} lines in ${table}`)
    .join(', ')

function lostRules({ portId }: FilteredPort, before: Tables, wanted: Wanted): boolean {
  const { ingress, egress } = chainsOf(portId)
  return [ingress, egress].some((chain) => {
    const still = new Set(wanted.filter?.chains[chain]?.map(comparable))
    return before.filter?.[chain]?.rules.some((rule) => !still.has(comparable(rule)))
  })
}

/** The lowest zone that no port has. */
function zoneOf(portId: string, zones: Map<string, number>): number {
  const key = portId.slice(0, 11)
  const known = zones.get(key)
  if (known !== undefined) return known
  const taken = new Set(zones.values())
  let zone = FIRST_ZONE
  while (taken.has(zone) && zone < LAST_ZONE) zone++
  zones.set(key, zone)
  return zone
}
