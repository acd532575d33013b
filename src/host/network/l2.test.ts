import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../../drivers/daemon.ts'
import { type DeviceDetails, events } from '../../network/rpc.ts'
import { furnish, linesOf, onHost, SECOND_NETWORK } from './agent-testing.ts'
import { qgOf, qvoOf, tapOf } from './names.ts'
import { DHCP_PORT, device, NETWORK, plug, QG_PORT, segment, unplug } from './testing.ts'

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
    lab.bus.publish(events.portChanged, { portId: known.portId, networkId: NETWORK }, [known.portId])
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
      lab.bus.publish(events.groupMembersChanged, { groupIds: [group] }, [group])
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

test('who is told to have joined a group is let in without a question, and a look at everything has the last word', () =>
  onHost(async (lab) => {
    const group = '99999999-aaaa-4bbb-8ccc-000000000002'
    const ingress = { direction: 'ingress', etherType: 'IPv4', protocol: null, portMin: null, portMax: null, remotePrefix: null } as const
    const guest = device(1, { rules: [{ ...ingress, remoteGroupId: group }] })
    lab.control.devices = [guest]
    lab.control.groups[group] = ['10.1.0.1/32']
    await lab.host.settle()
    await plug(lab.machine, guest)
    await lab.host.settle()
    const members = async () => [
      ...JSON.stringify(await lab.machine.iptables.save(undefined, 4)).matchAll(/-s (10\.1\.0\.\d+)\/32 -j ACCEPT/g),
    ]
    const seen = async (count: number) => (await members()).length === count
    lab.bus.publish(events.groupMembersChanged, { groupIds: [group], joined: ['10.1.0.2/32', '10.1.0.1/32'] }, [group])
    await until('the second is let in', () => seen(2), 5_000)
    await lab.host.settle()
    await until('control knows of one', () => seen(1), 5_000)
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
