import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../drivers/daemon.ts'
import { simulatedDnsmasq } from '../drivers/dnsmasq/simulated.ts'
import { simulatedHaProxy } from '../drivers/haproxy/simulated.ts'
import { simulatedIpTables } from '../drivers/iptables/simulated.ts'
import { simulatedNetNs } from '../drivers/netns/simulated.ts'
import { simulatedOvs } from '../drivers/ovs/simulated.ts'
import { simulatedRadv } from '../drivers/radv/simulated.ts'
import { NetworkHost } from '../host/network/agent.ts'
import { plug } from '../host/network/testing.ts'
import { silent } from '../kernel/log/log.ts'
import { onStep } from '../kernel/trace/trace.ts'
import { control, NETWORK_CONTROL } from './rpc.ts'
import { networkHouse } from './testing.ts'

test('control and the agents of a host together: a guest is plugged, gets its lease and its floating IP', async () => {
  const house = await networkHouse()
  const folder = mkdtempSync(join(tmpdir(), 'network-agents-'))
  const netns = simulatedNetNs()
  const namespaces = () => netns.namespaces()
  const machine = {
    netns,
    ovs: simulatedOvs({ netns, datapathTypes: ['netdev'] }),
    iptables: simulatedIpTables({ namespaces }),
    dnsmasq: simulatedDnsmasq({ namespaces }),
    haproxy: simulatedHaProxy({ namespaces }),
    radv: simulatedRadv({ namespaces }),
  }
  const host = new NetworkHost({
    settings: {
      host: 'one',
      serves: { dhcp: true, l3: true },
      bridgeMappings: { public: 'br-ex' },
      tunnels: { address: null, types: ['vxlan', 'gre'] },
      external: { hostAddress: true, masquerade: true },
      dnsDomain: 'openstacklocal',
      upstreamDns: [],
      metadataSocket: join(folder, 'metadata.sock'),
      everyMs: 60_000,
    },
    machine,
    bus: house.bus,
    log: silent(),
    metadataSecret: 's',
    metadataApi: async () => ({ status: 200, headers: {}, body: '' }),
  })
  const steps: number[] = []
  const stop = onStep((step) => steps.push(step.step))
  await host.start()
  try {
    await until('the agents report', async () => (await house.request('GET', '/agents')).body.agents.length === 4, 5_000)
    const { network: outside } = await house.outside()
    const { network, subnet } = await house.network('10.1.0.0/24')
    const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: outside.id } })
    await house.request('PUT', `/routers/${router.id}/add_router_interface`, { body: { subnet_id: subnet.id } })
    const port = await house.client.createPort({
      network_id: network.id,
      device_id: 's-1',
      device_owner: 'compute:nova',
      'binding:host_id': 'one',
    })
    assert.equal(port['binding:vif_type'], 'ovs')
    const [details] = await house.bus.call(NETWORK_CONTROL, control.deviceDetails, { host: 'one', portIds: [port.id] })
    await plug(machine, details!)
    await until('the port is ACTIVE', async () => (await house.client.port(port.id)).status === 'ACTIVE', 10_000)
    await until('compute hears', () => house.notices.length > 0, 5_000)
    assert.deepEqual(house.notices, [{ name: 'network-vif-plugged', server_uuid: 's-1', tag: port.id, status: 'completed' }])
    assert.match(machine.dnsmasq.files(network.id)!.host, new RegExp(`${port.mac_address}.*${port.fixed_ips[0]!.ip_address}`))
    machine.dnsmasq.request(network.id, port.mac_address)
    const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: outside.id, port_id: port.id })
    const active = async () => (await house.client.floatingIps({ id: floating.id }))[0]!.status === 'ACTIVE'
    await until('the floating IP is ACTIVE', active, 10_000)
    const own = async () =>
      (await house.client.ports({ device_owner: ['network:dhcp', 'network:router_interface', 'network:router_gateway'] })).map(
        (one) => one.status,
      )
    await until('the cloud’s own ports are ACTIVE', async () => (await own()).join() === 'ACTIVE,ACTIVE,ACTIVE', 10_000)
    await until('all steps are lit', () => [19, 20, 22, 23, 38, 41].every((step) => steps.includes(step)), 5_000)
    await house.request('DELETE', `/floatingips/${floating.id}`)
    await house.client.deletePort(port.id)
    await house.request('PUT', `/routers/${router.id}/remove_router_interface`, { body: { subnet_id: subnet.id } })
    assert.equal((await house.request('DELETE', `/routers/${router.id}`)).status, 204)
    assert.equal((await house.request('DELETE', `/networks/${network.id}`)).status, 204)
    await until('nothing is left', async () => (await netns.namespaces()).length === 0, 10_000)
  } finally {
    stop()
    await host.stop()
    await house.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
