import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { until } from '../../drivers/daemon.ts'
import { agent, events, networkTopic } from '../../network/rpc.ts'
import { furnish, linesOf, onHost } from './agent-testing.ts'
import { qgOf, routerNamespace } from './names.ts'
import { DHCP_PORT, NETWORK, QG_PORT, QR_PORT, ROUTER, unplug } from './testing.ts'

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

for (const serves of [true, false])
  test(`a host that serves ${serves ? 'networks says' : 'none does not say'} that it is there`, () =>
    onHost(
      async (lab) => {
        const heard = new Set<string>()
        lab.bus.subscribe(events.hostAlive, ({ host }) => void heard.add(host))
        await lab.restart()
        await setImmediate() // events are heard in the next turn
        assert.deepEqual([...heard], serves ? ['one'] : [])
      },
      { serves: { dhcp: serves, l3: serves } },
    ))

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
