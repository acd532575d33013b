import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { unavailable } from '../../kernel/errors/errors.ts'
import { onStep, type StepRecord } from '../../kernel/trace/trace.ts'
import { control, events, NETWORK_CONTROL } from '../rpc.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

eachDatabaseUrl((databaseUrl) => {
  let house: NetworkHouse
  let failing = 0
  const steps: StepRecord[] = []
  const stop = onStep((step) => steps.push(step))
  const told: string[] = []
  before(async () => {
    const notices: NetworkHouse['notices'] = []
    house = await networkHouse({
      databaseUrl: await databaseUrl(),
      async notifyCompute(some) {
        if (failing-- > 0) throw unavailable('compute sleeps')
        notices.push(...some)
      },
    })
    house.notices = notices
    house.bus.subscribe(events.portChanged, ({ portId }) => void told.push(`port ${portId}`))
    house.bus.subscribe(events.routerChanged, ({ routerId }) => void told.push(`router ${routerId}`))
    house.bus.subscribe(events.securityGroupChanged, ({ portIds }) => void told.push(`filters of ${portIds.length}`))
    await house.agents()
  })
  after(async () => {
    stop()
    await house.close()
  })
  const settled = () => new Promise((resolve) => setTimeout(resolve, 30))
  const statusOf = async (id: string) => (await house.client.port(id)).status
  const up = (portId: string) =>
    house.bus.call(NETWORK_CONTROL, control.devicesUp, { host: 'one', devices: [{ portId, localVlan: 1, device: 'qvo', ofport: 1 }] })
  const entered = (networkId: string, portId: string) =>
    house.bus.call(NETWORK_CONTROL, control.dhcpReady, { host: 'one', networkId, portIds: [portId], hostFile: '/var/lib/host' })
  const guest = (networkId: string, more = {}) =>
    house.make('/ports', 'port', {
      network_id: networkId,
      device_id: 's-1',
      device_owner: 'compute:nova',
      'binding:host_id': 'one',
      ...more,
    })

  describe('the life of a port', () => {
    test('it is ACTIVE when switch and DHCP have it; compute hears, also when it sleeps at first', async () => {
      const { network } = await house.network('10.1.0.0/24')
      const port = await guest(network.id)
      failing = 1
      await up(port.id)
      assert.equal(await statusOf(port.id), 'DOWN')
      await entered(network.id, port.id)
      assert.equal(await statusOf(port.id), 'ACTIVE')
      await up(port.id)
      for (let i = 0; i < 100 && house.notices.length === 0; i++) await settled()
      assert.deepEqual(house.notices.splice(0), [{ name: 'network-vif-plugged', server_uuid: 's-1', tag: port.id, status: 'completed' }])
      await house.bus.call(NETWORK_CONTROL, control.devicesDown, { host: 'two', portIds: [port.id] })
      assert.equal(await statusOf(port.id), 'ACTIVE', 'another host has no say')
      await house.bus.call(NETWORK_CONTROL, control.devicesDown, { host: 'one', portIds: [port.id] })
      assert.equal(await statusOf(port.id), 'DOWN')
      await house.client.deletePort(port.id)
      await settled()
      assert.deepEqual(
        house.notices.splice(0).map((notice) => notice.name),
        ['network-vif-unplugged', 'network-vif-deleted'],
      )
      assert.ok(told.includes(`port ${port.id}`))
    })

    test('both reports at the same moment make it ACTIVE, once', async () => {
      const { network } = await house.network('10.2.0.0/24')
      const ports = await Promise.all(Array.from({ length: 8 }, () => guest(network.id)))
      await Promise.all(ports.flatMap((port) => [up(port.id), entered(network.id, port.id)]))
      for (const port of ports) assert.equal(await statusOf(port.id), 'ACTIVE')
      await settled()
      assert.equal(house.notices.splice(0).length, ports.length)
    })

    test('without DHCP the switch alone decides', async () => {
      const network = await house.make('/networks', 'network', {})
      await house.make('/subnets', 'subnet', { network_id: network.id, cidr: '10.3.0.0/24', enable_dhcp: false })
      const port = await guest(network.id)
      await up(port.id)
      assert.equal(await statusOf(port.id), 'ACTIVE')
    })

    test('steps 20, 38 and 41 are lit by what the agents say', async () => {
      const { network, subnet } = await house.network('10.4.0.0/24')
      const { network: outside } = await house.outside()
      const port = await guest(network.id)
      await house.agents('one')
      const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: outside.id } })
      await house.request('PUT', `/routers/${router.id}/add_router_interface`, { body: { subnet_id: subnet.id } })
      const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: outside.id, port_id: port.id })
      steps.length = 0
      await entered(network.id, port.id)
      const line = 'DHCPACK(tap) 10.4.0.3'
      const lease = {
        host: 'one',
        networkId: network.id,
        macAddress: port.mac_address,
        address: '10.4.0.3',
        line,
        at: 2_000,
        startedAt: 1_500,
      }
      await house.bus.call(NETWORK_CONTROL, control.leaseSeen, lease)
      const ready = { host: 'one', routerId: router.id, floatingIps: [{ id: floating.id, status: 'ACTIVE' as const, rules: ['-A'] }] }
      await house.bus.call(NETWORK_CONTROL, control.routerReady, ready)
      await house.bus.call(NETWORK_CONTROL, control.routerReady, ready)
      assert.equal((await house.client.floatingIps({ id: floating.id }))[0]!.status, 'ACTIVE')
      assert.deepEqual(
        steps.map(({ step, name, subject }) => [step, name, subject === `port:${port.id}`]),
        [
          [20, 'dhcp-entry', true],
          [38, 'dhcp-lease', true],
          [41, 'floating-ip', true],
        ],
      )
      assert.deepEqual([steps[1]!.evidence.text, steps[1]!.startedAt, steps[1]!.ms], [line, 1_500, 500])
      const found = { portId: port.id, instanceId: 's-1', projectId: port.project_id }
      const address = port.fixed_ips[0].ip_address
      assert.deepEqual(await house.bus.call(NETWORK_CONTROL, control.portByAddress, { routerId: router.id, address }), found)
      assert.deepEqual(await house.bus.call(NETWORK_CONTROL, control.portByAddress, { networkId: network.id, address }), found)
      assert.equal(await house.bus.call(NETWORK_CONTROL, control.portByAddress, { networkId: outside.id, address }), null)
      const networks = await house.bus.call(NETWORK_CONTROL, control.dhcpNetworks, { host: 'one' })
      const served = networks.find((one) => one.segment.networkId === network.id)!
      assert.equal(served.isolated, false)
      assert.deepEqual(served.dhcpPort!.fixedIps, [{ subnetId: subnet.id, address: '10.4.0.2' }])
      assert.ok(served.ports.some((one) => one.id === port.id && one.hostname === 'host-10-4-0-3'))
      assert.ok(!networks.some((one) => one.segment.networkId === outside.id), 'no DHCP outside')
      await settled()
      assert.ok(told.includes(`router ${router.id}`))
    })
  })

  test('the groups of a new port hear whose addresses they have gained; after any other change who is in them is to be asked', async () => {
    const { network } = await house.network('10.4.1.0/24')
    const heard: (string[] | undefined)[] = []
    const { id: group } = await house.make('/security-groups', 'security_group', { name: 'heard of' })
    const quiet = house.bus.subscribe(events.groupMembersChanged, ({ joined }) => void heard.push(joined), group)
    const pairs = [{ ip_address: '10.9.0.0/24' }, { ip_address: 'fd00::9' }]
    const port = await guest(network.id, { security_groups: [group], allowed_address_pairs: pairs })
    const address = port.fixed_ips[0].ip_address
    await house.client.updatePort(port.id, { allowed_address_pairs: [] })
    await house.client.deletePort(port.id)
    await settled()
    quiet()
    assert.deepEqual(heard, [[`${address}/32`, '10.9.0.0/24', 'fd00::9/128'], undefined, undefined])
  })

  test('races: addresses, quota, segments, default groups', async () => {
    const { network } = await house.network('10.5.0.0/24', 'admin', { shared: true })
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, i) => house.make('/ports', 'port', { network_id: network.id }, i % 2 ? 'other' : 'admin')),
    )
    assert.equal(new Set(made.map((port) => port.fixed_ips[0].ip_address)).size, 20)
    const groups = (await house.request('GET', '/security-groups', { as: 'other' })).body.security_groups
    assert.equal(groups.length, 1)
    await house.request('PUT', `/quotas/${groups[0].project_id}`, { body: { quota: { network: 4 } } })
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => house.request('POST', '/networks', { as: 'other', body: { network: {} } })),
    )
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [201, 201, 201, 201, ...Array(8).fill(409)])
  })

  test('hosts hear where the tunnels of the others end', async () => {
    const tell = (host: string, address: string) =>
      house.bus.call(NETWORK_CONTROL, control.tunnelEndpoints, { host, type: 'vxlan', address })
    await Promise.all([tell('one', '10.0.0.1'), tell('two', '10.0.0.2')])
    assert.deepEqual(await tell('one', '10.0.0.3'), [
      { host: 'two', address: '10.0.0.2' },
      { host: 'one', address: '10.0.0.3' },
    ])
  })

  test('a host hears who is where on its networks, but for its own ports and those behind no tunnel', async () => {
    await house.agents('two')
    const { network } = await house.network('10.77.0.0/24')
    const onHost = (host: string, type = '') =>
      house.make('/ports', 'port', { network_id: network.id, 'binding:host_id': host, name: type })
    const [, second] = [await onHost('one'), await onHost('two'), await onHost('unknown')]
    await house.bus.call(NETWORK_CONTROL, control.tunnelEndpoints, { host: 'two', type: 'vxlan', address: '10.0.0.2' })
    const told = await house.bus.call(NETWORK_CONTROL, control.neighbours, { host: 'one', networkIds: [network.id] })
    const servers = await house.client.ports({ network_id: network.id, device_owner: 'network:dhcp' })
    assert.deepEqual(servers.map((port) => port['binding:host_id']).sort(), ['one', 'two'], 'two hosts serve its addresses')
    const expected = [second, servers.find((port) => port['binding:host_id'] === 'two')!].map((port) => ({
      macAddress: port.mac_address,
      addresses: [port.fixed_ips[0].ip_address],
      endpoint: '10.0.0.2',
    }))
    assert.deepEqual(told, { [network.id]: expected.sort((a, b) => a.macAddress.localeCompare(b.macAddress)) })
  })
})
