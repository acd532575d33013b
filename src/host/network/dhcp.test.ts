import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../../drivers/daemon.ts'
import { events } from '../../network/rpc.ts'
import { furnish, onHost, SECOND_NETWORK } from './agent-testing.ts'
import { dhcpNamespace, qvoOf, tapOf } from './names.ts'
import { DHCP_PORT, device, dhcpNetwork, NETWORK, plug, segment } from './testing.ts'

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
    lab.bus.publish(events.portChanged, { portId: third.portId, networkId: NETWORK }, [NETWORK])
    await until(
      'the third is ready',
      () => lab.control.heard('dhcp-ready').some((each) => each.portIds.length === 1 && each.portIds[0] === third.portId),
      2_000,
    )
  }))

test('ports of networks that are served elsewhere wake no address service', () =>
  onHost(async (lab) => {
    const { reconciler } = lab.host.dhcp
    const runsAfter = async (networkId: string) => {
      const { runs } = await reconciler.settle()
      lab.bus.publish(events.portChanged, { portId: device(1).portId, networkId }, [networkId])
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
