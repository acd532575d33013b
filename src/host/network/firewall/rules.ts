import type { Family } from '../../../drivers/iptables/driver.ts'
import type { Wanted } from '../../../drivers/iptables/plan.ts'
import { cidr, macAddress } from '../../../drivers/netns/words.ts'
import type { DeviceDetails, SecurityRule } from '../../../network/rpc.ts'
import { linkLocal, networkOf } from '../addresses.ts'
import { qvbOf, tapOf } from '../names.ts'

/** The chains' owner, as long as iptables' 28 characters leave room for `-i` and ten characters of a port. */
const OWNER = 'neutron-openvswi'
const SECURITY = `${OWNER}-sg-chain`
const FALLBACK = `${OWNER}-sg-fallback`

export const ownsFirewallChain = (chain: string) => chain === 'neutron-filter-top' || chain.startsWith(`${OWNER}-`)

/** What a packet to the port, from the port, and with the port's own addresses goes through. */
export const chainsOf = (portId: string) => ({
  ingress: `${OWNER}-i${portId.slice(0, 10)}`,
  egress: `${OWNER}-o${portId.slice(0, 10)}`,
  source: `${OWNER}-s${portId.slice(0, 10)}`,
})

/** Who may be met under the name of a group: packets that come from a member, and packets to one. */
export const groupChains = (groupId: string) => ({ from: `${OWNER}-f${groupId.slice(0, 10)}`, to: `${OWNER}-t${groupId.slice(0, 10)}` })

export interface FilteredPort
  extends Pick<DeviceDetails, 'portId' | 'macAddress' | 'fixedIps' | 'allowedAddressPairs' | 'portSecurity' | 'rules'> {
  /** The connection-tracking zone that is this port's alone. */
  zone: number
}

/**
 * The whole firewall of this host for one family: what Neutron's iptables_hybrid driver sets up, in the words of iptables-save. Where Neutron asks an ipset for
 * the members of a group, a chain has one line for each of them.
 * @param groups the addresses (CIDR) of each group that rules of these ports name
 */
export function firewallOf(ports: FilteredPort[], groups: Map<string, string[]>, family: Family): Wanted {
  const filtered = ports.filter((port) => port.portSecurity)
  const chains: Record<string, string[]> = {
    'neutron-filter-top': [`-j ${OWNER}-local`],
    [`${OWNER}-local`]: [],
    [`${OWNER}-INPUT`]: filtered.map(
      (port) =>
        `${from(tapOf(port.portId))}${said('Direct incoming traffic from VM to the security group chain.')} -j ${chainsOf(port.portId).egress}`,
    ),
    [`${OWNER}-OUTPUT`]: [],
    [`${OWNER}-FORWARD`]: ports.flatMap(({ portId, portSecurity }) => {
      const [comment, target] = portSecurity
        ? ['Direct traffic from the VM interface to the security group chain.', SECURITY]
        : ['Accept all packets when port is trusted.', 'ACCEPT']
      return [`${to(tapOf(portId))}${said(comment)} -j ${target}`, `${from(tapOf(portId))}${said(comment)} -j ${target}`]
    }),
    [SECURITY]: [
      ...filtered.flatMap(({ portId }) => [
        `${to(tapOf(portId))}${said('Jump to the VM specific chain.')} -j ${chainsOf(portId).ingress}`,
        `${from(tapOf(portId))}${said('Jump to the VM specific chain.')} -j ${chainsOf(portId).egress}`,
      ]),
      '-j ACCEPT',
    ],
    [FALLBACK]: [`${said('Default drop rule for unmatched traffic.').trim()} -j DROP`],
  }
  for (const port of filtered) Object.assign(chains, ownChains(port, family))
  for (const [group, addresses] of groups) Object.assign(chains, memberChains(group, addresses, filtered, family))
  return {
    filter: {
      chains,
      hooks: {
        INPUT: [`-j ${OWNER}-INPUT`],
        FORWARD: ['-j neutron-filter-top', `-j ${OWNER}-FORWARD`],
        OUTPUT: ['-j neutron-filter-top', `-j ${OWNER}-OUTPUT`],
      },
    },
    raw: {
      chains: { [`${OWNER}-PREROUTING`]: ports.flatMap((port) => zoneRules(port)) },
      hooks: { PREROUTING: [`-j ${OWNER}-PREROUTING`] },
    },
  }
}

