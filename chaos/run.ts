import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Api } from '../src/cli/api.ts'
import { table } from '../src/cli/table.ts'
import { loadSecrets } from '../src/cloud/secrets.ts'
import { type LabCloud, startLabCloud } from '../src/lab/lab-cloud.ts'
import { Load } from './load.ts'

/**
 * A cluster in a lab under load, and one thing after the other is taken from it: what fails, how long until servers are made again, and what is stuck, lost or left over
 * when all is back. Hosts play their guests; everything else is real. Arguments: names of the blows, all by default.
 */
interface Blow {
  name: string
  strike(cloud: LabCloud): Promise<unknown> | unknown
  heal(cloud: LabCloud): Promise<unknown>
  /** ms between the two (default 6 000). */
  lastsMs?: number
}

const BLOWS: Blow[] = [
  { name: 'control process', strike: ({ controls }) => controls[0]!.kill(), heal: ({ controls }) => controls[0]!.start() },
  { name: 'other control process', strike: ({ controls }) => controls[1]!.kill(), heal: ({ controls }) => controls[1]!.start() },
  { name: 'host agent', strike: ({ hosts }) => hosts[0]!.kill(), heal: ({ hosts }) => hosts[0]!.start() },
  { name: 'RabbitMQ node', strike: ({ cluster }) => cluster!.brokers.kill(1), heal: ({ cluster }) => cluster!.brokers.start(1) },
  { name: 'Galera node', strike: ({ cluster }) => cluster!.galera.kill(0), heal: ({ cluster }) => cluster!.galera.start(0) },
  {
    name: "a host's network",
    strike: ({ lab }) => lab.hosts[1]!.cut(true),
    heal: ({ lab }) => lab.hosts[1]!.cut(false),
  },
  {
    name: 'network between control processes',
    strike: ({ lab }) => lab.part(lab.controls, true),
    heal: ({ lab }) => lab.part(lab.controls, false),
  },
  {
    name: "a control process's network",
    strike: ({ lab }) => lab.controls[0]!.cut(true),
    heal: ({ lab }) => lab.controls[0]!.cut(false),
  },
  {
    name: 'rolling restart',
    async strike({ controls, hosts }) {
      for (const one of [...controls, ...hosts]) {
        await one.stop()
        await one.start()
      }
    },
    heal: async () => {},
    lastsMs: 0,
  },
]

const AGAIN_MS = 90_000
const WORKERS = 2

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
let bad = 0
try {
  const login = { url: cloud.url, password: loadSecrets(cloud.sharedDir).adminPassword }
  const operator = new Api({ ...login, username: 'admin', project: 'demo' })
  const load = await Load.prepare(login)
  const rows: string[][] = []
  for (const blow of blows) rows.push(await suffer(blow, load.again(), operator))
  console.log(
    `\n${table(['Taken away', 'Reads', 'failed', 'Writes', 'failed', 'Made', 'in ERROR', 'Creates again', 'Stuck', 'Leaks', 'Lost'], rows)}`,
  )
} finally {
  await cloud.stop()
  rmSync(dir, { recursive: true, force: true })
}
console.log(bad === 0 ? '\nnothing stuck, leaked or lost, and no read failed' : `\n${bad} things that must not be`)
process.exit(bad === 0 ? 0 : 1)

async function suffer(blow: Blow, load: Load, operator: Api): Promise<string[]> {
  load.start(WORKERS)
  const calm = performance.now()
  while (load.workedAgain(calm) === null) await pause(50)
  const since = performance.now()
  await blow.strike(cloud)
  const struck = blow.lastsMs === 0 ? performance.now() : since
  const healing = pause(blow.lastsMs ?? 6_000).then(() => blow.heal(cloud))
  while (load.workedAgain(struck) === null && performance.now() - struck < AGAIN_MS) await pause(20)
  const again = load.workedAgain(since)
  await healing
  await pause(1_000)
  await load.stop()
  const { stuck, leaks } = await atRest(operator)
  const { reads, readsFailed, writes, writesFailed, made, errors, lost, why } = load.counts
  bad += stuck + leaks + lost + readsFailed
  const row = [reads, readsFailed, writes, writesFailed, made, errors].map(String)
  console.log(
    `${blow.name}: creates work again after ${again === null ? `more than ${AGAIN_MS / 1000}` : (again / 1000).toFixed(1)} s; ${readsFailed} of ${reads} reads and ${writesFailed} of ${writes} writes failed; ${stuck} stuck, ${leaks} leaks, ${lost} lost`,
  )
  for (const [text, count] of why) console.log(`  ${count} x ${text}`)
  return [blow.name, ...row, again === null ? 'never' : `${(again / 1000).toFixed(1)} s`, String(stuck), String(leaks), String(lost)]
}

/** What is left when nobody wants anything any more and a minute had its chance to tidy up. */
async function atRest(operator: Api): Promise<{ stuck: number; leaks: number }> {
  const until = performance.now() + 60_000
  for (;;) {
    const { servers } = await operator.get('/compute/v2.1/servers/detail?all_tenants=1')
    const { leaks } = await operator.get('/doctor/v1/leaks')
    if ((servers.length === 0 && leaks.length === 0) || performance.now() > until) {
      for (const one of servers)
        console.log(`  stuck: ${one.name} ${one.status} ${one['OS-EXT-STS:task_state']} on ${one['OS-EXT-SRV-ATTR:host']}`)
      for (const one of leaks) console.log(`  leak: ${one.kind} ${one.name} on ${one.where}: ${one.why}`)
      return { stuck: servers.length, leaks: leaks.length }
    }
    await pause(500)
  }
}
