import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { createLab, LAB_STATE, type Lab } from '../../host/machine/lab.ts'
import type { Libvirt } from './driver.ts'
import { migrationContract } from './migration-contract.ts'
import { realLibvirt } from './real.ts'

let folder: string
let lab: Lab
let ends: Libvirt[]
const bridge = 'qbrcontract'

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  folder = mkdtempSync(join(tmpdir(), 'libvirt-migration-'))
  lab = await createLab({ parent: join(folder, 'labs'), count: 2 })
  for (const { machine } of lab.hosts) await machine.run('ip', ['link', 'add', bridge, 'type', 'bridge'])
  ends = lab.hosts.map(({ machine }) => realLibvirt({ socketPath: machine.path('/run/libvirt/libvirt-sock') }))
})
after(async () => {
  for (const end of ends ?? []) end.close()
  await lab?.destroy()
  rmSync(folder, { recursive: true, force: true })
})

const directory = join(LAB_STATE, 'instances')
const end = (index: number) => ({ libvirt: ends[index]!, seenAt: lab.hosts[index]!.machine.path(directory) })
migrationContract(async () => ({ source: end(0), destination: end(1), directory, bridge, listen: `tcp://${lab.hosts[1]!.address}` }))