const known = { 4: new WeakMap<FilteredPort, Record<string, string[]>>(), 6: new WeakMap<FilteredPort, Record<string, string[]>>() }

/** The chains of one port; of one that has not changed, those that were made before. */
function ownChains(port: FilteredPort, family: Family): Record<string, string[]> {
  const made = known[family].get(port) ?? makeChains(port, family)
  known[family].set(port, made)
  return made
}

function makeChains(port: FilteredPort, family: Family): Record<string, string[]> {
  const { ingress, egress, source } = chainsOf(port.portId)
  return {
    [ingress]: [...established(), ...(family === 4 ? SERVED_4 : SERVED_6), ...ofDirection(port.rules, 'ingress', family), ...closing()],
    [source]: [
      ...pairsOf(port, family).map(
        ({ address, mac }) =>
          `${address ? `-s ${address} ` : ''}-m mac --mac-source ${mac}${said('Allow traffic from defined IP/MAC pairs.')} -j RETURN`,
      ),
      `${said('Drop traffic without an IP/MAC allow rule.').trim()} -j DROP`,
    ],
    [egress]: [
      ...(family === 4 ? asking4(source) : asking6(source)),
      ...established(),
      ...ofDirection(port.rules, 'egress', family),
      ...closing(),
    ],
  }
}

/** The chains of a group's members, as far as a rule of these ports leads there. */
function memberChains(group: string, addresses: string[], ports: FilteredPort[], family: Family): Record<string, string[]> {
  const { from, to } = groupChains(group)
  const named = (direction: SecurityRule['direction']) =>
    ports.some(({ rules }) =>
      rules.some((rule) => rule.remoteGroupId === group && rule.direction === direction && rule.etherType === `IPv${family}`),
    )
  const members = membersOf(addresses)
  return {
    ...(named('ingress') ? { [from]: members.lines(family, 'from') } : {}),
    ...(named('egress') ? { [to]: members.lines(family, 'to') } : {}),
  }
}

/** A range of addresses, with the lines that let in what comes from it and what goes to it. */
interface Member {
  family: Family
  from: string
  to: string
}

/** A group's members, each once. Their lines are made when they are asked for, in the order of their texts: where one belongs is found without looking at all. */
class Members {
  private readonly members: Record<Family, Member[]> = { 4: [], 6: [] }
  private readonly made: Record<Family, { from?: string[]; to?: string[] }> = { 4: {}, 6: {} }

  constructor(addresses: string[]) {
    const read = new Set<Member>()
    for (const address of addresses) read.add(memberOf(address))
    for (const member of read) this.members[member.family].push(member)
  }

  lines(family: Family, side: 'from' | 'to'): string[] {
    const made = this.made[family]
    made[side] ??= this.members[family].map((one) => one[side]).sort()
    return made[side]
  }
}

const lists = new WeakMap<string[], Members>()

/** The same list as before has been read before. */
export function membersOf(addresses: string[]): Members {
  const known = lists.get(addresses)
  if (known) return known
  const made = new Members(addresses)
  lists.set(addresses, made)
  return made
}

const RANGES = 100_000
const readBefore = new Map<string, Member>()
const rangesRead = new Map<string, Member>()

/** When one member comes, the list is another, and all others are in it again. The same range is the same object, however it is written. */
function memberOf(text: string): Member {
  const known = readBefore.get(text)
  if (known) return known
  const { family, prefix } = cidr(text)
  const range = prefix === 0 ? '' : networkOf(text) // '' is everything
  const side = (option: string) => `${range ? `${option} ${range} ` : ''}-j ACCEPT`
  const made = rangesRead.get(`${family} ${range}`) ?? { family, from: side('-s'), to: side('-d') }
  if (readBefore.size >= RANGES) {
    readBefore.clear()
    rangesRead.clear()
  }
  readBefore.set(text, made)
  rangesRead.set(`${family} ${range}`, made)
  return made
}

