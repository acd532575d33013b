import { badRequest, Fault, notFound } from '../../kernel/errors/errors.ts'
import { ExecError, exec } from '../../kernel/exec/exec.ts'
import { destination, namespaceName } from '../netns/words.ts'
import type { Family, IpTables, Restore, Tables } from './driver.ts'

/** iptables and ip6tables of this machine; needs root. */
export function realIpTables(): IpTables {
  return {
    async save(namespace, family) {
      const { stdout } = await exec(program(family, 'save'), [], namespace === undefined ? {} : { netns: namespaceName(namespace) }).catch(
        explained(namespace, ''),
      )
      return parse(stdout)
    },
    async restore(namespace, family, tables, { noflush = false } = {}) {
      const input = textOf(tables)
      // the lock of the legacy back end is waited for; the nftables one has none
      const args = ['-w', '10', ...(noflush ? ['--noflush'] : [])]
      await exec(program(family, 'restore'), args, {
        input,
        ...(namespace === undefined ? {} : { netns: namespaceName(namespace) }),
      }).catch(explained(namespace, input))
    },
    async translations(namespace) {
      const where = namespace === undefined ? {} : { netns: namespaceName(namespace) }
      const { stdout } = await exec('conntrack', ['-L', '-f', 'ipv4', '--src-nat'], where).catch(explained(namespace, ''))
      return stdout.split('\n').flatMap((line) => {
        const [source, , , translatedTo] = [...line.matchAll(/\b(?:src|dst)=(\S+)/g)].map((match) => match[1]!)
        const destination = /\bdst=(\S+)/.exec(line)?.[1]
        return source && destination && translatedTo ? [{ source, destination, translatedTo }] : []
      })
    },
    async cut(namespace, which) {
      const where = namespace === undefined ? {} : { netns: namespaceName(namespace) }
      const [option, value] =
        'zone' in which
          ? ['-w', String(which.zone)]
          : 'source' in which
            ? ['-s', destination(which.source)]
            : ['-d', destination(which.destination)]
      const families = 'zone' in which ? ['ipv4', 'ipv6'] : [value.includes(':') ? 'ipv6' : 'ipv4']
      // it ends with 1 when there is nothing to forget
      for (const family of families) await exec('conntrack', ['-D', '-f', family, option, value], { ...where, ok: [0, 1] })
    },
  }
}

const program = (family: Family, what: 'save' | 'restore') => `ip${family === 6 ? '6' : ''}tables-${what}`

const NO_LINE = /[\n\r\0]|^\s*$/

/** @throws Fault 400 BadRule for what would be no line, or several */
export function assertLines(tables: Restore): void {
  for (const lines of Object.values(tables))
    for (const line of lines) if (NO_LINE.test(line)) throw badRequest(`${JSON.stringify(line)} is not one rule.`, 'BadRule')
}

function textOf(tables: Restore): string {
  assertLines(tables)
  return Object.entries(tables)
    .map(([table, lines]) => [`*${table}`, ...lines, 'COMMIT', ''].join('\n'))
    .join('')
}

function parse(text: string): Tables {
  const tables: Tables = {}
  let table: Tables[string] = {}
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = tables[line.slice(1)] = {}
    const [, chain, policy] = /^:(\S+) (\S+)/.exec(line) ?? []
    if (chain && policy) table[chain] = { policy, rules: [] }
    const [, owner, rule] = /^-A (\S+) (.*)$/.exec(line) ?? []
    if (owner && rule !== undefined) table[owner]?.rules.push(rule.trimEnd())
  }
  return tables
}

const explained = (namespace: string | undefined, input: string) => (error: unknown) => {
  if (!(error instanceof ExecError)) throw error
  if (/Cannot open network namespace/.test(error.stderr)) throw notFound(`There is no network namespace ${namespace}.`, 'NoSuchNamespace')
  const line = Number(/line:? (\d+)/i.exec(error.stderr)?.[1])
  const refused = input.split('\n')[line - 1]
  throw new Fault(
    500,
    'RestoreFailed',
    `${refused ? `${JSON.stringify(refused)} is refused: ` : ''}${error.stderr.trim() || error.message}`,
    { cause: error },
  )
}
