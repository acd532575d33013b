import { Fault, notFound } from '../../kernel/errors/errors.ts'
import type { Namespace } from '../netns/driver.ts'
import { remembered } from '../remembered.ts'
import { BUILT_IN, type Chain, type Family, type IpTables, type Tables, type Translation } from './driver.ts'
import { targetOf } from './plan.ts'
import { assertLines } from './real.ts'

export interface SimulatedIpTables extends IpTables {
  /** How many restores changed something so far. */
  changes(): number
  /** A connection that goes out translated, as if a guest had made it. */
  translated(namespace: Namespace, translation: Translation): void
  /** Whose connections were forgotten so far, oldest first. */
  cuts(): { namespace: Namespace; which: Parameters<IpTables['cut']>[1] }[]
}

const VERDICTS = new Set([
  'ACCEPT',
  'DROP',
  'RETURN',
  'REJECT',
  'CT',
  'MARK',
  'CONNMARK',
  'DNAT',
  'SNAT',
  'MASQUERADE',
  'REDIRECT',
  'LOG',
  'NFLOG',
  'NOTRACK',
  'CHECKSUM',
  'TCPMSS',
])

/** The twin of iptables. Rules are kept as they are written: whoever compares must write them as iptables-save does, on the real one too. */
export function simulatedIpTables(options: { file?: string; namespaces?: () => Promise<string[]> } = {}): SimulatedIpTables {
  const memory = remembered<Record<string, Tables>>(options.file, {})
  const connections: { namespace: Namespace; translation: Translation }[] = []
  const cuts: ReturnType<SimulatedIpTables['cuts']> = []
  let changes = 0
  const place = async (namespace: Namespace, family: Family) => {
    const there = namespace === undefined || !options.namespaces ? undefined : await options.namespaces()
    if (there) {
      // rules end with their namespace
      for (const key of Object.keys(memory.state)) if (!there.includes(key.slice(2)) && key.slice(2)) delete memory.state[key]
      if (!there.includes(namespace!)) throw notFound(`There is no network namespace ${namespace}.`, 'NoSuchNamespace')
    }
    return `${family} ${namespace ?? ''}`
  }
  return {
    changes: () => changes,
    cuts: () => cuts,
    translated: (namespace, translation) => {
      connections.push({ namespace, translation })
    },
    translations: async (namespace) => connections.filter((each) => each.namespace === namespace).map((each) => each.translation),
    async cut(namespace, which) {
      await place(namespace, 4)
      cuts.push({ namespace, which })
    },
    async save(namespace, family) {
      // a chain is never changed once it is written: who holds it holds what was then
      return Object.fromEntries(
        Object.entries(memory.state[await place(namespace, family)] ?? {}).map(([table, chains]) => [table, { ...chains }]),
      )
    },
    async restore(namespace, family, tables, { noflush = false } = {}) {
      assertLines(tables)
      const key = await place(namespace, family)
      for (const [table, lines] of Object.entries(tables)) {
        const kept = noflush ? memory.state[key]?.[table] : undefined
        const next = kept ?? emptyTable(table)
        const before = new Map<string, Chain | undefined>()
        try {
          // a chain that a rule leads to cannot go, so those that stood before lead somewhere
          const put: string[] = []
          // a group's chain has a line for each member: most lines go on with the chain of the one before
          let growing: { head: string; rules: string[] } | undefined
          for (const line of lines) {
            if (growing && line.startsWith(growing.head)) {
              const rule = line.slice(growing.head.length).trim()
              growing.rules.push(rule)
              put.push(rule)
              continue
            }
            const rule = carryOut(next, line, before)
            if (rule !== undefined) put.push(rule)
            const name = APPENDED.exec(line)?.[1]
            growing = name === undefined ? undefined : { head: `-A ${name} `, rules: next[name]!.rules }
          }
          for (const rule of put) checkTarget(next, rule)
        } catch (error) {
          for (const [name, chain] of before)
            if (chain) next[name] = chain
            else delete next[name]
          throw error
        }
        if (!kept) memory.state[key] = { ...memory.state[key], [table]: next }
      }
      changes++
      memory.save()
    },
  }
}

function emptyTable(table: string): Tables[string] {
  const chains = BUILT_IN[table]
  if (!chains) throw refused(`*${table}`, 'no such table')
  return Object.fromEntries(chains.map((chain) => [chain, { policy: 'ACCEPT', rules: [] }]))
}

const VERBS = ['-A ', '-I ', '-D ', '-X ', '-F ', '-N ']
const NAME_AT = 3
const POSITION = /^\d+ /
const APPENDED = /^-A (\S+) /

/** Chains are noted in `before` when they first change, and copied: who holds one holds what was. Returns the rule that is put into one. */
function carryOut(table: Tables[string], line: string, before: Map<string, Chain | undefined>): string | undefined {
  const put = (name: string, chain: Chain) => {
    if (!before.has(name)) before.set(name, table[name])
    table[name] = chain
    return chain
  }
  if (line[0] === ':') {
    const [, declared, policy] = /^:(\S+) (\S+)/.exec(line) ?? []
    if (!declared) throw refused(line, 'not understood')
    if (declared.length > 28) throw refused(line, 'chain name is too long: 28 characters at most')
    put(declared, { policy: policy!, rules: [] })
    return undefined
  }
  // by hand: a thousand hosts are told of each guest
  const verb = VERBS.find((each) => line.startsWith(each))?.[1]
  const space = line.indexOf(' ', NAME_AT)
  const name = line.slice(NAME_AT, space < 0 ? undefined : space)
  const rest = space < 0 ? '' : line.slice(space + 1)
  if (!verb || !name) throw refused(line, 'not understood')
  if (verb === 'N') {
    put(name, { policy: '-', rules: [] })
    return undefined
  }
  const there = table[name]
  if (!there) throw refused(line, `there is no chain ${name}`)
  const chain = verb === 'X' || before.has(name) ? there : put(name, { ...there, rules: [...there.rules] })
  if (verb === 'A') {
    chain.rules.push(rest.trim())
    return rest.trim()
  }
  if (verb === 'I') {
    const numbered = POSITION.test(rest)
    const position = numbered ? Number.parseInt(rest, 10) : 1
    const rule = (numbered ? rest.slice(rest.indexOf(' ')) : rest).trim()
    if (position > chain.rules.length + 1) throw refused(line, 'there is no such position')
    chain.rules.splice(position - 1, 0, rule)
    return rule
  }
  if (verb === 'F') chain.rules = []
  else if (verb === 'D') {
    const at = chain.rules.indexOf(rest.trim())
    if (at < 0) throw refused(line, 'there is no such rule')
    chain.rules.splice(at, 1)
  } else {
    const user = Object.entries(table).find(([, each]) => each.rules.some((rule) => targetOf(rule) === name))
    if (chain.rules.length || user) throw refused(line, user ? `${user[0]} still jumps to it` : 'it is not empty')
    if (!before.has(name)) before.set(name, there)
    delete table[name]
  }
  return undefined
}

function checkTarget(table: Tables[string], rule: string): void {
  if (rule.endsWith('-j ACCEPT') || rule.endsWith('-j RETURN')) return
  const target = targetOf(rule)
  if (target && !VERDICTS.has(target) && !table[target]) throw refused(rule, `there is no chain ${target}`)
}

const refused = (line: string, why: string) => new Fault(500, 'RestoreFailed', `${JSON.stringify(line)} is refused: ${why}`)