function zoneRules({ portId, zone }: FilteredPort): string[] {
  const comment = said(`Set zone for ${portId.slice(0, 11)}`)
  return [
    `-m physdev --physdev-in ${qvbOf(portId)}${comment} -j CT --zone ${zone}`,
    `-i ${qvbOf(portId)}${comment} -j CT --zone ${zone}`,
    `-m physdev --physdev-in ${tapOf(portId)}${comment} -j CT --zone ${zone}`,
  ]
}

/** The zone of each port (by the first characters of its id) in a saved raw table. */
export function zonesIn(rules: string[]): Map<string, number> {
  const found = rules.flatMap((rule) => {
    const [, port, zone] = /--physdev-in tap([0-9a-f]{8}-[0-9a-f]{2}) .*--zone (\d+)$/.exec(rule) ?? []
    return port && zone ? [[port, Number(zone)] as const] : []
  })
  return new Map(found)
}

/** Every address that the port may send from, with the MAC it must come from; without an address: any. */
function pairsOf(port: FilteredPort, family: Family): { address?: string; mac: string }[] {
  const pairs = [
    ...port.fixedIps.map((fixed) => ({ address: fixed.address, mac: port.macAddress })),
    ...port.allowedAddressPairs.map((pair) => ({ address: pair.address, mac: pair.macAddress || port.macAddress })),
    ...(family === 6
      ? [...new Set([port.macAddress, ...port.allowedAddressPairs.map((pair) => pair.macAddress || port.macAddress)])].map((mac) => ({
          address: linkLocal(mac),
          mac,
        }))
      : []),
  ]
  const lines = pairs.flatMap(({ address, mac }) => {
    const range = cidr(address)
    if (range.family !== family) return []
    return [{ ...(range.prefix === 0 ? {} : { address: networkOf(address) }), mac: macAddress(mac) }]
  })
  return lines.filter((line, i) => lines.findIndex((other) => other.address === line.address && other.mac === line.mac) === i)
}

function ofDirection(rules: SecurityRule[], direction: SecurityRule['direction'], family: Family): string[] {
  const lines = rules
    .filter((rule) => rule.direction === direction && rule.etherType === `IPv${family}` && isWritable(rule, family))
    .map((rule) => ruleLine(rule, family))
  return [...new Set(lines)]
}

/** A rule that iptables would refuse opens nothing, instead of holding up those of all ports. */
function isWritable({ remotePrefix, portMin, portMax }: SecurityRule, family: Family): boolean {
  if ([portMin, portMax].some((port) => port !== null && !(Number.isInteger(port) && port >= 0 && port <= 65_535))) return false
  try {
    return !remotePrefix || cidr(remotePrefix).family === family
  } catch {
    return false
  }
}

function ruleLine(rule: SecurityRule, family: Family): string {
  const match = protocolMatch(rule, family)
  if (rule.remoteGroupId) return `${match}-j ${groupChains(rule.remoteGroupId)[rule.direction === 'ingress' ? 'from' : 'to']}`
  const side = rule.direction === 'ingress' ? '-s' : '-d'
  const remote = rule.remotePrefix && cidr(rule.remotePrefix).prefix > 0 ? `${side} ${networkOf(rule.remotePrefix)} ` : ''
  return `${remote}${match}-j RETURN`
}

/** Names of the API that iptables does not know on every machine, or takes for another protocol. */
const NUMBERS = new Map(
  Object.entries({
    ...{ ah: 51, dccp: 33, egp: 8, esp: 50, gre: 47, icmp: 1, icmpv6: 58, igmp: 2, ipip: 4, ospf: 89, pgm: 113, rsvp: 46, sctp: 132 },
    ...{ tcp: 6, udp: 17, udplite: 136, vrrp: 112, any: 0 },
    ...{ 'ipv6-encap': 41, 'ipv6-frag': 44, 'ipv6-icmp': 58, 'ipv6-nonxt': 59, 'ipv6-opts': 60, 'ipv6-route': 43 },
  }),
)
/** What iptables calls those that have ports. */
const WITH_PORTS: Record<number, string> = { 6: 'tcp', 17: 'udp', 33: 'dccp', 132: 'sctp', 136: 'udplite' }
const RESERVED = 255

