import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { DEMO } from '../../kernel/http/testing.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
before(async () => {
  house = await networkHouse()
  await house.agents('one')
  await house.agents('two')
  await house.agents('three')
  const quota = { network: -1, subnet: -1, port: -1, router: -1 }
  await house.request('PUT', `/quotas/${DEMO}`, { body: { quota } })
})
after(() => house.close())

const post = (path: string, body: object) => house.request('POST', path, { body })
const refusal = async (path: string, body: object) => {
  const { status, body: answer } = await post(path, body)
  return [status, answer.NeutronError?.type]
}

describe('many in one request', () => {
  test('networks get segments of their own, each as asked or the next; two that ask for one are refused, and none is made', async () => {
    const { networks } = (
      await post('/networks', { networks: [{}, { 'provider:network_type': 'vxlan', 'provider:segmentation_id': 3 }, {}, {}] })
    ).body
    const ids = networks.map((one: any) => one['provider:segmentation_id'])
    assert.equal(new Set(ids).size, 4)
    assert.equal(ids[1], 3)
    const before = (await house.request('GET', '/networks')).body.networks.length
    const same = { 'provider:network_type': 'vxlan', 'provider:segmentation_id': 77 }
    assert.deepEqual(await refusal('/networks', { networks: [same, same] }), [409, 'TunnelIdInUse'])
    const external = { 'router:external': true, is_default: true }
    assert.deepEqual(await refusal('/networks', { networks: [external, external] }), [409, 'DefaultExternalNetworkExists'])
    assert.equal((await house.request('GET', '/networks')).body.networks.length, before)
  })

  test('subnets of one network may not overlap, those of a pool follow one another; hosts serve their addresses in turn', async () => {
    const { networks } = (await post('/networks', { networks: [{}, {}, {}] })).body
    const pool = await house.make('/subnetpools', 'subnetpool', { name: 'pool', prefixes: ['10.60.0.0/16'], default_prefixlen: 24 })
    const from = (network: any) => ({ network_id: network.id, subnetpool_id: pool.id })
    const { subnets } = (await post('/subnets', { subnets: networks.map(from) })).body
    assert.deepEqual(
      subnets.map((one: any) => one.cidr),
      ['10.60.0.0/24', '10.60.1.0/24', '10.60.2.0/24'],
    )
    const twice = { network_id: networks[0].id, ip_version: 4, cidr: '10.61.0.0/24' }
    assert.deepEqual(await refusal('/subnets', { subnets: [twice, twice] }), [400, 'InvalidInput'])
    const { ports } = (await house.request('GET', '/ports?device_owner=network:dhcp')).body
    const hosts = networks.map((network: any) =>
      ports.filter((port: any) => port.network_id === network.id).map((port: any) => port['binding:host_id']),
    )
    assert.deepEqual(
      hosts.map((own: string[]) => own.length),
      [2, 2, 2],
    )
    assert.equal(new Set(hosts.flat()).size, 3)
  })

  test('ports get addresses of their own, each knows its groups; one MAC twice is refused; the same id is the same port', async () => {
    const { network, subnet } = await house.network('10.62.0.0/24')
    const wanted = [{}, { fixed_ips: [{ ip_address: '10.62.0.77' }] }, {}].map((more) => ({ network_id: network.id, ...more }))
    const { ports } = (await post('/ports', { ports: wanted })).body
    const addresses = ports.map((one: any) => one.fixed_ips[0].ip_address)
    assert.equal(new Set(addresses).size, 3)
    assert.equal(addresses[1], '10.62.0.77')
    for (const port of ports) assert.equal(port.security_groups.length, 1)
    const mac = { network_id: network.id, mac_address: 'fa:16:3e:aa:bb:cc' }
    assert.deepEqual(await refusal('/ports', { ports: [mac, { ...mac, mac_address: 'FA:16:3E:AA:BB:CC' }] }), [409, 'MacAddressInUse'])
    const address = { network_id: network.id, fixed_ips: [{ subnet_id: subnet.id, ip_address: '10.62.0.99' }] }
    assert.deepEqual(await refusal('/ports', { ports: [address, address] }), [409, 'IpAddressAlreadyAllocated'])
    const named = { network_id: network.id, id: '6f1c1f62-54a4-4a3f-8d2c-0f7b1f6f0001' }
    const same = (await post('/ports', { ports: [named, named] })).body.ports
    assert.deepEqual(same[0], same[1])
  })

  test('routers have gateways with addresses of their own, on hosts in turn; two floating IPs for one address are refused', async () => {
    const { network: outside } = await house.outside()
    const { network, subnet } = await house.network('10.63.0.0/24')
    const gateway = { external_gateway_info: { network_id: outside.id } }
    const { routers } = (await post('/routers', { routers: [gateway, {}, gateway] })).body
    const ways = routers.map((one: any) => one.external_gateway_info?.external_fixed_ips[0].ip_address)
    assert.ok(ways[0] && ways[2] && ways[0] !== ways[2])
    assert.equal(ways[1], undefined)
    const agents = await Promise.all(routers.map(({ id }: any) => house.request('GET', `/routers/${id}/l3-agents`)))
    assert.equal(new Set(agents.map(({ body }) => body.agents[0].host)).size, 3)
    await house.request('PUT', `/routers/${routers[0].id}/add_router_interface`, { body: { subnet_id: subnet.id } })
    const { ports } = (await post('/ports', { ports: [{ network_id: network.id }, { network_id: network.id }] })).body
    const to = (port: any) => ({ floating_network_id: outside.id, port_id: port.id })
    assert.deepEqual(await refusal('/floatingips', { floatingips: [to(ports[0]), to(ports[0])] }), [409, 'FloatingIPPortAlreadyAssociated'])
    const { floatingips } = (await post('/floatingips', { floatingips: ports.map(to) })).body
    assert.deepEqual(
      floatingips.map((one: any) => [one.port_id, one.router_id]),
      ports.map((port: any) => [port.id, routers[0].id]),
    )
  })

  test('a rule that is twice in one request is refused, as is a second default pool', async () => {
    const { security_groups } = (await post('/security-groups', { security_groups: [{ name: 'a' }, { name: 'b' }] })).body
    const rule = (group: any) => ({
      security_group_id: group.id,
      direction: 'ingress',
      protocol: 'tcp',
      port_range_min: 22,
      port_range_max: 22,
    })
    const [a, b] = security_groups.map(rule)
    assert.deepEqual(await refusal('/security-group-rules', { security_group_rules: [a, b, a] }), [409, 'SecurityGroupRuleExists'])
    assert.equal((await post('/security-group-rules', { security_group_rules: [a, b] })).status, 201)
    const pool = (name: string) => ({ name, prefixes: ['10.64.0.0/16'], is_default: true })
    assert.deepEqual(await refusal('/subnetpools', { subnetpools: [pool('a'), pool('b')] }), [409, 'ExistingSubnetPool'])
  })
})
