import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { DEMO, OTHER } from '../../kernel/http/testing.ts'
import { control, NETWORK_CONTROL } from '../rpc.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'
import { contradictions } from '../whole-testing.ts'

describe('ports of routers and floating addresses', () => {
  let house: NetworkHouse
  let outside: { network: any; subnet: any }
  let nth = 0
  before(async () => {
    house = await networkHouse()
    await house.agents()
    outside = await house.outside()
    for (const project of [DEMO, OTHER])
      await house.request('PUT', `/quotas/${project}`, { body: { quota: { network: -1, subnet: -1, router: -1 } } })
  })
  after(async () => {
    assert.deepEqual(await contradictions(house.service.context.database.db), [])
    await house.close()
  })

  const answer = async (method: string, path: string, body?: object, as = 'member') => {
    const { status, body: document } = await house.request(method, path, { as, body })
    return [status, document?.NeutronError?.type ?? null]
  }
  const change = (port: { id: string }, document: object, as?: string) => answer('PUT', `/ports/${port.id}`, { port: document }, as)
  const furnished = async (as = 'member') => {
    const inside = await house.network(`10.${++nth}.0.0/24`, as)
    const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: outside.network.id } }, as)
    const joined = await house.request('PUT', `/routers/${router.id}/add_router_interface`, { as, body: { subnet_id: inside.subnet.id } })
    const port = await house.make('/ports', 'port', { network_id: inside.network.id }, as)
    return { ...inside, router, port, stand: { id: joined.body.port_id as string } }
  }

  test('nobody puts a router, another project’s or an own one, into a network by saying so of a port', async () => {
    const { network, port, router } = await furnished()
    const { router: others } = await furnished('other')
    const told = async () =>
      (await house.bus.call(NETWORK_CONTROL, control.routers, { host: 'one' })).routers.map((one) => one.interfaces.length)
    const before = await told()
    for (const device_id of [others.id, router.id])
      for (const device_owner of ['network:router_interface', 'network:router_gateway', 'network:router_ha_interface']) {
        const document = { device_owner, device_id }
        assert.deepEqual(await answer('POST', '/ports', { port: { network_id: network.id, ...document } }), [
          409,
          'DeviceIDNotOwnedByTenant',
        ])
        assert.deepEqual(await change(port, document), [409, 'DeviceIDNotOwnedByTenant'])
      }
    assert.deepEqual(await told(), before)
    const nobodys = { device_owner: 'network:router_interface', device_id: 'd5a40d41-4fd4-4a3f-8d2c-0f7b1f6f0001' }
    assert.deepEqual(await change(port, nobodys), [200, null])
    assert.deepEqual(await answer('DELETE', `/ports/${port.id}`), [204, null])
  })

  test('an interface stays its router’s, on its host; it gets and loses addresses as the router could', async () => {
    const { network, subnet, router, port, stand } = await furnished()
    assert.deepEqual(await change(stand, { device_owner: '', device_id: '' }), [409, 'PortInUse'])
    assert.deepEqual(await change(stand, { device_owner: 'network:dhcp' }), [409, 'PortInUse'])
    assert.deepEqual(await change(stand, { 'binding:host_id': 'two' }, 'admin'), [409, 'PortInUse'])
    assert.deepEqual(await change(stand, { name: 'stand', device_id: router.id, device_owner: 'network:router_interface' }), [200, null])
    const more = await house.make('/subnets', 'subnet', { network_id: network.id, ip_version: 4, cidr: `10.${++nth}.0.0/24` }, 'member')
    const both = [{ subnet_id: subnet.id, ip_address: subnet.gateway_ip }, { subnet_id: more.id }]
    assert.deepEqual(await change(stand, { fixed_ips: both }), [200, null])
    const way = more.cidr.replace('.0/24', '.9')
    const routes = [{ destination: '10.200.0.0/16', nexthop: way }]
    assert.deepEqual(await answer('PUT', `/routers/${router.id}`, { router: { routes } }), [200, null])
    assert.deepEqual(await change(stand, { fixed_ips: [] }), [400, 'BadRequest'])
    assert.deepEqual(await change(stand, { fixed_ips: both.slice(0, 1) }), [409, 'RouterInterfaceInUseByRoute'])
    assert.deepEqual(await answer('PUT', `/routers/${router.id}`, { router: { routes: [] } }), [200, null])
    await house.make('/floatingips', 'floatingip', { floating_network_id: outside.network.id, port_id: port.id }, 'member')
    assert.deepEqual(await change(stand, { fixed_ips: both.slice(1) }), [409, 'RouterInterfaceInUseByFloatingIP'])
    assert.deepEqual(await change(stand, { fixed_ips: both.slice(0, 1) }), [200, null])
    const { network: third } = await house.network(`10.${++nth}.0.0/24`, 'member')
    const same = await house.make('/subnets', 'subnet', { network_id: third.id, ip_version: 4, cidr: more.cidr }, 'member')
    await house.request('PUT', `/routers/${router.id}/add_router_interface`, { body: { subnet_id: same.id } })
    assert.deepEqual(await change(stand, { fixed_ips: both }), [400, 'BadRequest'])
  })

  test('a floating address keeps its port and that its address', async () => {
    const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: outside.network.id }, 'member')
    const [own] = (await house.request('GET', `/ports?device_id=${floating.id}`)).body.ports
    assert.deepEqual(await change(own, { device_id: '' }, 'admin'), [409, 'PortInUse'])
    assert.deepEqual(await change(own, { fixed_ips: [{ subnet_id: outside.subnet.id, ip_address: '172.24.4.99' }] }, 'admin'), [
      409,
      'PortInUse',
    ])
    assert.deepEqual(await change(own, { name: 'own' }, 'admin'), [200, null])
  })

  test('a gateway goes from under the routes that lead through it, which stay the router’s', async () => {
    const { router } = await furnished()
    const routes = [{ destination: '10.200.0.0/16', nexthop: '172.24.4.9' }]
    const set = (document: object) => answer('PUT', `/routers/${router.id}`, { router: document })
    const more = (change: string, routes: object[]) => answer('PUT', `/routers/${router.id}/${change}_extraroutes`, { router: { routes } })
    const held = async () => (await house.request('GET', `/routers/${router.id}`)).body.router.routes
    const gateway = { network_id: outside.network.id }
    assert.deepEqual(await set({ routes }), [200, null])
    assert.deepEqual(await set({ external_gateway_info: null }), [200, null])
    assert.deepEqual(await held(), routes)
    const [told] = (await house.bus.call(NETWORK_CONTROL, control.routers, { host: 'one' })).routers.filter((one) => one.id === router.id)
    assert.deepEqual([told!.gateway, told!.routes], [null, routes])
    assert.deepEqual(await set({ name: 'still' }), [200, null])
    assert.deepEqual(await more('add', [{ destination: '10.201.0.0/16', nexthop: '172.24.4.9' }]), [400, 'InvalidRoutes'])
    assert.deepEqual(await set({ external_gateway_info: gateway, routes }), [400, 'InvalidRoutes'])
    assert.deepEqual(await set({ external_gateway_info: gateway }), [200, null])
    assert.deepEqual(await set({ external_gateway_info: null, routes }), [200, null])
    assert.deepEqual(await more('remove', routes), [200, null])
    assert.deepEqual(await held(), [])
  })

  test('a gateway gets the address that was a next hop', async () => {
    const { router } = await furnished()
    const routes = [{ destination: '10.200.0.0/16', nexthop: '172.24.4.77' }]
    assert.deepEqual(await answer('PUT', `/routers/${router.id}`, { router: { routes } }), [200, null])
    const external_fixed_ips = [{ ip_address: '172.24.4.77' }]
    const document = { external_gateway_info: { network_id: outside.network.id, external_fixed_ips } }
    assert.deepEqual(await answer('PUT', `/routers/${router.id}`, { router: document }, 'admin'), [200, null])
  })

  test('a port behind which a router stands is in no group, lets nobody pass and is not up before its host says so', async () => {
    const { network, router, port: peer } = await furnished()
    const group = await house.make('/security-groups', 'security_group', { name: 'g' }, 'member')
    const cidr = `10.${++nth}.0.0/24`
    const subnet = await house.make('/subnets', 'subnet', { network_id: network.id, ip_version: 4, cidr }, 'member')
    const document = {
      network_id: network.id,
      security_groups: [group.id],
      fixed_ips: [{ subnet_id: subnet.id }],
      'binding:host_id': 'two',
    }
    const port = await house.make('/ports', 'port', { ...document, allowed_address_pairs: [{ ip_address: '10.9.9.9' }] })
    await house.bus.call(NETWORK_CONTROL, control.devicesUp, {
      host: 'two',
      devices: [{ portId: port.id, localVlan: 1, device: 'q', ofport: 1 }],
    })
    await house.bus.call(NETWORK_CONTROL, control.dhcpReady, { host: 'one', networkId: network.id, portIds: [port.id], hostFile: '/h' })
    assert.equal((await house.client.port(port.id)).status, 'ACTIVE')
    await house.request('PUT', `/routers/${router.id}/add_router_interface`, { body: { port_id: port.id } })
    const now = (await house.request('GET', `/ports/${port.id}`)).body.port
    assert.deepEqual([now.status, now.security_groups, now.allowed_address_pairs], ['DOWN', [], []])
    assert.deepEqual(await change(port, { name: 'renamed' }), [200, null])
    assert.ok(peer)
  })

  test('a port that waited for a subnet’s address service no longer does when there is none', async () => {
    const { network, subnet } = await house.network(`10.${++nth}.0.0/24`)
    const port = await house.make('/ports', 'port', {
      network_id: network.id,
      'binding:host_id': 'one',
      device_owner: 'compute:nova',
      device_id: 's',
    })
    await house.bus.call(NETWORK_CONTROL, control.devicesUp, {
      host: 'one',
      devices: [{ portId: port.id, localVlan: 1, device: 'q', ofport: 1 }],
    })
    assert.equal((await house.client.port(port.id)).status, 'DOWN')
    await house.request('PUT', `/subnets/${subnet.id}`, { body: { subnet: { enable_dhcp: false } } })
    assert.equal((await house.client.port(port.id)).status, 'ACTIVE')
  })

  test('an id that is there already is refused', async () => {
    const { network, subnet, router } = await furnished()
    const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: outside.network.id })
    const group = await house.make('/security-groups', 'security_group', { name: 'g' })
    const rule = { security_group_id: group.id, direction: 'ingress', protocol: 'tcp' }
    const pool = { name: 'p', prefixes: ['10.250.0.0/24'] }
    const kinds: [string, string, { id: string }, object][] = [
      ['networks', 'network', network, {}],
      ['subnets', 'subnet', subnet, { network_id: network.id, ip_version: 4, cidr: '10.251.0.0/24' }],
      ['subnetpools', 'subnetpool', await house.make('/subnetpools', 'subnetpool', pool), pool],
      ['routers', 'router', router, {}],
      ['floatingips', 'floatingip', floating, { floating_network_id: outside.network.id }],
      ['security-groups', 'security_group', group, { name: 'g' }],
      [
        'security-group-rules',
        'security_group_rule',
        await house.make('/security-group-rules', 'security_group_rule', rule),
        { ...rule, protocol: 'udp' },
      ],
    ]
    for (const [path, name, { id }, document] of kinds) {
      assert.deepEqual(await answer('POST', `/${path}`, { [name]: { ...document, id } }, 'admin'), [409, 'Conflict'], path)
      const twice = { ...document, id: '6f1c1f62-54a4-4a3f-8d2c-0f7b1f6f0001' }
      assert.deepEqual(await answer('POST', `/${path}`, { [path.replaceAll('-', '_')]: [twice, twice] }, 'admin'), [409, 'Conflict'], path)
    }
  })
})