/** One rule that iptables does not understand would hold up those of every port here: what is no protocol becomes the one that nobody speaks. */
function protocolNumber(protocol: string): number {
  const number = NUMBERS.get(protocol) ?? (/^\d+$/.test(protocol) ? Number(protocol) : RESERVED)
  return Math.min(number, RESERVED)
}

function protocolMatch({ protocol, portMin, portMax }: SecurityRule, family: Family): string {
  const number = protocol === null ? 0 : protocolNumber(protocol)
  if (number === 0) return ''
  const ported = WITH_PORTS[number]
  if (ported) {
    const named = number === 33 ? '33' : ported
    if (portMin === null) return `-p ${named} `
    const high = portMax ?? portMin
    const ports = high === portMin ? String(portMin) : `${portMin}:${high}`
    // udplite has no match of its own
    return ported === 'udplite' ? `-p udplite -m multiport --dports ${ports} ` : `-p ${named} -m ${ported} --dport ${ports} `
  }
  if (number === 1 || number === 58) {
    const type = portMin === null ? '' : `${portMin}${portMax === null ? '' : `/${portMax}`}`
    if (family === 4) return type ? `-p icmp -m icmp --icmp-type ${type} ` : '-p icmp '
    return type ? `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} ` : '-p ipv6-icmp '
  }
  return `-p ${number} `
}

const established = () => [
  `-m state --state RELATED,ESTABLISHED${said('Direct packets associated with a known session to the RETURN chain.')} -j RETURN`,
]
const closing = () => [
  `-m state --state INVALID${said('Drop packets that appear related to an existing connection (e.g. TCP ACK/FIN) but do not have an entry in conntrack.')} -j DROP`,
  `${said('Send unmatched traffic to the fallback chain.').trim()} -j ${FALLBACK}`,
]

// DHCP answers have no connection yet that they belong to; other servers cannot give any, their ports are refused below
const SERVED_4 = ['-p udp -m udp --sport 67 --dport 68 -j RETURN']
const SERVED_6 = [
  ...['130', '131', '132', '134', '135', '136'].map((type) => `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j RETURN`),
  '-s fe80::/64 -p udp -m udp --sport 547 --dport 546 -j RETURN',
]

const asking4 = (source: string) => [
  `-s 0.0.0.0/32 -d 255.255.255.255/32 -p udp -m udp --sport 68 --dport 67${said('Allow DHCP client traffic.')} -j RETURN`,
  `-j ${source}`,
  `-p udp -m udp --sport 68 --dport 67${said('Allow DHCP client traffic.')} -j RETURN`,
  `-p udp -m udp --sport 67 --dport 68${said('Prevent DHCP Spoofing by VM.')} -j DROP`,
]

const asking6 = (source: string) => [
  ...['131', '135', '143'].map(
    (type) => `-s ::/128 -d ff02::/16 -p ipv6-icmp -m icmp6 --icmpv6-type ${type}${said('Allow IPv6 ICMP traffic.')} -j RETURN`,
  ),
  `-s ::/128 -d ff02::2/128 -p ipv6-icmp -m icmp6 --icmpv6-type 133${said('Allow IPv6 ICMP traffic.')} -j RETURN`,
  `-j ${source}`,
  `-p ipv6-icmp -m icmp6 --icmpv6-type 134${said('Drop IPv6 Router Advts from VM Instance.')} -j DROP`,
  `-p ipv6-icmp${said('Allow IPv6 ICMP traffic.')} -j RETURN`,
  `-p udp -m udp --sport 546 --dport 547${said('Allow DHCP client traffic.')} -j RETURN`,
  `-p udp -m udp --sport 547 --dport 546${said('Prevent DHCP Spoofing by VM.')} -j DROP`,
]

const from = (device: string) => `-m physdev --physdev-in ${device} --physdev-is-bridged`
const to = (device: string) => `-m physdev --physdev-out ${device} --physdev-is-bridged`
const said = (comment: string) => ` -m comment --comment "${comment}"`
