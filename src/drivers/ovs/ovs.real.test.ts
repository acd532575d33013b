import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ensureDaemons, stopDaemons } from '../../host/machine/daemons.ts'
import { alive, fromPidFile } from '../../host/machine/processes.ts'
import { waitUntil } from '../../host/machine/wait.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { collecting } from '../../kernel/trace/trace.ts'
import { ovsContract } from './contract.ts'
import type { InterfaceEvent } from './driver.ts'
import { OvsdbOvs } from './real.ts'

let stateDir: string
const daemons = (): Parameters<typeof ensureDaemons>[0] => ({ stateDir, parts: ['openvswitch'] })

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  stateDir = mkdtempSync(join(tmpdir(), 'ovs-'))
  await ensureDaemons(daemons())
})
after(async () => {
  await stopDaemons(daemons())
  rmSync(stateDir, { recursive: true, force: true })
})

ovsContract(() => ({
  ovs: new OvsdbOvs(),
  async addDevice(name) {
    await exec('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-p`])
  },
  async removeDevice(name) {
    await exec('ip', ['link', 'delete', name])
  },
}))

async function withOvs(action: (ovs: OvsdbOvs) => Promise<void>): Promise<void> {
  const ovs = new OvsdbOvs()
  try {
    await action(ovs)
    await ovs.removeBridge('br-int')
  } finally {
    ovs.close()
  }
}

async function end(program: string): Promise<void> {
  const mark = fromPidFile(`/run/openvswitch/${program}.pid`, program)!
  process.kill(mark.pid, 'SIGTERM')
  await waitUntil(`${program} ends`, () => !alive(mark))
}

/** The events so far, and how to await one. */
function hearing(ovs: OvsdbOvs) {
  const heard: InterfaceEvent[] = []
  let woken = () => {}
  ovs.onInterface((event) => {
    heard.push(event)
    woken()
  })
  return async (what: string, condition: (event: InterfaceEvent) => boolean): Promise<void> => {
    const end = AbortSignal.timeout(10_000)
    while (!heard.some(condition)) {
      await new Promise<void>((resolve, reject) => {
        woken = resolve
        end.onabort = () => reject(new Error(`${what}: not heard; heard ${JSON.stringify(heard)}`))
      })
    }
    heard.length = 0
  }
}

const resync = (why: RegExp) => (event: InterfaceEvent) => event.kind === 'resync' && why.test(event.why)

test('what others do is seen at once: ovs-vsctl adds, tags and removes', () =>
  withOvs(async (ovs) => {
    await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure' })
    const hears = hearing(ovs)
    await hears('the first resync', resync(/./))
    await exec('ovs-vsctl', ['add-port', 'br-int', 'by-hand', 'tag=5', '--', 'set', 'Interface', 'by-hand', 'type=internal'])
    assert.equal((await ovs.ports('br-int'))[0]?.tag, 5)
    await hears('added', (event) => event.kind === 'added' && event.port.name === 'by-hand')
    await exec('ovs-vsctl', ['set', 'Port', 'by-hand', 'tag=6'])
    await hears('changed', (event) => event.kind === 'changed' && event.port.tag === 6)
    await exec('ovs-vsctl', ['del-port', 'by-hand'])
    assert.deepEqual(await ovs.ports('br-int'), [])
    await hears('removed', (event) => event.kind === 'removed' && event.port.name === 'by-hand')
  }))

test('a restart of ovs-vswitchd is heard, ports come back, flows are put back', () =>
  withOvs(async (ovs) => {
    await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure' })
    await ovs.ensurePort('br-int', 'p1', { type: 'internal', tag: 1 })
    await ovs.flows.replaceFlows('br-int', 9, ['table=0,actions=NORMAL'])
    const hears = hearing(ovs)
    await hears('the first resync', resync(/./))
    await end('ovs-vswitchd')
    await ensureDaemons(daemons())
    await hears('resync', resync(/ovs-vswitchd was started again/))
    assert.ok((await ovs.ports('br-int'))[0]!.ofport! > 0)
    assert.deepEqual(await ovs.flows.replaceFlows('br-int', 9, ['table=0,actions=NORMAL']), { added: 1, removed: 0 })
  }))

test('a restart of ovsdb-server: calls fail with advice while it is away, then a resync comes and everything is there', () =>
  withOvs(async (ovs) => {
    await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure' })
    await ovs.ensurePort('br-int', 'p1', { type: 'internal', tag: 1 })
    const hears = hearing(ovs)
    await hears('the first resync', resync(/./))
    const waiting = ovs.waitForPort('p1', (port) => port?.tag === 2, 10_000)
    await ovs.ports()
    await end('ovsdb-server')
    await assert.rejects(ovs.ports(), { status: 503, code: 'OvsUnavailable', message: /check that ovsdb-server/ })
    await ensureDaemons(daemons())
    await hears('resync', resync(/connected to the database/))
    assert.deepEqual(
      (await ovs.ports('br-int')).map(({ name }) => name),
      ['p1'],
    )
    await exec('ovs-vsctl', ['set', 'Port', 'p1', 'tag=2'])
    assert.equal((await waiting)?.tag, 2)
  }))

test('changes are evidence, limits leave no rows behind', () =>
  withOvs(async (ovs) => {
    await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure' })
    const { commands } = await collecting(() => ovs.ensurePort('br-int', 'p1', { tag: 1, type: 'internal' }))
    assert.deepEqual(
      commands.map(({ what, output }) => `${what} → ${output}`),
      ['ovsdb: add-port br-int p1 tag=1 type=internal → ofport 1'],
    )
    await ovs.setLimit('p1', { rate: 8000 })
    assert.match((await exec('tc', ['qdisc', 'show', 'dev', 'p1'])).stdout, /htb/)
    await ovs.removePort('p1')
    for (const table of ['QoS', 'Queue'])
      assert.equal((await exec('ovs-vsctl', ['--format=csv', '--no-headings', 'list', table])).stdout, '')
  }))

test('without the kernel’s datapath the reason is given and nothing stays', () =>
  withOvs(async (ovs) => {
    if ((await ovs.datapathTypes()).includes('system')) {
      await ovs.ensureBridge('br-int', { datapathType: 'system' })
      assert.equal((await ovs.bridges())[0]?.datapathType, 'system')
    } else {
      await assert.rejects(ovs.ensureBridge('br-int', { datapathType: 'system' }), { code: 'PortFailed', message: /must be netdev/ })
      assert.deepEqual(await ovs.bridges(), [])
    }
  }))

test('replacing equal flows keeps their counters', () =>
  withOvs(async (ovs) => {
    await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure' })
    await ovs.flows.replaceFlows('br-int', 9, ['table=0,actions=NORMAL'])
    await exec('ovs-ofctl', [
      'packet-out',
      'br-int',
      'in_port=LOCAL,packet=ffffffffffff00000000000108060001080006040001000000000001c0a800010000000000000a0000020000,actions=resubmit(,0)',
    ])
    const count = async () => (await ovs.flows.dumpFlows('br-int'))[0]!.packets
    assert.equal(await count(), 1)
    await ovs.flows.replaceFlows('br-int', 9, ['table=0,actions=NORMAL'])
    assert.equal(await count(), 1)
  }))
