import { spawn } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianKernel } from '../src/drivers/lvm/guest-testing.ts'
import { buildDebianGuest } from '../src/guest/build-debian.ts'
import { buildTinyGuest } from '../src/guest/build-tiny.ts'
import { startMariaDb } from './mariadb.ts'
import { roomyMemory } from './memory.ts'

interface Counts {
  passed: number
  failed: number
  skipped: number
}

interface Stage {
  name: string
  run: () => Promise<Counts>
}

const node = process.execPath
const quiet = ['--disable-warning=ExperimentalWarning']
const work = mkdtempSync(join(tmpdir(), 'yun-test-'))

function child(argv: string[], env: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const process_ = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } })
    process_.once('error', reject)
    process_.once('exit', (code) => resolve(code ?? 1))
  })
}

async function check(...commands: string[][]): Promise<Counts> {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const command of commands) (await child(command)) === 0 ? counts.passed++ : counts.failed++
  return counts
}

/** Runs test files in one `node --test`; `around` is put before it (a machine of its own). */
async function tests(
  files: string[],
  options: { env?: Record<string, string>; around?: string[]; concurrency?: number } = {},
): Promise<Counts> {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0 }
  const report = join(work, `counts-${Math.random().toString(36).slice(2)}.json`)
  const code = await child(
    [
      ...(options.around ?? []),
      node,
      ...quiet,
      '--test',
      '--test-reporter=./test/reporter.ts',
      `--test-concurrency=${options.concurrency ?? 2}`,
      ...files,
    ],
    { ...options.env, YUN_TEST_COUNTS: report },
  )
  try {
    const counts: Counts = JSON.parse(readFileSync(report, 'utf8'))
    return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts
  } catch {
    return { passed: 0, failed: 1, skipped: 0 }
  }
}

/** OpenStack's own tests, by the command that keeps their results. */
async function tempest(...args: string[]): Promise<Counts> {
  const report = join(work, 'conformance.json')
  rmSync(report, { force: true })
  const code = await child([node, ...quiet, 'conformance/main.ts', '--quiet', '--no-record', ...args], { YUN_TEST_COUNTS: report })
  try {
    return JSON.parse(readFileSync(report, 'utf8'))
  } catch {
    return { passed: 0, failed: code === 0 ? 0 : 1, skipped: 0 }
  }
}

const ofKind = (real: boolean) =>
  globSync('src/**/*.test.ts')
    .filter((file) => file.endsWith('.real.test.ts') === real)
    .sort()
const isolated = [node, ...quiet, 'src/host/machine/isolated.ts', '--']

/** Real components run one file after the other, each on a machine of its own: two cores do not carry more guests at once. */
async function oneByOne(files: string[]): Promise<Counts> {
  const total = { passed: 0, failed: 0, skipped: 0 }
  for (const file of files) {
    const started = performance.now()
    const counts = await tests([file], { around: isolated, concurrency: 1 })
    console.log(`    ${file}: ${counts.passed} passed, ${counts.failed} failed (${((performance.now() - started) / 1000).toFixed(1)} s)`)
    for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key]
  }
  return total
}

const stages: Stage[] = [
  {
    name: 'check',
    run: () =>
      check(['node_modules/.bin/tsc', '--noEmit'], ['node_modules/.bin/biome', 'check', '--error-on-warnings', '--reporter=summary', '.']),
  },
  {
    name: 'unit',
    async run() {
      const mariadb = await startMariaDb()
      const files = mkdtempSync(join(roomyMemory(), 'yun-'))
      try {
        return await tests([...ofKind(false), ...globSync('conformance/*.test.ts')], {
          env: { YUN_TEST_MYSQL: mariadb.url, TMPDIR: files },
          concurrency: 2,
        })
      } finally {
        rmSync(files, { recursive: true, force: true })
        await mariadb.stop()
      }
    },
  },
  { name: 'clients', run: () => tests(globSync('test/clients/*.test.ts').sort()) },
  {
    name: 'real',
    async run() {
      // a machine of its own has no way to Debian's packages: what is made of them is made before
      await buildTinyGuest()
      await debianKernel()
      return await oneByOne(ofKind(true))
    },
  },
  {
    name: 'cloud',
    async run() {
      await buildTinyGuest()
      await buildDebianGuest()
      return await oneByOne(globSync('test/cloud/*.test.ts').sort())
    },
  },
  {
    name: 'conformance',
    async run() {
      const [simulated, real] = [await tempest('--simulated', 'interop'), await tempest('@conformance/real.txt')]
      return {
        passed: simulated.passed + real.passed,
        failed: simulated.failed + real.failed,
        skipped: simulated.skipped + real.skipped,
      }
    },
  },
]

const chosen = process.argv.slice(2)
const unknown = chosen.filter((name) => !stages.some((stage) => stage.name === name))
if (unknown.length > 0) {
  console.error(`no stage ${unknown.join(', ')}; there are: ${stages.map((stage) => stage.name).join(', ')}`)
  process.exit(2)
}
const total: Counts = { passed: 0, failed: 0, skipped: 0 }
const lines: string[] = []
for (const stage of stages.filter((one) => chosen.length === 0 || chosen.includes(one.name))) {
  console.log(`== ${stage.name}`)
  const started = performance.now()
  const counts = await stage.run()
  lines.push(
    `${stage.name.padEnd(11)} ${String(counts.passed).padStart(5)} passed ${String(counts.failed).padStart(3)} failed  ${((performance.now() - started) / 1000).toFixed(1)} s`,
  )
  console.log(`   ${lines.at(-1)}`)
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key]
}
rmSync(work, { recursive: true, force: true })
console.log(`\n${lines.join('\n')}\n`)
console.log(`${total.passed} passed, ${total.failed} failed${total.skipped ? `, ${total.skipped} skipped` : ''}`)
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0)
