import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Api } from '../src/cli/api.ts'
import { table } from '../src/cli/table.ts'
import { loadSecrets } from '../src/cloud/secrets.ts'
import { LAB_STATE } from '../src/host/machine/lab.ts'
import { startLabCloud } from '../src/lab/lab-cloud.ts'
import { AGAIN_MS, BLOWS, suffer, wrongsOf } from './blows.ts'
import { Load } from './load.ts'

/**
 * A cluster in a lab under load, and one thing after the other is taken from it: what fails, how long until servers are made again, and what is stuck, lost or left over
 * when all is back. Hosts play their guests; everything else is real. Arguments: names of the blows, all by default.
 */
const asked = process.argv.slice(2)
const blows = BLOWS.filter(({ name }) => asked.length === 0 || asked.includes(name))
if (process.getuid?.() !== 0 || blows.length === 0 || asked.some((one) => !BLOWS.some(({ name }) => name === one))) {
  console.error(`run it as root; blows: ${BLOWS.map(({ name }) => `"${name}"`).join(' ')}`)
  process.exit(2)
}

const dir = mkdtempSync(join(tmpdir(), 'yun-chaos-'))
const cloud = await startLabCloud({
  dir: join(dir, 'lab'),
  hosts: 2,
  cluster: true,
  port: 5050,
  settings: { hypervisor: 'simulated' },
  say: (text) => console.log(text),
})
const wrongs: string[] = []
try {
  const login = { url: cloud.url, password: loadSecrets(cloud.sharedDir).adminPassword }
  const operator = new Api({ ...login, username: 'admin', project: 'demo' })
  const load = await Load.prepare(login)
  const rows: string[][] = []
  for (const blow of blows) {
    const outcome = await suffer(blow, cloud, load.again(), operator)
    const wrong = wrongsOf(outcome)
    wrongs.push(...wrong)
    const { counts, againMs, slowest, stuck, leaks } = outcome
    const again = againMs === null ? `more than ${AGAIN_MS / 1000} s` : `${(againMs / 1000).toFixed(1)} s`
    console.log(`${blow.name}: creates work again after ${again}`)
    if (slowest.where) console.log(`  the slowest create, ${(slowest.ms / 1000).toFixed(1)} s: ${slowest.where}`)
    for (const [text, count] of counts.why) console.log(`  ${count} x ${text}`)
    for (const text of wrong) console.log(`  ${text}`)
    const { reads, readsFailed, writes, writesFailed, made, errors, lost } = counts
    const figures = [
      reads,
      readsFailed,
      writes,
      writesFailed,
      made,
      errors,
      again,
      `${(slowest.ms / 1000).toFixed(1)} s`,
      stuck.length,
      leaks.length,
      lost,
    ]
    rows.push([blow.name, ...figures.map(String)])
  }
  const heads = [
    'Taken away',
    'Reads',
    'failed',
    'Writes',
    'failed',
    'Made',
    'in ERROR',
    'Creates again',
    'Slowest',
    'Stuck',
    'Leaks',
    'Lost',
  ]
  console.log(`\n${table(heads, rows)}`)
} finally {
  if (wrongs.length > 0) keepLogs()
  await cloud.stop()
  rmSync(dir, { recursive: true, force: true })
}
console.log(wrongs.length === 0 ? '\nnothing stuck, leaked or lost, and no read failed' : `\n${wrongs.length} things that must not be`)
process.exit(wrongs.length === 0 ? 0 : 1)

/** What the processes wrote, for who looks for the cause. */
function keepLogs(): void {
  const kept = mkdtempSync(join(tmpdir(), 'yun-chaos-logs-'))
  for (const { name, stateDir } of cloud.controls) copyFileSync(join(stateDir, 'yun.log'), join(kept, `${name}.log`))
  for (const { name, machine } of cloud.hosts) copyFileSync(machine.machine.path(join(LAB_STATE, 'yun.log')), join(kept, `${name}.log`))
  console.log(`logs: ${kept}`)
}
