import type { Chain, Family, IpTables, Restore, Tables } from '../../../drivers/iptables/driver.ts'
import { comparable, difference, targetOf, type Wanted } from '../../../drivers/iptables/plan.ts'
import type { DeviceDetails } from '../../../network/rpc.ts'
import { chainsOf, type FilteredPort, firewallOf, groupChains, membersOf, ownsFirewallChain, zonesIn } from './rules.ts'

const FIRST_ZONE = 4097
const LAST_ZONE = 65_535
const FAMILIES: Family[] = [4, 6]

/** Whose tracked connections are to be forgotten. */
type Cut = Parameters<IpTables['cut']>[1]

/**
 * The hybrid firewall: iptables rules on the tap devices where they are in their qbr bridges. All state is in iptables itself: the zones of the ports are read
 * back from the raw table, so that a restart keeps connections.
 */
export class HybridFirewall {
  private readonly iptables: IpTables
  /** The same description of a port makes the same rules: they are made once. */
  private ports = new Map<string, { details: DeviceDetails; filtered: FilteredPort }>()
  /** What stands there as far as this process knows; nothing after a failure. */
  private readonly held = new Map<Family, Tables>()

  constructor(iptables: IpTables) {
    this.iptables = iptables
  }

  /**
   * Makes the rules of this host those of exactly these ports; one restore for each family that differs.
   * @param groups the addresses (CIDR) of each group that their rules name
   * @param full look at what stands there, instead of trusting that it is what the last call left
   * @returns what changed, in words
   */
  async apply(ports: DeviceDetails[], groups: Map<string, string[]> = new Map(), full = true): Promise<string[]> {
    const saved = await Promise.all(FAMILIES.map(async (family) => ({ family, tables: await this.standing(family, full) })))
    const before = zonesIn(saved[0]!.tables.raw?.['neutron-openvswi-PREROUTING']?.rules ?? [])
    const filtered = this.filtered(ports, before)
    const changes: string[] = []
    const present = new Set(ports.map(({ portId }) => portId.slice(0, 11)))
    const zones = new Set([...before].filter(([port]) => !present.has(port)).map(([, zone]) => zone))
    const cuts: Cut[] = []
    const families = saved.map(async ({ family, tables }) => {
      const wanted = firewallOf(filtered, groups, family)
      const lines = difference(tables, wanted, ownsFirewallChain)
      if (!Object.keys(lines).length) return
      this.held.delete(family)
      await this.iptables.restore(undefined, family, lines, { noflush: true })
      this.held.set(family, after(tables, wanted))
      changes.push(`firewall IPv${family}: ${inWords(lines)}`)
      for (const port of filtered) if (lostRules(port, tables, wanted)) zones.add(port.zone)
      for (const [group] of groups) cuts.push(...lostMembers(group, tables, wanted))
    })
    await Promise.all(families)
    // what was let in under a rule that is gone must not go on, and connections of a port that is gone must not greet the next one in its zone
    if (changes.length) for (const which of [...[...zones].map((zone) => ({ zone })), ...cuts]) await this.iptables.cut(undefined, which)
    return changes
  }

  /**
   * Lets in who has come into groups, beside those who are in them; which groups rules name is seen from what stands there.
   * @returns what changed, in words; null when it is not known what stands there
   */
  async admit(joined: Map<string, string[]>): Promise<string[] | null> {
    const changes: string[] = []
    for (const family of FAMILIES) {
      const tables = this.held.get(family)
      if (!tables?.filter) return null
      const chains = new Map<string, Chain>()
      const lines: string[] = []
      for (const [group, addresses] of joined) {
        const chainOf = groupChains(group)
        for (const side of ['from', 'to'] as const) {
          const name = chainOf[side]
          const chain = tables.filter[name]
          if (!chain) continue
          const put = insertions(chain.rules, membersOf(addresses).lines(family, side))
          for (const { at, rule } of put.made) lines.push(`-I ${name} ${at + 1} ${rule}`)
          if (put.made.length > 0) chains.set(name, { ...chain, rules: put.rules })
        }
      }
      if (lines.length === 0) continue
      this.held.delete(family)
      await this.iptables.restore(undefined, family, { filter: lines }, { noflush: true })
      for (const [name, chain] of chains) tables.filter[name] = chain
      this.held.set(family, tables)
      changes.push(`firewall IPv${family}: ${inWords({ filter: lines })}`)
    }
    return changes
  }

