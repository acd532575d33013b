import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { control, NETWORK_CONTROL } from '../rpc.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
let outside: { network: any; subnet: any }
before(async () => {
  house = await networkHouse()
  await house.agents()
  outside = await house.outside()
})
after(() => house.close())

const put = (path: string, body: object, as = 'admin') => house.request('PUT', path, { as, body })
let nth = 0

/** A project's router between a fresh network and the outside, and a port behind it. */
async function furnished(as = 'member') {
  const inside = await house.network(`10.${++nth}.0.0/24`, as)
  const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: outside.network.id } }, as)
  const joined = await put(`/routers/${router.id}/add_router_interface`, { subnet_id: inside.subnet.id }, as)
  assert.equal(joined.status, 200, JSON.stringify(joined.body))
  const port = await house.make('/ports', 'port', { network_id: inside.network.id }, as)
  return { ...inside, router, port, joined: joined.body }
}

describe('routers', () => {
  test('agents hear what guests of an IPv6 subnet are to be told, where the router is its gateway', async () => {
    const { network, router } = await furnished('other')
    const join = async (mode: object, cidr: string) => {
      const subnet = { network_id: network.id, ip_version: 6, cidr, dns_nameservers: ['2001:db8::53', '192.0.2.53'], ...mode }
      const { id } = await house.make('/subnets', 'subnet', subnet, 'other')
      assert.equal((await put(`/routers/${router.id}/add_router_interface`, { subnet_id: id }, 'other')).status, 200)
      const { routers } = await house.bus.call(NETWORK_CONTROL, control.routers, { host: 'one' })
      const ports = routers.find((one) => one.id === router.id)!.interfaces
      return ports.flatMap((port) => port.addresses).find((address) => address.subnetId === id)!.advertised
    }
    const slaac = { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' }
    assert.deepEqual(await join(slaac, '2001:db8:1::/64'), { mode: 'slaac', dns: ['2001:db8::53'] })
    assert.equal(await join({}, '2001:db8:2::/64'), null)
  })

  test('gateway and interface get their addresses; agents hear of them', async () => {
    const { network, subnet, router, joined } = await furnished('other')
    assert.equal(router.external_gateway_info.network_id, outside.network.id)
    assert.match(router.external_gateway_info.external_fixed_ips[0].ip_address, /^172\.24\.4\.\d+$/)
    assert.deepEqual([joined.id, joined.subnet_id, joined.network_id], [router.id, subnet.id, network.id])
    const { routers, external } = await house.bus.call(NETWORK_CONTROL, control.routers, { host: 'one' })
    const details = routers.find((one) => one.id === router.id)!
    assert.deepEqual(
      details.interfaces[0]!.addresses.map((one) => `${one.address}/${one.prefixLength}`),
      [`${subnet.gateway_ip}/24`],
    )
    assert.equal(details.gateway!.addresses[0]!.gateway, '172.24.4.1')
    assert.deepEqual(external, [
      {
        segment: { networkId: outside.network.id, networkType: 'flat', physicalNetwork: 'public', segmentationId: null, mtu: 1500 },
        gatewayCidr: '172.24.4.1/24',
      },
    ])
    const hidden = (await house.request('GET', `/ports?device_id=${router.id}`, { as: 'other' })).body.ports
    assert.deepEqual(
      hidden.map((one: any) => one.device_owner),
      ['network:router_interface'],
      'the gateway port is the cloud’s own',
    )
  })

  test('what is in use stays: interface, gateway, router, its ports', async () => {
    const { subnet, router, port, joined } = await furnished()
    const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: outside.network.id, port_id: port.id }, 'member')
    const refused = async (method: string, path: string, body?: object) =>
      (await house.request(method, path, { as: 'member', body })).body.NeutronError?.type
    assert.equal(await refused('DELETE', `/routers/${router.id}`), 'RouterInUse')
    assert.equal(await refused('DELETE', `/ports/${joined.port_id}`), 'ServicePortInUse')
    assert.equal(
      await refused('PUT', `/routers/${router.id}/remove_router_interface`, { subnet_id: subnet.id }),
      'RouterInterfaceInUseByFloatingIP',
    )
    assert.equal(
      await refused('PUT', `/routers/${router.id}`, { router: { external_gateway_info: {} } }),
      'RouterExternalGatewayInUseByFloatingIp',
    )
    assert.equal(await refused('PUT', `/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id }), 'BadRequest')
    assert.equal(await refused('PUT', `/routers/${router.id}/add_router_interface`, {}), 'BadRequest')
    assert.equal(await refused('PUT', `/subnets/${subnet.id}`, { subnet: { gateway_ip: null } }), 'GatewayIpInUse')
    assert.equal((await house.request('DELETE', `/floatingips/${floating.id}`, { as: 'member' })).status, 204)
    assert.equal((await put(`/routers/${router.id}/remove_router_interface`, { subnet_id: subnet.id }, 'member')).status, 200)
    assert.equal(
      await refused('PUT', `/routers/${router.id}/remove_router_interface`, { subnet_id: subnet.id }),
      'RouterInterfaceNotFoundForSubnet',
    )
    const bare = await put(`/routers/${router.id}`, { router: { external_gateway_info: null } }, 'member')
    assert.equal(bare.body.router.external_gateway_info, null)
    assert.equal((await house.request('DELETE', `/routers/${router.id}`, { as: 'member' })).status, 204)
  })

  test('extra routes lead to neighbours only', async () => {
    const { router, subnet } = await furnished()
    const neighbour = subnet.gateway_ip.replace(/1$/, '200')
    const routes = [{ destination: '10.200.0.0/16', nexthop: neighbour }]
    assert.equal((await put(`/routers/${router.id}`, { router: { routes: [{ ...routes[0], nexthop: '10.250.0.1' }] } })).status, 400)
    assert.deepEqual((await put(`/routers/${router.id}`, { router: { routes } })).body.router.routes, routes)
    const more = [{ destination: '10.201.0.0/16', nexthop: neighbour }]
    assert.equal((await put(`/routers/${router.id}/add_extraroutes`, { router: { routes: more } })).body.router.routes.length, 2)
    assert.deepEqual((await put(`/routers/${router.id}/remove_extraroutes`, { router: { routes } })).body.router.routes, more)
    assert.equal(
      (await put(`/routers/${router.id}/remove_router_interface`, { subnet_id: subnet.id })).body.NeutronError.type,
      'RouterInterfaceInUseByRoute',
    )
  })

  test('another project’s router is not there, and its subnets cannot be joined', async () => {
    const { router, subnet } = await furnished()
    assert.equal((await house.request('GET', `/routers/${router.id}`, { as: 'other' })).status, 404)
    assert.equal((await put(`/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id }, 'other')).status, 404)
    const own = await house.make('/routers', 'router', {}, 'other')
    assert.equal((await put(`/routers/${own.id}/add_router_interface`, { subnet_id: subnet.id }, 'other')).status, 404)
    assert.equal(
      (await put(`/routers/${own.id}`, { router: { external_gateway_info: { network_id: subnet.network_id } } }, 'admin')).status,
      400,
    )
  })
})

