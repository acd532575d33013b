import type { Outcome, Status } from './outcome.ts'
import { GROUPS, groupOf, interop } from './tests.ts'

/** docs/conformance.md: what became of each test when it last ran. What passed is only counted, all else has its line, so that a run of some tests can be entered into the whole. */
export type Book = Map<Guests, Map<string, Outcome | null>>
export type Guests = 'real' | 'simulated'

const HEADS: Record<Guests, string> = { real: 'Real components', simulated: 'Simulated guests, networks and disks' }
const ORDER: Status[] = ['failed', 'skipped']
const NOT_RUN = 'not run'

/** @param names all tests of the groups: what the text does not name has passed, if the text knows these guests at all */
export function readBook(text: string, names: string[]): Book {
  const book: Book = new Map()
  for (const guests of Object.keys(HEADS) as Guests[]) {
    const chapter = text.split(/^## /m).find((part) => part.startsWith(HEADS[guests]))
    const entries = new Map<string, Outcome | null>(names.map((name) => [name, chapter ? { status: 'passed', why: '' } : null]))
    for (const [, name, status, why] of chapter?.matchAll(/^\| `(\S+)` \| (.+?) \| ?(.*?) ?\|$/gm) ?? [])
      if (entries.has(name!)) entries.set(name!, status === NOT_RUN ? null : { status: status as Status, why: why!.replaceAll('\\|', '|') })
    if (chapter) book.set(guests, entries)
  }
  return book
}

/** Enters a run's outcomes. */
export function enter(book: Book, guests: Guests, names: string[], found: Map<string, Outcome>): void {
  const entries = book.get(guests) ?? new Map<string, Outcome | null>(names.map((name) => [name, null]))
  for (const [name, outcome] of found) entries.set(name, outcome)
  book.set(guests, entries)
}

export interface Row {
  what: string
  passed: number
  failed: number
  skipped: number
  notRun: number
}

/** A row for the interoperability list, then one for each group. */
export function rows(entries: Map<string, Outcome | null>): Row[] {
  const all = [...entries]
  const marked = new Set(interop())
  const parts: [string, [string, Outcome | null][]][] = [
    ['OpenStack Powered Compute', all.filter(([name]) => marked.has(name))],
    ...GROUPS.map((group): [string, [string, Outcome | null][]] => [group, all.filter(([name]) => groupOf(name) === group)]),
  ]
  return parts.map(([what, part]) => {
    const count = (status: Status) => part.filter(([, outcome]) => outcome?.status === status).length
    return {
      what,
      passed: count('passed'),
      failed: count('failed'),
      skipped: count('skipped'),
      notRun: part.filter(([, outcome]) => !outcome).length,
    }
  })
}

export function writeBook(book: Book): string {
  return `# What OpenStack's own tests say

Written by \`npm run conformance\`: tempest 33.0.0, as Debian 12 has it, against a Yun that the command starts. A skipped test has not passed: the configuration switches on what
works and hides nothing. The first row are the ${interop().length} tests that stood behind the mark "OpenStack Powered Compute" ([the list](../conformance/interop.txt)); they are counted in their groups as well.
${[...book].map(chapter).join('')}`
}

function chapter([guests, entries]: [Guests, Map<string, Outcome | null>]): string {
  const summary = rows(entries).map((row) => `| ${row.what} | ${row.passed} | ${row.failed} | ${row.skipped} | ${row.notRun} |`)
  const list = GROUPS.map((group) => {
    const lines = [...entries]
      .filter(([name, outcome]) => groupOf(name) === group && outcome?.status !== 'passed')
      .sort(([a, left], [b, right]) => rank(left) - rank(right) || (a < b ? -1 : 1))
      .map(([name, outcome]) => `| \`${name}\` | ${outcome?.status ?? NOT_RUN} | ${outcome?.why.replaceAll('|', '\\|') ?? ''} |`)
    return lines.length === 0 ? '' : `\n### ${group}\n\n| test | | why |\n|---|---|---|\n${lines.join('\n')}\n`
  })
  return `\n## ${HEADS[guests]}\n\n| tests | passed | failed | skipped | not run |\n|---|---:|---:|---:|---:|\n${summary.join('\n')}\n${list.join('')}`
}

const rank = (outcome: Outcome | null) => (outcome ? ORDER.indexOf(outcome.status) : ORDER.length)
