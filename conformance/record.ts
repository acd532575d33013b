import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Outcome, Status } from './outcome.ts'
import { reasonFor } from './reasons.ts'
import { GROUPS, groupOf, interop } from './tests.ts'

/** What became of each test when it last ran; a test that is not there has not run. */
export type Book = Map<Guests, Map<string, Outcome>>
export type Guests = 'real' | 'simulated'

const HEADS: Record<Guests, string> = { real: 'Real components', simulated: 'Simulated guests, networks and disks' }
const KINDS = Object.keys(HEADS) as Guests[]
const ORDER: Status[] = ['failed', 'skipped']

/** A line for each test: name, status, and why it did not pass, with tabs between. */
export const writeResults = (entries: Map<string, Outcome>): string =>
  [...entries]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { status, why }]) => `${name}\t${status}${why ? `\t${why}` : ''}\n`)
    .join('')

/** @param names all tests that there are: what others became is forgotten */
export function readResults(text: string, names: string[]): Map<string, Outcome> {
  const known = new Set(names)
  const lines = text.split('\n').map((line) => line.split('\t'))
  return new Map(
    lines.flatMap(([name, status, why = '']): [string, Outcome][] =>
      known.has(name!) ? [[name!, { status: status as Status, why }]] : [],
    ),
  )
}

const fileOf = (dir: string, guests: Guests) => join(dir, `${guests}.tsv`)

/** @param dir with a file for each kind of guests */
export function readBook(dir: string, names: string[]): Book {
  const files = KINDS.filter((guests) => existsSync(fileOf(dir, guests)))
  return new Map(files.map((guests) => [guests, readResults(readFileSync(fileOf(dir, guests), 'utf8'), names)]))
}

export function keepBook(dir: string, book: Book): void {
  mkdirSync(dir, { recursive: true })
  for (const [guests, entries] of book) writeFileSync(fileOf(dir, guests), writeResults(entries))
}

/** Enters a run's outcomes. */
export function enter(book: Book, guests: Guests, found: Map<string, Outcome>): void {
  book.set(guests, new Map([...(book.get(guests) ?? []), ...found]))
}

export interface Row {
  what: string
  passed: number
  failed: number
  skipped: number
  notRun: number
}

/** A row for the interoperability list, then one for each group. @param names all tests that there are */
export function rows(entries: Map<string, Outcome>, names: string[]): Row[] {
  const marked = new Set(interop())
  const parts: [string, string[]][] = [
    ['OpenStack Powered Compute', names.filter((name) => marked.has(name))],
    ...GROUPS.map((group): [string, string[]] => [group, names.filter((name) => groupOf(name) === group)]),
  ]
  return parts.map(([what, part]) => {
    const count = (status: Status) => part.filter((name) => entries.get(name)?.status === status).length
    return {
      what,
      passed: count('passed'),
      failed: count('failed'),
      skipped: count('skipped'),
      notRun: part.filter((name) => !entries.has(name)).length,
    }
  })
}

/** docs/conformance.md: counts of all, and what ran and did not pass. */
export function showBook(book: Book, names: string[]): string {
  const chapters = KINDS.flatMap((guests) => (book.has(guests) ? [chapter(guests, book.get(guests)!, names)] : []))
  return `# What OpenStack's own tests say

Written by \`npm run conformance\`: tempest 33.0.0, as Debian 12 has it, against a Yun that the command starts. A skipped test has not passed: the configuration switches on what
works and hides nothing. The first row are the ${interop().length} tests that stood behind the mark "OpenStack Powered Compute" ([the list](../conformance/interop.txt)); they are counted in their groups as well.
Below the counts is what ran and did not pass, and why: what is not there, as far as it is [said](../conformance/reasons.txt), and what tempest says; what became of each test is in [conformance/results](../conformance/results).
${chapters.join('')}`
}

function chapter(guests: Guests, entries: Map<string, Outcome>, names: string[]): string {
  const summary = rows(entries, names).map((row) => `| ${row.what} | ${row.passed} | ${row.failed} | ${row.skipped} | ${row.notRun} |`)
  const list = GROUPS.map((group) => {
    const lines = [...entries]
      .filter(([name, { status }]) => groupOf(name) === group && status !== 'passed')
      .sort(([a, left], [b, right]) => ORDER.indexOf(left.status) - ORDER.indexOf(right.status) || (a < b ? -1 : 1))
      .map(
        ([name, { status, why }]) =>
          `| \`${name}\` | ${status} | ${[reasonFor(name), why].filter(Boolean).join(' ').replaceAll('|', '\\|')} |`,
      )
    return lines.length === 0 ? '' : `\n### ${group}\n\n| test | | why |\n|---|---|---|\n${lines.join('\n')}\n`
  })
  return `\n## ${HEADS[guests]}\n\n| tests | passed | failed | skipped | not run |\n|---|---:|---:|---:|---:|\n${summary.join('\n')}\n${list.join('')}`
}