  private async standing(family: Family, full: boolean): Promise<Tables> {
    const tables = (full ? undefined : this.held.get(family)) ?? (await this.iptables.save(undefined, family))
    this.held.set(family, tables)
    return tables
  }

  private filtered(ports: DeviceDetails[], before: Map<string, number>): FilteredPort[] {
    const zones = new Map(before)
    const next: typeof this.ports = new Map()
    for (const details of ports) {
      const zone = zoneOf(details.portId, zones)
      const known = this.ports.get(details.portId)
      const same = known?.details === details && known.filtered.zone === zone
      next.set(details.portId, same ? known : { details, filtered: { ...details, zone } })
    }
    this.ports = next
    return [...next.values()].map((each) => each.filtered)
  }
}

/** Puts rules where they belong among others; both are in order, and those that are there already stay alone. */
function insertions(there: string[], rules: string[]): { rules: string[]; made: { at: number; rule: string }[] } {
  const made: { at: number; rule: string }[] = []
  let low = 0
  for (const rule of rules) {
    let high = there.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (there[middle]! < rule) low = middle + 1
      else high = middle
    }
    if (there[low] !== rule) made.push({ at: low + made.length, rule })
  }
  if (made.length === 0) return { rules: there, made }
  const all = new Array<string>(there.length + made.length)
  let [from, to] = [0, 0]
  for (const { at, rule } of made) {
    while (to < at) all[to++] = there[from++]!
    all[to++] = rule
  }
  while (to < all.length) all[to++] = there[from++]!
  return { rules: all, made }
}

/** The tables when `wanted` is there: its chains, the hooks that lead to them, and what is others'. */
function after(before: Tables, wanted: Wanted): Tables {
  const tables = { ...before }
  for (const [name, { chains, hooks = {} }] of Object.entries(wanted)) {
    const others = Object.entries(before[name] ?? {}).filter(([chain]) => !ownsFirewallChain(chain))
    const own = Object.entries(chains).map(([chain, rules]) => [chain, { policy: '-', rules }] satisfies [string, Chain])
    const hooked = Object.entries(hooks).map(([chain, due]) => {
      const { policy = 'ACCEPT', rules = [] } = before[name]?.[chain] ?? {}
      return [chain, { policy, rules: [...due, ...rules.filter((rule) => !ownsFirewallChain(targetOf(rule) ?? ''))] }] satisfies [
        string,
        Chain,
      ]
    })
    tables[name] = Object.fromEntries<Chain>([...others, ...hooked, ...own])
  }
  return tables
}

const inWords = (lines: Restore) =>
  Object.entries(lines)
    .map(([table, list]) => `${list.length} lines in ${table}`)
    .join(', ')

/** The rules of a chain that are there and not wanted any more. */
function lost(chain: string, before: Tables, wanted: Wanted): string[] {
  const there = before.filter?.[chain]?.rules ?? []
  const due = wanted.filter?.chains[chain] ?? []
  if (isWithin(there, due)) return []
  const written = new Set(due)
  const others = there.filter((rule) => !written.has(rule))
  if (others.length === 0) return []
  const still = new Set(due.map(comparable))
  return others.filter((rule) => !still.has(comparable(rule)))
}

/** Whether all of `rules` are in `others`, in the same order: when somebody has joined a group, that is how it is. */
function isWithin(rules: string[], others: string[]): boolean {
  let at = 0
  for (const rule of others) if (rule === rules[at]) at++
  return at === rules.length
}

function lostRules({ portId }: FilteredPort, before: Tables, wanted: Wanted): boolean {
  const { ingress, egress } = chainsOf(portId)
  return [ingress, egress].some((chain) => lost(chain, before, wanted).length > 0)
}

/** Who is not in a group any more is not let in by it any more. */
function lostMembers(group: string, before: Tables, wanted: Wanted): Cut[] {
  const { from, to } = groupChains(group)
  const addresses = (chain: string) => lost(chain, before, wanted).flatMap((rule) => /^-[sd] (\S+)/.exec(rule)?.[1] ?? [])
  return [...addresses(from).map((source) => ({ source })), ...addresses(to).map((destination) => ({ destination }))]
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
