import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { table } from '../src/cli/table.ts'
import { guestImage } from '../src/cloud/guest-image.ts'
import type { Outcome } from './outcome.ts'
import { enter, type Guests, keepBook, readBook, rows, showBook } from './record.ts'
import { run } from './run.ts'
import { GROUPS } from './tests.ts'

const HELP = `Runs OpenStack's own tests, tempest 33.0.0 of Debian 12, against a cloud that it starts, prints a table, and keeps the results in conformance/results and docs/conformance.md.

Usage: npm run conformance -- [options] [FILTER ...]

  FILTER              interop (the tests behind "OpenStack Powered Compute"), a group (${GROUPS.join(', ')}),
                      @FILE with a list of tests, or a regular expression on their names; without filters all tests run
  --simulated         a cloud that plays guests, networks and disks: no root needed, and fast
  --hosts N           compute hosts: real ones on machines inside this one, as yun lab makes them (1; simulated 2)
  --concurrency N     test classes at a time (2; simulated 6: most of the time tempest sleeps)
  --keep DIR          leaves tempest's configuration and log and the cloud's log there
  --no-record         leaves conformance/results and docs/conformance.md as they are
  --quiet             names only what did not pass

Without --simulated everything is real (root), on a machine of its own inside this one: guests boot, and tempest logs into them.
`
const PAGE = join(import.meta.dirname, '../docs/conformance.md')
const RESULTS = join(import.meta.dirname, 'results')

process.exitCode = await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message)
  return 2
})

async function main(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      simulated: { type: 'boolean' },
      hosts: { type: 'string' },
      concurrency: { type: 'string' },
      keep: { type: 'string' },
      'no-record': { type: 'boolean' },
      quiet: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const [hosts, concurrency] = [
    atLeastOne('hosts', values, values.simulated ? 2 : 1),
    atLeastOne('concurrency', values, values.simulated ? 6 : 2),
  ]
  if (!values.simulated && process.getuid?.() !== 0) throw new Error('real guests need root: run it with sudo, or with --simulated')
  const imageFile = values.simulated ? null : await guestImage((text) => console.log(text))
  if (imageFile && !process.env.YUN_ISOLATED) return await onMachineOfItsOwn(argv)

  const keep = values.keep ? resolve(values.keep) : null
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort(new Error(`ended by ${signal}`)))
  const say = (line: string, passed: boolean) => {
    if (!passed || !values.quiet) console.log(line)
  }
  const { all, found } = await run({ filters: positionals, imageFile, hosts, concurrency, keep, stop: stopping.signal, say })
  const guests: Guests = imageFile ? 'real' : 'simulated'
  if (!values['no-record']) {
    const book = readBook(RESULTS, all)
    enter(book, guests, found)
    keepBook(RESULTS, book)
    writeFileSync(PAGE, showBook(book, all))
  }
  const counts = rows(found, all).filter((row) => row.passed + row.failed + row.skipped > 0)
  console.log(
    `\n${table(
      ['Tests', 'Passed', 'Failed', 'Skipped'],
      counts.map((row) => [row.what, ...[row.passed, row.failed, row.skipped].map(String)]),
    )}`,
  )
  if (process.env.YUN_TEST_COUNTS) writeFileSync(process.env.YUN_TEST_COUNTS, JSON.stringify(countsOf([...found.values()])))
  return [...found.values()].every(({ status }) => status === 'passed') ? 0 : 1
}

function atLeastOne<Name extends string>(name: Name, values: { [name in Name]?: string }, preset: number): number {
  const number = Number(values[name] ?? preset)
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} ${values[name]}: a whole number is needed`)
  return number
}

/** As the stages of npm test read them. */
function countsOf(outcomes: Outcome[]): Record<string, number> {
  const statuses = ['passed', 'failed', 'skipped'] as const
  return Object.fromEntries(statuses.map((status) => [status, outcomes.filter((one) => one.status === status).length]))
}

function onMachineOfItsOwn(argv: string[]): Promise<number> {
  const node = [process.execPath, ...process.execArgv]
  const isolated = join(import.meta.dirname, '../src/host/machine/isolated.ts')
  const child = spawn(node[0]!, [...node.slice(1), isolated, '--', ...node, import.meta.filename, ...argv], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((done, fail) => child.once('error', fail).once('exit', (code) => done(code ?? 1)))
}
