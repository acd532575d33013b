import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { collecting } from '../../kernel/trace/trace.ts'
import { simulatedNetNs } from '../netns/simulated.ts'
import { ovsContract } from './contract.ts'
import { OvsdbOvs } from './real.ts'
import { simulatedOvs } from './simulated.ts'
import { parseFlow } from './words.ts'

ovsContract(() => {
  const netns = simulatedNetNs()
  return {
    ovs: simulatedOvs({ netns }),
    addDevice: async (name) => netns.addLink(name, 'veth', { mac: 'fa:16:3e:00:00:99' }),
    removeDevice: async (name) => netns.dropLink(name),
  }
})

test('a simulated switch outlives the process where a file is given', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ovs-'))
  const file = join(folder, 'ovs.json')
  const before = simulatedOvs({ file })
  await before.ensureBridge('br-int', { datapathType: 'system', failMode: 'secure' })
  await before.ensurePort('br-int', 'p1', { type: 'internal', tag: 3 })
  await before.flows.replaceFlows('br-int', 9, ['table=0,actions=NORMAL'])
  const after = simulatedOvs({ file })
  assert.deepEqual(await after.ports('br-int'), await before.ports('br-int'))
  assert.deepEqual(await after.flows.dumpFlows('br-int'), await before.flows.dumpFlows('br-int'))
  rmSync(folder, { recursive: true })
})

test('what is so already is no change', async () => {
  const ovs = simulatedOvs()
  const all = async () => {
    await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure', externalIds: { a: 'b' } })
    await ovs.ensurePort('br-int', 'p1', { type: 'internal', tag: 3, mac: 'fa:16:3e:00:00:01', options: {}, externalIds: { x: 'y' } })
    await ovs.setTag('p1', 3)
    await ovs.setLimit('p1', { rate: 8 })
    await ovs.flows.replaceFlows('br-int', 9, ['table=0,actions=NORMAL'])
  }
  await all()
  const before = ovs.changes()
  await all()
  assert.equal(ovs.changes(), before)
})

test('internal ports are devices of the simulated machine, and a restart of the switch takes them back from a namespace', async () => {
  const netns = simulatedNetNs()
  const ovs = simulatedOvs({ netns })
  const kinds: string[] = []
  ovs.onInterface(({ kind }) => kinds.push(kind))
  await ovs.ensureBridge('br-int', { datapathType: 'netdev' })
  await ovs.ensurePort('br-int', 'tap-1', { type: 'internal', mac: 'fa:16:3e:00:00:01' })
  await ovs.flows.addFlows('br-int', ['actions=NORMAL'])
  await netns.ensureNamespace('qdhcp-1')
  await netns.apply(undefined, [{ do: 'set-link', name: 'tap-1', namespace: 'qdhcp-1' }])
  await ovs.restart()
  assert.deepEqual(
    (await netns.links('qdhcp-1')).map(({ name }) => name),
    ['lo'],
  )
  assert.equal((await netns.links()).find(({ name }) => name === 'tap-1')?.mac, 'fa:16:3e:00:00:01')
  assert.deepEqual(await ovs.flows.dumpFlows('br-int'), [])
  assert.equal(kinds.at(-1), 'resync')
  await ovs.removeBridge('br-int')
  assert.deepEqual(
    (await netns.links()).map(({ name }) => name),
    ['lo'],
  )
})

test('a datapath that is not there fails as it does on a machine without the kernel module', async () => {
  const ovs = simulatedOvs({ datapathTypes: ['netdev'] })
  await assert.rejects(ovs.ensureBridge('br-int', { datapathType: 'system' }), {
    status: 503,
    code: 'PortFailed',
    message: /must be netdev/,
  })
  assert.deepEqual(await ovs.bridges(), [])
})

test('changes are evidence', async () => {
  const ovs = simulatedOvs()
  await ovs.ensureBridge('br-int', { datapathType: 'netdev' })
  const { commands } = await collecting(() => ovs.ensurePort('br-int', 'qvo3f2a90c1-7e', { tag: 1 }))
  assert.deepEqual(
    commands.map(({ what }) => what),
    ['ovsdb: add-port br-int qvo3f2a90c1-7e tag=1'],
  )
})

test('without a socket the message says what to check', async () => {
  const ovs = new OvsdbOvs('/nonexistent')
  await assert.rejects(ovs.ports(), {
    status: 503,
    code: 'OvsUnavailable',
    message: /\/nonexistent\/db\.sock \(ENOENT\); check that ovsdb-server .*openvswitch-switch/,
  })
  ovs.close()
})

test('a line of a flow dump is read', () => {
  const line =
    ' cookie=0xABC, duration=0.083s, table=61, n_packets=12, n_bytes=900, idle_timeout=30, idle_age=0, priority=5,arp,dl_vlan=3,arp_op=2 actions=learn(table=20,hard_timeout=300,load:0->NXM_OF_VLAN_TCI[]),LOCAL'
  const { raw, ...flow } = parseFlow(line)!
  assert.deepEqual(flow, {
    cookie: '0xabc',
    table: 61,
    priority: 5,
    match: ['arp', 'dl_vlan=3', 'arp_op=2'],
    actions: 'learn(table=20,hard_timeout=300,load:0->NXM_OF_VLAN_TCI[]),LOCAL',
    packets: 12,
    bytes: 900,
    timeouts: '30/0',
  })
  assert.equal(raw, line.trim())
  assert.equal(parseFlow('NXST_FLOW reply (xid=0x4):'), undefined)
})