describe('floating IPs', () => {
  test('one is taken, led to a port, elsewhere, nowhere, and given back', async () => {
    const { port, network } = await furnished()
    const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: outside.network.id }, 'member')
    assert.deepEqual([floating.status, floating.port_id, floating.router_id], ['DOWN', null, null])
    const path = `/floatingips/${floating.id}`
    const led = (await put(path, { floatingip: { port_id: port.id } }, 'member')).body.floatingip
    assert.equal(led.fixed_ip_address, port.fixed_ips[0].ip_address)
    const rival = await house.request('POST', '/floatingips', {
      as: 'member',
      body: { floatingip: { floating_network_id: outside.network.id, port_id: port.id } },
    })
    assert.deepEqual([rival.status, rival.body.NeutronError.type], [409, 'FloatingIPPortAlreadyAssociated'])
    assert.equal((await house.request('GET', `/floatingips?port_id=${port.id}`)).body.floatingips.length, 1)
    const second = await house.make('/ports', 'port', { network_id: network.id }, 'member')
    assert.equal((await put(path, { floatingip: { port_id: second.id } }, 'member')).body.floatingip.port_id, second.id)
    assert.equal((await house.request('DELETE', `/ports/${second.id}`, { as: 'member' })).status, 204)
    const nowhere = (await house.request('GET', path)).body.floatingip
    assert.deepEqual([nowhere.port_id, nowhere.fixed_ip_address, nowhere.router_id, nowhere.status], [null, null, null, 'DOWN'])
    assert.equal((await house.request('DELETE', path, { as: 'member' })).status, 204)
    assert.equal((await house.request('GET', `/ports?device_id=${floating.id}`)).body.ports.length, 0)
  })

  test('those that lead nowhere go with their network', async () => {
    const network = await house.make('/networks', 'network', { 'router:external': true })
    const subnet = { network_id: network.id, ip_version: 4, cidr: '10.98.0.0/24', enable_dhcp: false }
    await house.make('/subnets', 'subnet', subnet)
    const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: network.id } })
    const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: network.id })
    const path = `/networks/${network.id}`
    assert.equal((await house.request('DELETE', path)).body.NeutronError.type, 'NetworkInUse')
    assert.equal((await house.request('GET', `/floatingips/${floating.id}`)).status, 200)
    assert.equal((await house.request('DELETE', `/routers/${router.id}`)).status, 204)
    assert.equal((await house.request('DELETE', path)).status, 204)
    assert.equal((await house.request('GET', `/floatingips/${floating.id}`)).status, 404)
    assert.deepEqual(await house.client.ports({ network_id: network.id }), [])
  })

  test('one has a name in a domain, both or neither, which stay as they were given', async () => {
    const post = (more: object) =>
      house.request('POST', '/floatingips', { as: 'member', body: { floatingip: { floating_network_id: outside.network.id, ...more } } })
    const names = ({ dns_name, dns_domain }: any) => [dns_name, dns_domain]
    const { floatingip } = (await post({ dns_name: 'Web.shop', dns_domain: 'Example.org.' })).body
    assert.deepEqual(names(floatingip), ['web.shop', 'example.org.'])
    const path = `/floatingips/${floatingip.id}`
    assert.deepEqual(names((await house.request('GET', path)).body.floatingip), ['web.shop', 'example.org.'])
    const found = (await house.request('GET', '/floatingips?dns_name=web.shop&dns_domain=example.org.')).body.floatingips
    assert.deepEqual(
      found.map((one: any) => one.id),
      [floatingip.id],
    )
    const plain = (await post({ dns_name: '', dns_domain: '' })).body.floatingip
    assert.deepEqual(names(plain), ['', ''])
    const refused = [
      { dns_name: 'web' },
      { dns_domain: 'example.org.' },
      { dns_name: 'web.', dns_domain: 'example.org.' },
      { dns_name: 'web', dns_domain: 'example.org' },
      { dns_name: '-web', dns_domain: 'example.org.' },
      { dns_name: 'web', dns_domain: 'example..org.' },
      { dns_name: 'web', dns_domain: 'example.7.' },
      { dns_name: 'a.'.repeat(126).concat('b'), dns_domain: 'example.org.' },
    ]
    for (const more of refused) assert.equal((await post(more)).status, 400, JSON.stringify(more))
    const late = await house.request('PUT', path, { as: 'member', body: { floatingip: { dns_name: 'other' } } })
    assert.deepEqual([late.status, late.body.NeutronError.message], [400, 'Cannot update read-only attribute dns_name'])
    for (const { id } of [floatingip, plain]) await house.request('DELETE', `/floatingips/${id}`, { as: 'member' })
  })

  test('no way to the outside, no external network, foreign port: refused', async () => {
    const { network } = await house.network('10.99.0.0/24', 'member')
    const port = await house.make('/ports', 'port', { network_id: network.id }, 'member')
    const post = async (more: object, as = 'member') =>
      (await house.request('POST', '/floatingips', { as, body: { floatingip: { floating_network_id: outside.network.id, ...more } } })).body
        .NeutronError?.type
    assert.equal(await post({ port_id: port.id }), 'ExternalGatewayForFloatingIPNotFound')
    assert.equal(await post({ floating_network_id: network.id }), 'BadRequest')
    assert.equal(await post({ port_id: port.id }, 'other'), 'PortNotFound')
    assert.equal(await post({ floating_ip_address: '172.24.4.77' }), 'PolicyNotAuthorized')
    assert.equal(await post({ floating_ip_address: '172.24.4.77' }, 'admin'), undefined)
    assert.equal(await post({ floating_ip_address: '172.24.4.77' }, 'admin'), 'IpAddressAlreadyAllocated')
  })
})
