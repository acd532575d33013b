import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../../drivers/daemon.ts'
import { simulatedDnsmasq } from '../../drivers/dnsmasq/simulated.ts'
import { simulatedHaProxy } from '../../drivers/haproxy/simulated.ts'
import { simulatedIpTables } from '../../drivers/iptables/simulated.ts'
import { simulatedNetNs } from '../../drivers/netns/simulated.ts'
import { simulatedOvs } from '../../drivers/ovs/simulated.ts'
import { MemoryBus } from '../../kernel/bus/memory.ts'
import { silent } from '../../kernel/log/log.ts'
import { onStep, type StepRecord } from '../../kernel/trace/trace.ts'
import { agent, type DeviceDetails, events, networkTopic } from '../../network/rpc.ts'
import { NetworkHost } from './agent.ts'
import { dhcpNamespace, qgOf, qrOf, qvoOf, routerNamespace, tapOf } from './names.ts'
import {
  DHCP_PORT,
  device,
  dhcpNetwork,
  FakeControl,
  floatingIp,
  NETWORK,
  plug,
  QG_PORT,
  QR_PORT,
  ROUTER,
  router,
  segment,
  unplug,
} from './testing.ts'

const SECOND_NETWORK = '11111111-aaaa-4bbb-8ccc-000000000002'

