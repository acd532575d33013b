import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Ran } from '../cloud-under-test.ts'

/**
 * A transcript is a day's work with a client: commands as they are typed, each with the names of the fields that OpenStack's answer has.
 *
 *     ## servers
 *     $ one := openstack server create one --flavor m1.tiny
 *       id | name | status
 *     until status=ACTIVE $ openstack server show one
 *     $ openstack server show {one.id} -c nothing
 *       ! what the client says when it fails
 *
 * A list's fields are its header; what prints one thing has them in its first column. `#` begins a comment.
 */
export interface Section {
  title: string
  steps: Step[]
}

export interface Step {
  /** The line as it is written, without what it is expected to print. */
  text: string
  line: number
  keptAs: string | null
  until: { field: string; value: string } | null
  argv: string[]
  expected: string | null
}

const LIBRARIES = ['sdk', 'libcloud']
const COMMAND = /^(?:until (?<field>[^=]+)=(?<value>\S+) )?\$ (?:(?<kept>\w+) := )?(?<command>.+)$/

/** @throws Error on a line that is neither a command nor about one */
export function parse(text: string): Section[] {
  const sections: Section[] = []
  for (const [i, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('# ')) continue
    const section = sections.at(-1)
    const { groups } = COMMAND.exec(line) ?? {}
    if (line.startsWith('## ')) sections.push({ title: line.slice(3), steps: [] })
    else if (section && groups)
      section.steps.push({
        text: line,
        line: i + 1,
        keptAs: groups.kept ?? null,
        until: groups.field ? { field: groups.field, value: groups.value! } : null,
        argv: words(groups.command!),
        expected: null,
      })
    else if (section?.steps.length && line.startsWith('  ')) section.steps.at(-1)!.expected = line.trim()
    else throw new Error(`line ${i + 1} is no command: ${line}`)
  }
  return sections
}

/** What is between spaces; in single quotes a space is a letter like others. A call of a library is one word. */
function words(command: string): string[] {
  const [, program, call] = /^(\S+) (.*)$/.exec(command) ?? []
  if (program && LIBRARIES.includes(program)) return [program, call!]
  return [...command.matchAll(/(?:'[^']*'|[^\s'])+/g)].map((match) => match[0].replaceAll("'", ''))
}

/** The cells of a table that a client drew, header first. */
export function cells(output: string): string[][] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .slice(2, -2)
        .split(' | ')
        .map((cell) => cell.trim()),
    )
}

const aboutOne = (table: string[][]) => /^(Field|Property) Value$/.test((table[0] ?? []).join(' '))

/** In the words of a transcript: the names of the fields in their order, or the last words of one who failed. */
export function shape(ran: Ran): string | null {
  if (ran.code !== 0) return `! ${masked(ran.stderr.trim().split('\n').at(-1)!)}`
  const table = cells(ran.stdout)
  const names = aboutOne(table) ? table.slice(1).map((row) => row[0]!) : (table[0] ?? [])
  return names.filter(Boolean).join(' | ') || null
}

/** The values of a thing that was printed, by field; of a list, those of its first row. */
export function values(ran: Ran): Record<string, string> {
  const [header, ...rows] = cells(ran.stdout)
  if (aboutOne([header!])) return Object.fromEntries(rows.map(([field, value]) => [field, value ?? '']))
  return Object.fromEntries((header ?? []).map((field, i) => [field, rows[0]?.[i] ?? '']))
}

const masked = (text: string) =>
  text
    .replace(/req-[0-9a-f-]{36}/g, 'REQUEST')
    .replace(/\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b/g, 'ID')
    .replace(/https?:\/\/[^\s,]+/g, 'URL')

/** The interpreter in which the clients run, with a cloud's credentials in its environment. */
export class Desk {
  private readonly python: ChildProcessWithoutNullStreams
  private readonly answers: AsyncIterator<string>
  private readonly kept = new Map<string, Record<string, string>>()

  constructor(env: Record<string, string>) {
    this.python = spawn('/usr/bin/python3', [join(import.meta.dirname, 'desk.py')], { env: { ...process.env, ...env, COLUMNS: '10000' } })
    this.python.stderr.pipe(process.stderr)
    this.answers = createInterface(this.python.stdout)[Symbol.asyncIterator]()
  }

  /** For `{name.field}` in the commands. */
  keep(name: string, fields: Record<string, string>): void {
    this.kept.set(name, fields)
  }

  async run(argv: string[]): Promise<Ran> {
    this.python.stdin.write(`${JSON.stringify(argv)}\n`)
    const { value, done } = await this.answers.next()
    if (done) throw new Error('the clients’ interpreter ended')
    return JSON.parse(value)
  }

  /** Does a step; one that waits is asked again until it is so. @throws Error when it is not so within a minute */
  async step(step: Step): Promise<Ran> {
    const argv = step.argv.map((word) => word.replace(/\{(\w+)\.([^}]+)\}/g, (_, name, field) => this.value(name, field)))
    const end = Date.now() + 60_000
    for (;;) {
      const ran = await this.run(argv)
      const now = values(ran)
      if (step.keptAs) this.keep(step.keptAs, now)
      if (!step.until || now[step.until.field] === step.until.value) return ran
      if (Date.now() > end || now[step.until.field] === 'ERROR')
        throw new Error(`line ${step.line}: ${step.text}\n${ran.stdout}${ran.stderr}`)
    }
  }

  private value(name: string, field: string): string {
    const value = this.kept.get(name)?.[field]
    if (value === undefined) throw new Error(`nothing was kept as ${name}.${field}`)
    return value
  }

  async close(): Promise<void> {
    this.python.stdin.end()
    await new Promise((done) => this.python.once('exit', done))
  }
}
