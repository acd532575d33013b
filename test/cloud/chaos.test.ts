import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { BLOWS, suffer, wrongsOf } from '../../chaos/blows.ts'
import { Load } from '../../chaos/load.ts'
import { Api } from '../../src/cli/api.ts'
import { loadSecrets } from '../../src/cloud/secrets.ts'
import { type LabCloud, startLabCloud } from '../../src/lab/lab-cloud.ts'

/** The short form of `npm run chaos`, which tells times too: these say only what must hold however slow the machine is. */

const SHORT = ['control process', 'RabbitMQ node', 'network between control processes']
let folder: string
let cloud: LabCloud
let load: Load
let operator: Api

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  folder = mkdtempSync(join(tmpdir(), 'chaos-'))
  cloud = await startLabCloud({ dir: join(folder, 'lab'), hosts: 2, cluster: true, port: 5050, settings: { hypervisor: 'simulated' } })
  const login = { url: cloud.url, password: loadSecrets(cloud.sharedDir).adminPassword }
  operator = new Api({ ...login, username: 'admin', project: 'demo' })
  load = await Load.prepare(login)
})
after(async () => {
  await cloud?.stop()
  rmSync(folder, { recursive: true, force: true })
})

for (const name of SHORT)
  test(`${name}: no read fails, and nothing is stuck, leaked or lost`, async (t) => {
    const outcome = await suffer(BLOWS.find((blow) => blow.name === name)!, cloud, load.again(), operator)
    const { counts, againMs, slowest } = outcome
    t.diagnostic(
      `${counts.reads} reads; ${counts.writesFailed} of ${counts.writes} writes failed; creates again after ${againMs?.toFixed(0)} ms, the slowest took ${slowest.ms.toFixed(0)} ms`,
    )
    assert.deepEqual(wrongsOf(outcome), [])
    assert.ok(againMs !== null, 'creates do not work any more')
  })
