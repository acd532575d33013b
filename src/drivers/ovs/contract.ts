import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import type { InterfaceEvent, Ovs } from './driver.ts'

/** What the contract needs of the machine around the switch. */
export interface Surroundings {
  ovs: Ovs
  addDevice(name: string): Promise<void>
  removeDevice(name: string): Promise<void>
}

/** What both Open vSwitch and its twin keep to. The switch must be empty and the machine have no other devices of these names. */
export function ovsContract(make: () => Promise<Surroundings> | Surroundings): void {
  const bridges = ['br-int', 'br-tun']
  const open: Surroundings[] = []

  afterEach(async () => {
    for (const { ovs } of open.splice(0)) {
      try {
        for (const name of bridges) await ovs.removeBridge(name)
        assert.deepEqual(await ovs.ports(), [])
      } finally {
        ovs.close()
      }
    }
  })

  async function fresh(): Promise<Surroundings> {
    const surroundings = await make()
    open.push(surroundings)
    await surroundings.ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure', externalIds: { owner: 'yun' } })
    return surroundings
  }

  test('a bridge is made once, changed in place, listed, removed', async () => {
    const { ovs } = await fresh()
    await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure', externalIds: { owner: 'yun' } })
    assert.deepEqual(await ovs.bridges(), [{ name: 'br-int', datapathType: 'netdev', failMode: 'secure', externalIds: { owner: 'yun' } }])
    await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'standalone', externalIds: { more: 'words here' }, mtu: 1400 })
    assert.deepEqual(await ovs.bridges(), [
      { name: 'br-int', datapathType: 'netdev', failMode: 'standalone', externalIds: { owner: 'yun', more: 'words here' } },
    ])
    assert.deepEqual(await ovs.ports('br-int'), [], 'the bridge’s own device is no port')
    await ovs.removeBridge('br-int')
    await ovs.removeBridge('br-int')
    assert.deepEqual(await ovs.bridges(), [])
    await assert.rejects(ovs.ports('br-int'), { status: 404, code: 'NoSuchBridge' })
  })

  test('an internal port: made, the same again, changed, moved, removed', async () => {
    const { ovs } = await fresh()
    const spec = { type: 'internal', tag: 7, mac: 'fa:16:3e:00:00:07', mtu: 1450, externalIds: { 'iface-id': 'one' } } as const
    const made = await ovs.ensurePort('br-int', 'tap-dhcp', spec)
    assert.ok(made.ofport! > 0)
    assert.deepEqual(
      { ...made, ofport: 0, up: undefined },
      {
        name: 'tap-dhcp',
        bridge: 'br-int',
        type: 'internal',
        tag: 7,
        mac: 'fa:16:3e:00:00:07',
        mtu: 1450,
        externalIds: { 'iface-id': 'one' },
        options: {},
        ofport: 0,
        up: undefined,
      },
    )
    assert.equal((await ovs.ensurePort('br-int', 'tap-dhcp', spec)).ofport, made.ofport)
    const changed = await ovs.ensurePort('br-int', 'tap-dhcp', { type: 'internal', tag: 8, externalIds: { 'iface-id': 'two', extra: 'x' } })
    assert.deepEqual([changed.ofport, changed.tag, changed.mac], [made.ofport, 8, 'fa:16:3e:00:00:07'])
    assert.deepEqual(changed.externalIds, { 'iface-id': 'two', extra: 'x' })
    await ovs.ensureBridge('br-tun', { datapathType: 'netdev', failMode: 'secure' })
    const moved = await ovs.ensurePort('br-tun', 'tap-dhcp', { type: 'internal' })
    assert.deepEqual([moved.bridge, moved.tag], ['br-tun', 8])
    assert.deepEqual(await ovs.ports('br-int'), [])
    assert.deepEqual(
      (await ovs.ports('br-tun')).map(({ name }) => name),
      ['tap-dhcp'],
    )
    await ovs.removePort('tap-dhcp')
    await ovs.removePort('tap-dhcp')
    assert.deepEqual(await ovs.ports(), [])
  })

  test('ports of a device that is there; a new port whose device is not is refused and leaves nothing', async () => {
    const { ovs, addDevice, removeDevice } = await fresh()
    await addDevice('qvo-there')
    const port = await ovs.ensurePort('br-int', 'qvo-there', { tag: 1 })
    assert.equal(port.type, 'system')
    assert.match(port.mac!, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
    await assert.rejects(ovs.ensurePort('br-int', 'qvo-nowhere', { tag: 1 }), {
      status: 503,
      code: 'PortFailed',
      message: /No such device/,
    })
    assert.deepEqual(
      (await ovs.ports()).map(({ name }) => name),
      ['qvo-there'],
    )
    await removeDevice('qvo-there')
    await ovs.waitForPort('qvo-there', (seen) => seen !== undefined && seen.mac === undefined, 5_000)
    await addDevice('qvo-there')
    assert.ok((await ovs.waitForPort('qvo-there', (seen) => seen?.mac !== undefined, 5_000))!.ofport! > 0)
    await ovs.removePort('qvo-there')
    await removeDevice('qvo-there')
  })

  test('patch and tunnel ports carry their options', async () => {
    const { ovs } = await fresh()
    await ovs.ensureBridge('br-tun', { datapathType: 'netdev', failMode: 'secure' })
    await ovs.ensurePort('br-int', 'patch-tun', { type: 'patch', options: { peer: 'patch-int' } })
    await ovs.ensurePort('br-tun', 'patch-int', { type: 'patch', options: { peer: 'patch-tun' } })
    await ovs.ensurePort('br-tun', 'vxlan-c0a83202', { type: 'vxlan', options: { remote_ip: '192.168.50.2', key: 'flow' } })
    const gre = await ovs.ensurePort('br-tun', 'gre-c0a83203', { type: 'gre', options: { remote_ip: '192.168.50.3', key: 'flow' } })
    assert.deepEqual(gre.options, { remote_ip: '192.168.50.3', key: 'flow' })
    const again = await ovs.ensurePort('br-tun', 'gre-c0a83203', { type: 'gre', options: { remote_ip: '192.168.50.4' } })
    assert.deepEqual(again.options, { remote_ip: '192.168.50.4' })
    assert.deepEqual(
      (await ovs.ports()).map(({ bridge, name, type }) => `${bridge} ${name} ${type}`),
      ['br-tun gre-c0a83203 gre', 'br-int patch-tun patch', 'br-tun patch-int patch', 'br-tun vxlan-c0a83202 vxlan'].sort((a, b) =>
        a.split(' ')[1]! < b.split(' ')[1]! ? -1 : 1,
      ),
    )
  })

  test('a tag is set, kept when not mentioned, taken away', async () => {
    const { ovs } = await fresh()
    await ovs.ensurePort('br-int', 'p1', { type: 'internal' })
    const tag = async () => (await ovs.ports('br-int'))[0]!.tag
    await ovs.setTag('p1', 4)
    assert.equal(await tag(), 4)
    await ovs.ensurePort('br-int', 'p1', { type: 'internal' })
    assert.equal(await tag(), 4)
    await ovs.setTag('p1', undefined)
    assert.equal(await tag(), undefined)
    await assert.rejects(ovs.setTag('nothing', 4), { status: 404, code: 'NoSuchPort' })
    await assert.rejects(ovs.setTag('p1', 4096), { status: 400, code: 'BadTag' })
  })

  test('listeners hear of a resync first, then of what is added, changed and removed, until they stop', async () => {
    const { ovs } = await fresh()
    const heard: InterfaceEvent[] = []
    const stop = ovs.onInterface((event) => heard.push(event))
    const words = () =>
      heard.map((event) => (event.kind === 'resync' ? 'resync' : `${event.kind} ${event.port.name} ${event.port.tag ?? '-'}`))
    await ovs.ports()
    await ovs.ensurePort('br-int', 'p1', { type: 'internal', tag: 1 })
    await ovs.setTag('p1', 2)
    await ovs.removePort('p1')
    assert.equal(words()[0], 'resync')
    assert.ok(words().includes('added p1 1'))
    assert.ok(words().includes('changed p1 2'))
    assert.equal(words().at(-1), 'removed p1 2')
    stop()
    const before = heard.length
    await ovs.ensurePort('br-int', 'p2', { type: 'internal' })
    assert.equal(heard.length, before)
  })

  test('waiting for a port: it comes later, or the message says how it stands', async () => {
    const { ovs } = await fresh()
    const waiting = ovs.waitForPort('p1', (port) => port?.ofport !== undefined, 5_000)
    await ovs.ensurePort('br-int', 'p1', { type: 'internal', tag: 3 })
    assert.equal((await waiting)?.tag, 3)
    assert.equal(await ovs.waitForPort('nothing', (port) => port === undefined, 0), undefined)
    await assert.rejects(
      ovs.waitForPort('p1', (port) => port?.tag === 9, 20),
      { status: 503, code: 'PortTimeout', message: /on br-int, ofport \d+, tag 3/ },
    )
    await assert.rejects(
      ovs.waitForPort('nothing', (port) => port !== undefined, 20),
      { message: /there is no such port/ },
    )
  })

  test('many at once do not disturb each other', async () => {
    const { ovs } = await fresh()
    const names = Array.from({ length: 8 }, (_, i) => `p${i}`)
    await Promise.all(names.flatMap((name) => [0, 1].map(() => ovs.ensurePort('br-int', name, { type: 'internal', tag: 1 }))))
    assert.deepEqual(
      (await ovs.ports('br-int')).map(({ name }) => name),
      names,
    )
    assert.equal(new Set((await ovs.ports('br-int')).map(({ ofport }) => ofport)).size, names.length)
  })

  test('flows of one cookie are replaced; others stay; what is right already is not touched', async () => {
    const { ovs } = await fresh()
    const { flows } = ovs
    await flows.addFlows('br-int', ['cookie=0x7,table=0,priority=1,actions=drop', 'table=23,actions=drop'])
    const wanted = [
      'table=0,priority=5,tcp,tp_dst=22,actions=resubmit(,60)',
      'table=60,priority=3,dl_vlan=1,actions=strip_vlan,NORMAL',
      'table=60,priority=3,dl_vlan=2,actions=drop',
    ]
    assert.deepEqual(await flows.replaceFlows('br-int', 0x1f, wanted), { added: 3, removed: 0 })
    assert.deepEqual(await flows.replaceFlows('br-int', 0x1f, wanted), { added: 0, removed: 0 })
    const dump = await flows.dumpFlows('br-int')
    assert.deepEqual(
      dump.map(({ cookie, table, priority }) => `${cookie} ${table} ${priority}`),
      ['0x1f 0 5', '0x7 0 1', '0x0 23 32768', '0x1f 60 3', '0x1f 60 3'],
    )
    assert.deepEqual([...dump[0]!.match].sort(), ['tcp', 'tp_dst=22'])
    assert.equal(dump[0]!.actions, 'resubmit(,60)')
    const next = [wanted[0]!, 'table=60,priority=3,dl_vlan=1,actions=drop']
    assert.deepEqual(await flows.replaceFlows('br-int', 0x1f, next), { added: 1, removed: 1 })
    assert.deepEqual(
      (await flows.dumpFlows('br-int'))
        .filter(({ cookie }) => cookie === '0x1f')
        .map(({ match, actions }) => `${match.join(',')} ${actions}`)
        .slice(1),
      ['dl_vlan=1 drop'],
    )
    assert.deepEqual(await flows.replaceFlows('br-int', 0x1f, []), { added: 0, removed: 2 })
    assert.deepEqual(
      (await flows.dumpFlows('br-int')).map(({ cookie }) => cookie),
      ['0x7', '0x0'],
    )
  })

  test('removing a flow of table 0 leaves the same match in other tables', async () => {
    const { ovs } = await fresh()
    const { flows } = ovs
    await flows.replaceFlows('br-int', 5, ['table=0,priority=9,arp,actions=drop', 'table=3,priority=9,arp,actions=drop'])
    await flows.replaceFlows('br-int', 5, ['table=3,priority=9,arp,actions=drop'])
    assert.deepEqual(
      (await flows.dumpFlows('br-int')).map(({ table }) => table),
      [3],
    )
  })

  test('flows are deleted by what a match covers', async () => {
    const { ovs } = await fresh()
    const { flows } = ovs
    await flows.addFlows('br-int', [
      'cookie=1,table=0,priority=5,tcp,tp_dst=22,actions=drop',
      'cookie=2,table=0,priority=6,tcp,tp_dst=80,actions=drop',
      'cookie=2,table=21,arp,actions=drop',
    ])
    await flows.deleteFlows('br-int', 'table=0,tcp,tp_dst=22')
    await flows.deleteFlows('br-int', 'table=0,udp')
    assert.deepEqual(
      (await flows.dumpFlows('br-int')).map(({ priority }) => priority),
      [6, 32768],
    )
    await flows.deleteFlows('br-int', 'cookie=2/-1,arp')
    assert.deepEqual(
      (await flows.dumpFlows('br-int')).map(({ priority }) => priority),
      [6],
    )
    await flows.deleteFlows('br-int', '')
    assert.deepEqual(await flows.dumpFlows('br-int'), [])
  })

  test('a bad flow changes nothing', async () => {
    const { ovs } = await fresh()
    const { flows } = ovs
    await flows.addFlows('br-int', ['cookie=1,table=0,priority=5,actions=drop'])
    const before = (await flows.dumpFlows('br-int')).length
    await assert.rejects(flows.addFlows('br-int', ['table=1,actions=drop', 'table=1,priority=3,tcp']), { status: 400, code: 'BadFlow' })
    await assert.rejects(flows.replaceFlows('br-int', 1, ['table=1,actions=drop', 'table=1,priority=3,tcp']), {
      status: 400,
      code: 'BadFlow',
    })
    await assert.rejects(flows.addFlows('br-int', ['table=1,actions=drop\nflow delete']), { status: 400, code: 'BadFlow' })
    await assert.rejects(flows.replaceFlows('br-int', 0, []), { status: 400, code: 'BadFlow' })
    assert.equal((await flows.dumpFlows('br-int')).length, before)
    await assert.rejects(flows.addFlows('br-nope', ['actions=drop']), { status: 404, code: 'NoSuchBridge' })
    await assert.rejects(flows.dumpFlows('br-nope'), { status: 404, code: 'NoSuchBridge' })
  })

  test('a port is limited, and no longer', async () => {
    const { ovs } = await fresh()
    await ovs.ensurePort('br-int', 'p1', { type: 'internal' })
    assert.equal(await ovs.limit('p1'), undefined)
    await ovs.setLimit('p1', { rate: 8000, burst: 1000 })
    assert.deepEqual(await ovs.limit('p1'), { rate: 8000, burst: 1000 })
    await ovs.setLimit('p1', { rate: 4000 })
    assert.deepEqual(await ovs.limit('p1'), { rate: 4000, burst: 400 })
    await ovs.setLimit('p1', undefined)
    await ovs.setLimit('p1', undefined)
    assert.equal(await ovs.limit('p1'), undefined)
    await assert.rejects(ovs.setLimit('nothing', { rate: 1 }), { status: 404, code: 'NoSuchPort' })
    await ovs.setLimit('p1', { rate: 8000 })
  })

  test('names that would mean something else are refused', async () => {
    const { ovs } = await fresh()
    for (const name of ['', '-x', 'a b', 'tcp:1.2.3.4', '../x', 'x\ny']) {
      await assert.rejects(ovs.ensureBridge(name, { datapathType: 'netdev' }), { status: 400, code: 'BadName' })
      await assert.rejects(ovs.ensurePort('br-int', name), { status: 400, code: 'BadName' })
      await assert.rejects(ovs.flows.dumpFlows(name), { status: 400, code: 'BadName' })
    }
    await assert.rejects(ovs.ensurePort('br-nope', 'p1', { type: 'internal' }), { status: 404, code: 'NoSuchBridge' })
    assert.ok((await ovs.datapathTypes()).includes('netdev'))
    assert.notEqual(await ovs.version(), '')
  })
}
