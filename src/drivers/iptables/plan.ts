import type { Namespace } from '../netns/driver.ts'
import type { Chain, Family, IpTables, Restore, Tables } from './driver.ts'

/** What one owner wants to stand in a table; all else in it belongs to others and stays untouched. */
export interface WantedTable {
  /** The owner's own chains with their rules (without `-A CHAIN`), written as iptables-save writes them. */
  chains: Record<string, string[]>
  /** Rules at the head of built-in chains; each must jump to one of the owner's chains. */
  hooks?: Record<string, string[]>
}

export type Wanted = Record<string, WantedTable>

/**
 * The lines that turn `current` into `wanted` within the chains that `owns` recognises; empty when nothing differs.
 * Chains that the owner no longer wants are removed, with every rule elsewhere that jumps to them.
 */
export function difference(current: Tables, wanted: Wanted, owns: (chain: string) => boolean): Restore {
  const restore: Restore = {}
  for (const table of new Set([...Object.keys(current), ...Object.keys(wanted)])) {
    const lines = tableDifference(current[table] ?? {}, wanted[table] ?? { chains: {} }, owns)
    if (lines.length) restore[table] = lines
  }
  return restore
}

function tableDifference(current: Record<string, Chain>, wanted: WantedTable, owns: (chain: string) => boolean): string[] {
  const rewritten: [name: string, rules: string[]][] = []
  const edits: string[] = []
  for (const [name, rules] of Object.entries(wanted.chains)) {
    const held = current[name]?.rules
    if (held && same(held, rules)) continue
    const few = held && editsOf(name, held, rules)
    if (few) edits.push(...few)
    else rewritten.push([name, rules])
  }
  const dropped = Object.keys(current).filter((name) => owns(name) && !(name in wanted.chains))
  const hooks: string[] = []
  for (const chain of new Set([...Object.keys(current), ...Object.keys(wanted.hooks ?? {})])) {
    if (owns(chain)) continue
    const held = (current[chain]?.rules ?? []).filter((rule) => owns(targetOf(rule) ?? ''))
    const due = wanted.hooks?.[chain] ?? []
    if (same(held, due)) continue
    hooks.push(...held.map((rule) => `-D ${chain} ${rule}`), ...due.map((rule, i) => `-I ${chain} ${i + 1} ${rule}`))
  }
  return [
    ...[...rewritten.map(([name]) => name), ...dropped].map((name) => `:${name} - [0:0]`),
    ...hooks,
    ...rewritten.flatMap(([name, rules]) => rules.map((rule) => `-A ${name} ${rule}`)),
    ...edits,
    ...dropped.map((name) => `-X ${name}`),
  ]
}

/** The lines that take single rules out of a chain and put others in, where that is less than writing it anew; order and repeated rules make it not worth while. */
function editsOf(chain: string, held: string[], wanted: string[]): string[] | null {
  const most = wanted.length / 4
  const shorter = Math.min(held.length, wanted.length)
  if (Math.max(held.length, wanted.length) - shorter > most) return null
  let head = 0
  while (head < shorter && held[head] === wanted[head]) head++
  let tail = 0
  while (tail < shorter - head && held[held.length - 1 - tail] === wanted[wanted.length - 1 - tail]) tail++
  const [there, put] = [held.slice(head, held.length - tail), wanted.slice(head, wanted.length - tail)]
  const due = new Set(put)
  const kept = there.filter((rule) => due.has(rule))
  const gone = there.filter((rule) => !due.has(rule))
  if (gone.length + put.length - kept.length > most) return null
  // a rule is named by what it says: one that stands before it as well would go in its place
  if (gone.some((rule) => held.indexOf(rule) < head)) return null
  const lines = gone.map((rule) => `-D ${chain} ${rule}`)
  let next = 0
  for (const [i, rule] of put.entries())
    if (kept[next] === rule) next++
    else lines.push(`-I ${chain} ${head + i + 1} ${rule}`)
  return next === kept.length ? lines : null
}

/** @returns what changed: lines by table, empty when all was as wanted */
export async function bring(
  iptables: IpTables,
  namespace: Namespace,
  family: Family,
  wanted: Wanted,
  owns: (chain: string) => boolean,
): Promise<Restore> {
  const lines = difference(await iptables.save(namespace, family), wanted, owns)
  if (Object.keys(lines).length) await iptables.restore(namespace, family, lines, { noflush: true })
  return lines
}

/** The chain or verdict that a rule jumps to. */
export function targetOf(rule: string): string | undefined {
  const words = rule.includes('"') ? rule.replace(QUOTED, '""') : rule
  const jump = words.search(JUMP)
  if (jump < 0) return undefined
  const end = words.indexOf(' ', jump + 3)
  return words.slice(jump + 3, end < 0 ? undefined : end)
}

const QUOTED = /"(?:[^"\\]|\\.)*"/g
const JUMP = /-[jg] (?=\S)/

const same = (a: string[], b: string[]) =>
  a === b || (a.length === b.length && a.every((line, i) => line === b[i] || comparable(line) === comparable(b[i]!)))

// iptables-save prints a protocol by name if it knows one, and MAC addresses in either case, depending on its version
const PROTOCOLS =
  'icmp 1 igmp 2 ggp 3 ipencap 4 st 5 tcp 6 egp 8 igp 9 pup 12 udp 17 hmp 20 xns-idp 22 rdp 27 iso-tp4 29 dccp 33 xtp 36 ddp 37 idpr-cmtp 38 ipv6 41 ipv6-route 43 ipv6-frag 44 idrp 45 rsvp 46 gre 47 esp 50 ah 51 skip 57 ipv6-icmp 58 icmpv6 58 ipv6-nonxt 59 ipv6-opts 60 rspf 73 vmtp 81 eigrp 88 ospf 89 ax.25 93 ipip 94 etherip 97 encap 98 pim 103 ipcomp 108 vrrp 112 l2tp 115 isis 124 pgm 113 sctp 132 fc 133 mobility-header 135 mh 135 udplite 136 mpls-in-ip 137 manet 138 hip 139 shim6 140 wesp 141 rohc 142 ethernet 143'
const NUMBER_OF = new Map([...PROTOCOLS.matchAll(/(\S+) (\d+)/g)].map(([, name, number]) => [name!, number!]))
/** One form for rules that mean the same. */
export const comparable = (rule: string) =>
  rule
    .replace(/(^| )-p (\S+)/, (_, before, name) => `${before}-p ${NUMBER_OF.get(name) ?? name}`)
    .replace(/--mac-source \S+/g, (text) => text.toLowerCase())