/** A host of twins with its agent, and control beside it. */
async function onHost(body: (lab: Lab) => Promise<void>, options: { tunnels?: string } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'network-host-'))
  const netns = simulatedNetNs()
  const namespaces = () => netns.namespaces()
  const machine = {
    netns,
    ovs: simulatedOvs({ netns, datapathTypes: ['netdev'] }),
    iptables: simulatedIpTables({ namespaces }),
    dnsmasq: simulatedDnsmasq({ namespaces }),
    haproxy: simulatedHaProxy({ namespaces }),
  }
  const bus = new MemoryBus((error) => assert.fail(String(error)))
  const control = new FakeControl(bus)
  const settings = {
    host: 'one',
    serves: { dhcp: true, l3: true },
    bridgeMappings: { public: 'br-ex' },
    tunnels: { address: options.tunnels ?? null, types: ['vxlan' as const, 'gre' as const] },
    external: { hostAddress: true, masquerade: true },
    dnsDomain: 'openstacklocal',
    upstreamDns: [],
    metadataSocket: join(folder, 'metadata.sock'),
    everyMs: 60_000,
  }
  const make = () =>
    new NetworkHost({
      settings,
      machine,
      bus,
      log: silent(),
      metadataSecret: 's',
      metadataApi: async () => ({ status: 200, headers: {}, body: '' }),
    })
  const lab: Lab = {
    machine,
    bus,
    control,
    host: make(),
    changes: () => [machine.netns, machine.ovs, machine.iptables, machine.dnsmasq, machine.haproxy].map((each) => each.changes()),
    restart,
  }
  async function restart() {
    await lab.host.stop()
    control.told.length = 0
    lab.host = make()
    await lab.host.start()
    await lab.host.settle()
  }
  await lab.host.start()
  try {
    await body(lab)
  } finally {
    await lab.host.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Lab {
  machine: {
    netns: ReturnType<typeof simulatedNetNs>
    ovs: ReturnType<typeof simulatedOvs>
    iptables: ReturnType<typeof simulatedIpTables>
    dnsmasq: ReturnType<typeof simulatedDnsmasq>
    haproxy: ReturnType<typeof simulatedHaProxy>
  }
  bus: MemoryBus
  control: FakeControl
  host: NetworkHost
  /** Of each twin: equal before and after a run that had nothing to do. */
  changes(): number[]
  /** Another process on the same machine. */
  restart(): Promise<void>
}

/** Two guests, their network with DHCP, a router with a gateway and a floating IP for the first. */
async function furnish({ machine, control, host }: Lab) {
  const guests = [device(1), device(2)]
  control.devices = guests
  control.networks = [dhcpNetwork(guests)]
  control.routers = [router({ floatingIps: [floatingIp(1, guests[0]!)] })]
  await host.settle()
  for (const guest of guests) await plug(machine, guest)
  await host.settle()
  return guests
}

const linesOf = async ({ machine }: Lab, bridge: string) =>
  (await machine.ovs.flows.dumpFlows(bridge)).map((flow) => `${flow.table} ${flow.priority} ${flow.match.join(',')} > ${flow.actions}`)

test('a guest’s device is filtered, checked, put on its network’s VLAN and reported', () =>
  onHost(async (lab) => {
    const [guest] = await furnish(lab)
    const port = (await lab.machine.ovs.ports('br-int')).find((each) => each.name === qvoOf(guest!.portId))
    assert.equal(port?.tag, lab.control.up.get(guest!.portId)?.localVlan)
    assert.deepEqual(lab.control.up.get(guest!.portId), { localVlan: port!.tag!, device: port!.name, ofport: port!.ofport! })
    const flows = await linesOf(lab, 'br-int')
    assert.ok(flows.includes(`24 2 arp,arp_spa=10.1.0.11,in_port=${port!.ofport} > resubmit(,25)`), flows.join('\n'))
    assert.ok(flows.includes(`25 2 dl_src=fa:16:3e:00:03:01,in_port=${port!.ofport} > resubmit(,60)`))
    const tunnel = await linesOf(lab, 'br-tun')
    assert.ok(tunnel.includes(`4 1 tun_id=0x64 > mod_vlan_vid:${port!.tag},resubmit(,10)`), tunnel.join('\n'))
    assert.ok((await lab.machine.iptables.save(undefined, 4)).filter?.[`neutron-openvswi-i${guest!.portId.slice(0, 10)}`])
    assert.equal(await lab.machine.netns.checksumOffload(undefined, qvoOf(guest!.portId)), false)
    const tap = (await lab.machine.ovs.ports('br-int')).find((each) => each.name === tapOf(DHCP_PORT))
    assert.equal(tap?.tag, port!.tag, 'the DHCP server is on the same VLAN')
    const qg = (await lab.machine.ovs.ports('br-int')).find((each) => each.name === qgOf(QG_PORT))
    assert.notEqual(qg?.tag, port!.tag)
    const outside = await linesOf(lab, 'br-ex')
    assert.ok(outside.some((line) => line.includes(`dl_vlan=${qg!.tag}`) && line.endsWith('strip_vlan,NORMAL')))
  }))

test('a second run, and another process, change nothing and say all again', () =>
  onHost(async (lab) => {
    const guests = await furnish(lab)
    const before = lab.changes()
    await lab.host.settle()
    assert.deepEqual(lab.changes(), before)
    assert.deepEqual(lab.host.status().l2.lastChanges, [])
    await lab.restart()
    assert.deepEqual(lab.changes(), before)
    assert.deepEqual(lab.control.heard('up').flatMap((each) => each.devices).length, guests.length + 3)
    assert.equal(lab.control.heard('router-ready').length, 1)
    assert.equal(lab.control.heard('dhcp-ready').length, 1)
  }))

test('a port that control does not know, or that is down, is heard by nobody', () =>
  onHost(async (lab) => {
    const [known, stranger] = [device(1, { adminUp: false }), device(2)]
    lab.control.devices = [known]
    await lab.host.settle()
    for (const each of [known, stranger]) await plug(lab.machine, each)
    await lab.host.settle()
    const ports = await lab.machine.ovs.ports('br-int')
    const flows = await linesOf(lab, 'br-int')
    for (const each of [known, stranger]) {
      const port = ports.find((one) => one.name === qvoOf(each.portId))!
      assert.equal(port.tag, 4095)
      assert.ok(flows.includes(`0 65534 in_port=${port.ofport} > drop`))
    }
    assert.equal(lab.control.up.size, 0)
    lab.control.devices = [device(1)]
    lab.bus.publish(events.portChanged, { portId: known.portId, networkId: NETWORK })
    await until('it is up', () => lab.control.up.has(known.portId), 2_000)
    assert.deepEqual(lab.host.status().l2.unknown, [qvoOf(stranger.portId)])
  }))

test('VLANs stay with their networks across restarts, are reused, and are never shared', () =>
  onHost(async (lab) => {
    const second = segment({ networkId: SECOND_NETWORK, segmentationId: 101 })
    const [a, b] = [device(1), device(2, { segment: second })]
    lab.control.devices = [a, b]
    await lab.host.settle()
    for (const each of [a, b]) await plug(lab.machine, each)
    await lab.host.settle()
    const before = lab.host.status().l2.localVlans
    assert.notEqual(before[NETWORK], before[SECOND_NETWORK])
    await unplug(lab.machine, a)
    await lab.restart()
    assert.deepEqual(lab.host.status().l2.localVlans, { [SECOND_NETWORK]: before[SECOND_NETWORK] })
    await plug(lab.machine, a)
    await lab.host.settle()
    assert.equal(lab.host.status().l2.localVlans[NETWORK], before[NETWORK])
  }))

test('vlan, flat and tunnelled networks leave by their own bridges; tunnels lead to the other hosts', () =>
  onHost(
    async (lab) => {
      lab.control.endpoints = [
        { host: 'one', address: '192.168.50.1' },
        { host: 'two', address: '192.168.50.2' },
      ]
      const devices = [
        device(1, { segment: segment({ networkId: '1', networkType: 'vlan', physicalNetwork: 'public', segmentationId: 77 }) }),
        device(2, { segment: segment({ networkId: '2', networkType: 'gre', segmentationId: 9 }) }),
        device(3, { segment: segment({ networkId: '3', networkType: 'vxlan', segmentationId: 10 }) }),
        device(4, { segment: segment({ networkId: '4', networkType: 'local', segmentationId: null }) }),
      ]
      lab.control.devices = devices
      lab.control.neighbours = { 3: [{ macAddress: 'FA:16:3e:00:03:aa', addresses: ['10.1.0.9', 'fd00::9'], endpoint: '192.168.50.2' }] }
      await lab.host.settle()
      for (const each of devices) await plug(lab.machine, each)
      await lab.host.settle()
      const vlans = lab.host.status().l2.localVlans
      const ports = new Map((await lab.machine.ovs.ports()).map((port) => [port.name, port]))
      const int = await linesOf(lab, 'br-int')
      const ex = await linesOf(lab, 'br-ex')
      const tun = await linesOf(lab, 'br-tun')
      assert.ok(
        int.includes(`0 3 dl_vlan=77,in_port=${ports.get('int-br-ex')!.ofport} > mod_vlan_vid:${vlans['1']},resubmit(,60)`),
        int.join('\n'),
      )
      assert.ok(ex.includes(`0 4 dl_vlan=${vlans['1']},in_port=${ports.get('phy-br-ex')!.ofport} > mod_vlan_vid:77,NORMAL`))
      assert.deepEqual(ports.get('vxlan-c0a83202')?.options, {
        remote_ip: '192.168.50.2',
        local_ip: '192.168.50.1',
        in_key: 'flow',
        out_key: 'flow',
        df_default: 'true',
      })
      assert.equal(ports.has('vxlan-c0a83201'), false, 'none to itself')
      assert.ok(tun.includes(`3 1 tun_id=0x9 > mod_vlan_vid:${vlans['2']},resubmit(,10)`))
      assert.ok(
        tun.includes(`22 1 dl_vlan=${vlans['3']} > strip_vlan,set_tunnel:0xa,output:${ports.get('vxlan-c0a83202')!.ofport}`),
        tun.join('\n'),
      )
      assert.ok(!tun.some((line) => line.includes(`dl_vlan=${vlans['4']}`)))
      const to = ports.get('vxlan-c0a83202')!.ofport
      assert.ok(
        tun.includes(`20 2 dl_dst=fa:16:3e:00:03:aa,dl_vlan=${vlans['3']} > strip_vlan,set_tunnel:0xa,output:${to}`),
        tun.join('\n'),
      )
      const answers = tun.filter((line) => line.startsWith('21 1 arp'))
      assert.equal(answers.length, 1, 'for IPv4 only')
      assert.match(
        answers[0]!,
        new RegExp(`arp_tpa=10.1.0.9,dl_vlan=${vlans['3']} > .*mod_dl_src:fa:16:3e:00:03:aa.*load:0xa010009->NXM_OF_ARP_SPA`),
      )
      assert.ok(!tun.some((line) => line.startsWith('22 1') && line.includes(`dl_vlan=${vlans['2']}`)), 'nobody else has network 2')
      // it moves: the frames follow at once
      lab.control.endpoints.push({ host: 'three', address: '192.168.50.3' })
      lab.control.neighbours['3']![0]!.endpoint = '192.168.50.3'
      lab.bus.publish(events.tunnelsChanged, { host: 'three' })
      await until(
        'the frames take the other tunnel',
        async () => {
          const third = (await lab.machine.ovs.ports('br-tun')).find((port) => port.name === 'vxlan-c0a83203')?.ofport
          const lines = await linesOf(lab, 'br-tun')
          return (
            lines.some((line) => line.startsWith('20 2') && line.endsWith(`output:${third}`)) &&
            !lines.some((line) => line.startsWith('2') && line.endsWith(`set_tunnel:0xa,output:${to}`))
          )
        },
        5_000,
      )
      lab.control.endpoints = []
      await lab.host.settle()
      assert.ok(!(await lab.machine.ovs.ports('br-tun')).some((port) => port.type === 'vxlan' || port.type === 'gre'))
    },
    { tunnels: '192.168.50.1' },
  ))

test('the DHCP server has the port before the port is reported; the lease is told with its line and time', () =>
  onHost(async (lab) => {
    const [guest] = await furnish(lab)
    const ready = lab.control.heard('dhcp-ready').flatMap((each) => each.portIds)
    assert.ok(ready.includes(guest!.portId))
    assert.match(lab.machine.dnsmasq.files(NETWORK)!.host, /^fa:16:3e:00:03:01,host-10-1-0-11\.openstacklocal,10\.1\.0\.11$/m)
    assert.match(lab.machine.dnsmasq.files(NETWORK)!.opts, /option:router,10\.1\.0\.1\n/)
    const link = (await lab.machine.netns.links(dhcpNamespace(NETWORK))).find((each) => each.name === tapOf(DHCP_PORT))
    assert.deepEqual(
      [link?.mac, link?.mtu, link?.up, link?.addresses.map((each) => each.address)],
      ['fa:16:3e:00:01:02', 1450, true, ['10.1.0.2']],
    )
    lab.machine.dnsmasq.request(NETWORK, guest!.macAddress)
    await until('the lease is told', () => lab.control.heard('lease').length > 0, 1_000)
    const [lease] = lab.control.heard('lease')
    assert.deepEqual([lease.address, lease.macAddress, lease.networkId], ['10.1.0.11', guest!.macAddress, NETWORK])
    assert.match(lease.line, /DHCPACK/)
    assert.ok(lease.startedAt <= lease.at)
    const third = device(3)
    lab.control.devices.push(third)
    lab.control.networks = [dhcpNetwork(lab.control.devices)]
    lab.bus.publish(events.portChanged, { portId: third.portId, networkId: NETWORK })
    await until(
      'the third is ready',
      () => lab.control.heard('dhcp-ready').some((each) => each.portIds.length === 1 && each.portIds[0] === third.portId),
      2_000,
    )
  }))

test('who joins a group is let in at once, and of many who follow each other none is forgotten', () =>
  onHost(async (lab) => {
    const group = '99999999-aaaa-4bbb-8ccc-000000000001'
    const rule: DeviceDetails['rules'][number] = {
      direction: 'ingress',
      etherType: 'IPv4',
      protocol: null,
      portMin: null,
      portMax: null,
      remotePrefix: null,
      remoteGroupId: group,
    }
    const guest = device(1, { rules: [rule] })
    lab.control.devices = [guest]
    lab.control.groups[group] = []
    await lab.host.settle()
    await plug(lab.machine, guest)
    await lab.host.settle()
    const letIn = async () => JSON.stringify(await lab.machine.iptables.save(undefined, 4))
    const members = Array.from({ length: 20 }, (_, n) => `10.1.0.${100 + n}/32`)
    for (const member of members) {
      lab.control.groups[group].push(member)
      lab.bus.publish(events.groupMembersChanged, { groupIds: [group] })
      await new Promise((heard) => setImmediate(heard))
    }
    await until(
      'all are let in',
      async () => {
        const rules = await letIn()
        return members.every((member) => rules.includes(`-s ${member} `))
      },
      5_000,
    )
  }))

test('ports of networks that are served elsewhere wake no address service', () =>
  onHost(async (lab) => {
    const { reconciler } = lab.host.dhcp
    const runsAfter = async (networkId: string) => {
      const { runs } = await reconciler.settle()
      lab.bus.publish(events.portChanged, { portId: device(1).portId, networkId })
      await new Promise((heard) => setImmediate(() => setImmediate(heard)))
      return (await reconciler.settle()).runs - runs
    }
    lab.control.networks = [dhcpNetwork([device(1)])]
    await lab.host.settle()
    assert.equal(await runsAfter(SECOND_NETWORK), 1) // settling itself
    assert.equal(await runsAfter(NETWORK), 2)
  }))

test('an isolated network answers metadata itself and leaves that to the router once there is one', () =>
  onHost(async (lab) => {
    lab.control.networks = [dhcpNetwork([device(1)], { isolated: true })]
    await lab.host.settle()
    assert.deepEqual(lab.machine.haproxy.proxy(NETWORK)?.listen, [{ address: '169.254.169.254', port: 80 }])
    assert.match(
      lab.machine.dnsmasq.files(NETWORK)!.opts,
      /classless-static-route,169\.254\.169\.254\/32,10\.1\.0\.2,0\.0\.0\.0\/0,10\.1\.0\.1/,
    )
    const addresses = async () =>
      (await lab.machine.netns.links(dhcpNamespace(NETWORK)))
        .find((each) => each.name === tapOf(DHCP_PORT))!
        .addresses.map((each) => each.address)
    assert.ok((await addresses()).includes('169.254.169.254'))
    lab.control.networks = [dhcpNetwork([device(1)])]
    await lab.host.settle()
    assert.equal(lab.machine.haproxy.proxy(NETWORK), undefined)
    assert.deepEqual(await addresses(), ['10.1.0.2'])
  }))

test('one bad DHCP option, one bad network, one half-plugged device do not stop the others', () =>
  onHost(async (lab) => {
    const [good, bad] = [device(1), device(2)]
    const network = dhcpNetwork([good])
    network.ports[0]!.extraDhcpOptions = [
      { name: 'bootfile-name', value: 'x\ndhcp-script=/bin/sh', ipVersion: 4 },
      { name: 'mtu', value: '1400', ipVersion: 4 },
    ]
    const broken = dhcpNetwork([bad], {
      segment: segment({ networkId: SECOND_NETWORK, segmentationId: 101 }),
      dhcpPort: { id: '44444409-aaaa-4bbb-8ccc-000000000009', macAddress: 'not a mac', fixedIps: [] },
    })
    lab.control.networks = [broken, network]
    lab.control.devices = [good, bad]
    await lab.host.settle()
    assert.match(lab.machine.dnsmasq.files(NETWORK)!.opts, /tag:port-.*option:mtu,1400/)
    assert.doesNotMatch(lab.machine.dnsmasq.files(NETWORK)!.opts, /script/)
    const { networks, lastError } = lab.host.status().dhcp
    assert.match(lastError ?? '', /not a mac/)
    assert.match(networks.find((each) => each.networkId === NETWORK)!.notes[0]!, /cannot be the value of a DHCP option/)
    await plug(lab.machine, good)
    lab.machine.netns.addLink(qvoOf(bad.portId), 'veth')
    await lab.machine.ovs.ensurePort('br-int', qvoOf(bad.portId), { externalIds: { 'iface-id': bad.portId } })
    await lab.host.settle()
    assert.ok(lab.control.up.has(good.portId))
    assert.ok(!lab.control.up.has(bad.portId))
    assert.match(lab.host.status().l2.notes[0]!, /qvb33333302/)
  }))

test('a router routes, translates, announces and takes back', () =>
  onHost(async (lab) => {
    const [guest, other] = await furnish(lab)
    const namespace = routerNamespace(ROUTER)
    const rules = (await lab.machine.iptables.save(namespace, 4)).nat!
    assert.ok(rules['neutron-l3-agent-PREROUTING']!.rules.includes('-d 172.24.4.51/32 -j DNAT --to-destination 10.1.0.11'))
    assert.ok(rules['neutron-l3-agent-float-snat']!.rules.includes('-s 10.1.0.11/32 -j SNAT --to-source 172.24.4.51'))
    assert.ok(rules['neutron-l3-agent-snat']!.rules.includes(`-o ${qgOf(QG_PORT)} -j SNAT --to-source 172.24.4.10`))
    assert.deepEqual(await lab.machine.netns.sysctl(namespace, ['net.ipv4.ip_forward']), { 'net.ipv4.ip_forward': '1' })
    assert.ok(
      (await lab.machine.netns.routes(namespace, 4)).some(
        (route) => route.to === 'default' && route.via === '172.24.4.1' && route.dev === qgOf(QG_PORT),
      ),
    )
    assert.deepEqual(
      lab.machine.netns
        .announcements()
        .map((each) => each.address)
        .sort(),
      ['10.1.0.1', '172.24.4.10', '172.24.4.51'],
    )
    assert.equal(lab.machine.haproxy.proxy(ROUTER)?.namespace, namespace)
    const [ready] = lab.control.heard('router-ready').slice(-1)
    assert.equal(ready.floatingIps[0].status, 'ACTIVE')
    assert.equal(ready.floatingIps[0].rules.length, 3)

    lab.control.routers = [
      router({
        floatingIps: [floatingIp(2, other!)],
        enableSnat: false,
        routes: [{ destination: '192.168.7.0/24', nexthop: '10.1.0.12' }],
      }),
    ]
    await lab.host.settle()
    const after = (await lab.machine.iptables.save(namespace, 4)).nat!
    assert.deepEqual(after['neutron-l3-agent-snat']!.rules, ['-j neutron-l3-agent-float-snat'])
    assert.ok(!JSON.stringify(after).includes('172.24.4.51'))
    assert.ok(
      lab.machine.iptables
        .cuts()
        .some((each) => each.namespace === namespace && 'destination' in each.which && each.which.destination === '172.24.4.51'),
    )
    assert.ok((await lab.machine.netns.routes(namespace, 4)).some((route) => route.to === '192.168.7.0/24' && route.via === '10.1.0.12'))
    assert.ok(guest)
    lab.control.routers = [router({ gateway: null, floatingIps: [] })]
    await lab.host.settle()
    assert.deepEqual(
      (await lab.machine.netns.links(namespace)).map((link) => link.name),
      ['lo', qrOf(QR_PORT)],
    )
    assert.ok(!(await lab.machine.netns.routes(namespace, 4)).some((route) => route.to === 'default'))
  }))

test('this machine is given its place on the external network, and gives it up', () =>
  onHost(async (lab) => {
    await furnish(lab)
    const outside = async () => (await lab.machine.netns.links()).find((link) => link.name === 'br-ex')!
    assert.deepEqual(
      [(await outside()).up, (await outside()).addresses.map((each) => `${each.address}/${each.prefix}`)],
      [true, ['172.24.4.1/24']],
    )
    assert.deepEqual((await lab.machine.iptables.save(undefined, 4)).nat?.['neutron-outside-POSTROUTING']?.rules, [
      '-s 172.24.4.0/24 ! -d 172.24.4.0/24 -m physdev ! --physdev-is-bridged -j MASQUERADE',
    ])
    lab.control.external = []
    await lab.host.settle()
    assert.equal((await lab.machine.iptables.save(undefined, 4)).nat?.['neutron-outside-POSTROUTING'], undefined)
    assert.deepEqual((await outside()).addresses, [])
  }))

test('when the switch starts again, flows and devices come back and everything else stays', () =>
  onHost(async (lab) => {
    const guests = await furnish(lab)
    const flows = await linesOf(lab, 'br-int')
    const dnsmasq = lab.machine.dnsmasq.changes()
    await lab.machine.ovs.restart()
    await until('the flows are back', async () => (await linesOf(lab, 'br-int')).length === flows.length, 2_000)
    await lab.host.settle()
    assert.deepEqual(await linesOf(lab, 'br-int'), flows)
    const inside = await lab.machine.netns.links(routerNamespace(ROUTER))
    assert.deepEqual(
      inside.find((link) => link.name === qgOf(QG_PORT))?.addresses.map((each) => each.address),
      ['172.24.4.10', '172.24.4.51'],
    )
    assert.ok((await lab.machine.netns.routes(routerNamespace(ROUTER), 4)).some((route) => route.to === 'default'))
    assert.equal(lab.machine.dnsmasq.changes(), dnsmasq)
    assert.equal(lab.control.up.size, guests.length + 3)
  }))

test('the first connection that leaves translated lights step 42', () =>
  onHost(async (lab) => {
    const [guest] = await furnish(lab)
    const steps: StepRecord[] = []
    const off = onStep((step) => steps.push(step))
    const namespace = routerNamespace(ROUTER)
    lab.machine.iptables.translated(namespace, { source: '10.1.0.12', destination: '10.1.0.11', translatedTo: '172.24.4.10' })
    lab.machine.iptables.translated(namespace, { source: '172.24.4.9', destination: '10.1.0.11', translatedTo: '172.24.4.10' })
    for (let i = 0; i < 2; i++)
      lab.machine.iptables.translated(namespace, { source: '10.1.0.11', destination: '8.8.8.8', translatedTo: '172.24.4.51' })
    await until('it is seen', () => steps.length > 0, 5_000)
    off()
    assert.deepEqual(
      steps.map((step) => [step.subject, step.step, step.evidence.text]),
      [[`server:${guest!.deviceId}`, 42, '10.1.0.11 reached 8.8.8.8 as 172.24.4.51']],
    )
  }))

test('bandwidth of a port is held on the switch’s side and on the guest’s, and let go', () =>
  onHost(async (lab) => {
    const [guest] = await furnish(lab)
    lab.control.devices = [device(1, { bandwidth: { egressKbps: 8000, ingressKbps: 4000 } }), device(2)]
    await lab.host.settle()
    const qvb = qvoOf(guest!.portId).replace('qvo', 'qvb')
    assert.deepEqual(
      [(await lab.machine.netns.shape(undefined, qvb))?.rate, (await lab.machine.ovs.limit(qvoOf(guest!.portId)))?.rate],
      [8000, 4000],
    )
    lab.control.devices = [device(1), device(2)]
    await lab.host.settle()
    assert.deepEqual(
      [await lab.machine.netns.shape(undefined, qvb), await lab.machine.ovs.limit(qvoOf(guest!.portId))],
      [undefined, undefined],
    )
    await lab.machine.ovs.ensurePort('br-int', qvoOf(guest!.portId), {
      externalIds: { 'limit-ingress-kbps': '2000', 'limit-egress-kbps': '9000' },
    })
    lab.control.devices = [device(1, { bandwidth: { egressKbps: 8000, ingressKbps: 4000 } }), device(2)]
    await lab.host.settle()
    const held = [(await lab.machine.netns.shape(undefined, qvb))?.rate, (await lab.machine.ovs.limit(qvoOf(guest!.portId)))?.rate]
    assert.deepEqual(held, [8000, 2000], 'of a policy and a flavor the lower counts')
  }))

test('when nothing is asked for any more, nothing is left; until then everything has its owner', () =>
  onHost(async (lab) => {
    const guests = await furnish(lab)
    const audit = () => lab.bus.call(networkTopic('one'), agent.audit, {})
    const owners = new Set((await audit()).map((thing) => thing.owner))
    assert.deepEqual(
      [...owners].sort(),
      [null, NETWORK, ROUTER, DHCP_PORT, QG_PORT, QR_PORT, ...guests.map((guest) => guest.portId)].sort(),
    )
    for (const guest of guests) await unplug(lab.machine, guest)
    Object.assign(lab.control, { devices: [], networks: [], routers: [], external: [] })
    await lab.host.settle()
    assert.deepEqual(
      (await audit()).filter((thing) => thing.owner !== null),
      [],
    )
    assert.deepEqual(
      lab.control
        .heard('down')
        .flatMap((each) => each.portIds)
        .sort(),
      [...guests.map((guest) => guest.portId), DHCP_PORT, QG_PORT, QR_PORT].sort(),
    )
    assert.deepEqual(await lab.machine.netns.namespaces(), [])
    assert.deepEqual(
      (await lab.machine.ovs.ports('br-int')).map((port) => port.name),
      ['int-br-ex', 'patch-tun'],
    )
  }))
