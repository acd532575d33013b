import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { silent } from '../../kernel/log/log.ts'
import { daemonKeeper } from './daemon-keeper.ts'
import { diedOf, ensureDaemons, listening, stopDaemons } from './daemons.ts'
import { alive, markOf } from './processes.ts'
import { waitUntil } from './wait.ts'

let stateDir: string
before(() => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  stateDir = mkdtempSync(join(tmpdir(), 'daemons-'))
})
after(async () => {
  await stopDaemons({ stateDir })
  rmSync(stateDir, { recursive: true, force: true })
})

test('daemons come up, answer, are found again, and end', async () => {
  const reports = await ensureDaemons({ stateDir })
  assert.deepEqual(
    reports.map(({ program, by, startedNow }) => `${program} ${by} ${startedNow}`),
    ['ovsdb-server yun true', 'ovs-vswitchd yun true', 'virtlogd yun true', 'libvirtd yun true', 'tgtd yun true'],
  )
  assert.match((await exec('virsh', ['--connect', 'qemu:///system', 'list', '--all'])).stdout, /Id +Name +State/)
  assert.match((await exec('ovs-vsctl', ['show'])).stdout, /ovs_version: "\d/)
  assert.match((await exec('tgtadm', ['-C', '7', '--lld', 'iscsi', '--op', 'show', '--mode', 'sys'])).stdout, /System:/)
  const again = await ensureDaemons({ stateDir })
  assert.deepEqual(
    again.map(({ pid, by, startedNow }) => ({ pid, by, startedNow })),
    reports.map(({ pid }) => ({ pid, by: 'yun', startedNow: false })),
  )
  assert.deepEqual(await stopDaemons({ stateDir }), ['tgtd', 'libvirtd', 'virtlogd', 'ovs-vswitchd', 'ovsdb-server'])
  for (const { pid } of reports) assert.equal(markOf(pid!), undefined)
  assert.ok(!(await listening('/run/openvswitch/db.sock')))
  assert.deepEqual(await stopDaemons({ stateDir }), [])
})

test('what the machine runs is used and never stopped; what died is started again', async () => {
  await exec('virtlogd', ['--daemon', '--pid-file', join(stateDir, 'by-hand.pid')])
  const [virtlogd, libvirtd] = await ensureDaemons({ stateDir, parts: ['libvirt'] })
  assert.equal(virtlogd!.by, 'machine')
  const first = markOf(libvirtd!.pid!)!
  process.kill(first.pid, 'SIGKILL')
  await waitUntil('libvirtd is dead', () => !alive(first))
  const [, second] = await ensureDaemons({ stateDir, parts: ['libvirt'] })
  assert.ok(second!.startedNow)
  assert.notEqual(second!.pid, first.pid)
  assert.deepEqual(await stopDaemons({ stateDir }), ['libvirtd'])
  assert.ok(await listening('/run/libvirt/virtlogd-sock'))
})

test('what Yun started and what ended by itself comes again; the machine’s own are left to it', async () => {
  const [, libvirtd] = await ensureDaemons({ stateDir, parts: ['libvirt'] })
  const keeper = daemonKeeper({ stateDir }, silent())
  keeper.start()
  assert.deepEqual((await keeper.settle()).lastChanges, [])
  const first = markOf(libvirtd!.pid!)!
  process.kill(first.pid, 'SIGKILL')
  await waitUntil('libvirtd is dead', () => !alive(first))
  assert.match((await keeper.settle()).lastChanges.join(), /^libvirtd: started/)
  assert.ok(await listening('/run/libvirt/libvirt-sock'))
  await keeper.stop()
  assert.deepEqual(diedOf({ stateDir }), [])
  await stopDaemons({ stateDir })
})

test('a daemon that cannot come up says why', async () => {
  await assert.rejects(ensureDaemons({ stateDir, parts: ['tgt'], tgt: { controlPort: 9, portal: '203.0.113.9:3260' } }), (error: any) => {
    assert.equal(error.status, 503)
    assert.match(error.message, /tgtd does not come up/)
    return true
  })
  assert.ok(!existsSync(join(stateDir, 'daemons', 'tgtd.json')))
})
