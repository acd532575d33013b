import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { DEMO, OTHER, refusalTests } from '../../kernel/http/testing.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
before(async () => {
  house = await networkHouse()
})
after(() => house.close())

refusalTests(async () => house.service.api)

describe('networks', () => {
  test('a network has a segment, an MTU and the attributes that clients print', async () => {
    const network = await house.make('/networks', 'network', { name: 'private', tags: ['b', 'a'] })
    assert.equal(network['provider:network_type'], 'vxlan')
    assert.ok(network['provider:segmentation_id'] >= 1)
    assert.deepEqual(
      [network.mtu, network.status, network.project_id, network.tenant_id, network.shared, network['router:external']],
      [1450, 'ACTIVE', DEMO, DEMO, false, false],
    )
    assert.deepEqual(network.tags, ['a', 'b'])
    const shown = await house.request('GET', `/networks/${network.id}`)
    assert.deepEqual(shown.body.network, network)
    const changed = await house.request('PUT', `/networks/${network.id}`, { body: { network: { name: 'mine', admin_state_up: false } } })
    assert.deepEqual(
      [changed.body.network.name, changed.body.network.admin_state_up, changed.body.network.revision_number],
      ['mine', false, 1],
    )
    assert.equal((await house.request('DELETE', `/networks/${network.id}`)).status, 204)
    const gone = await house.request('GET', `/networks/${network.id}`)
    assert.equal(gone.status, 404)
    assert.deepEqual(gone.body.NeutronError, { type: 'NetworkNotFound', message: `Network ${network.id} could not be found.`, detail: '' })
  })

  test('what a network does not have is refused, and what is only to be looked at', async () => {
    const refused = async (method: 'POST' | 'PUT', path: string, network: object, words: string) => {
      const answer = await house.request(method, path, { body: { network } })
      assert.deepEqual([answer.status, answer.body.NeutronError?.message], [400, words])
    }
    await refused('POST', '/networks', { colour: 'red', size: 1 }, "Unrecognized attribute(s) 'colour, size'")
    await refused('POST', '/networks', { status: 'DOWN' }, "Attribute 'status' not allowed in POST")
    const { id } = await house.make('/networks', 'network', { name: 'known' })
    await refused('PUT', `/networks/${id}`, { colour: 'red' }, "Unrecognized attribute(s) 'colour'")
    for (const name of ['project_id', 'revision_number', 'availability_zone_hints'])
      await refused('PUT', `/networks/${id}`, { [name]: [] }, `Cannot update read-only attribute ${name}`)
    const beside = await house.request('PUT', `/networks/${id}`, { body: { network: { name: 'still known' }, colour: 'red' } })
    assert.equal(beside.status, 200)
    assert.equal((await house.request('DELETE', `/networks/${id}`)).status, 204)
  })

  test('addresses that end with .json lead to the same', async () => {
    const network = (await house.request('POST', '/networks.json', { body: { network: { name: 'old' } } })).body.network
    assert.equal((await house.request('GET', `/networks/${network.id}.json`)).body.network.id, network.id)
    const found = (await house.request('GET', '/networks.json', { query: { name: 'old', fields: 'id' } })).body.networks
    assert.deepEqual(found, [{ id: network.id }])
    assert.equal((await house.request('DELETE', `/networks/${network.id}.json`)).status, 204)
  })

  test('numbers and truth values may come as texts, as typed', async () => {
    const typed = { 'provider:network_type': 'gre', 'provider:segmentation_id': '5', shared: 'True', admin_state_up: 'false', mtu: '1400' }
    const network = await house.make('/networks', 'network', typed)
    assert.deepEqual([network['provider:segmentation_id'], network.shared, network.admin_state_up, network.mtu], [5, true, false, 1400])
    assert.equal((await house.request('POST', '/networks', { as: 'other', body: { network: { shared: 'True' } } })).status, 403)
    assert.equal((await house.request('POST', '/networks', { body: { network: { shared: 'perhaps' } } })).status, 400)
    await house.request('DELETE', `/networks/${network.id}`)
  })

  test('segments: as asked, never twice, given back', async () => {
    const gre = { 'provider:network_type': 'gre', 'provider:segmentation_id': 77 }
    const one = await house.make('/networks', 'network', gre)
    assert.deepEqual([one['provider:segmentation_id'], one.mtu], [77, 1458])
    const refused = await house.request('POST', '/networks', { body: { network: gre } })
    assert.deepEqual([refused.status, refused.body.NeutronError.type], [409, 'TunnelIdInUse'])
    await house.request('DELETE', `/networks/${one.id}`)
    await house.request('DELETE', `/networks/${(await house.make('/networks', 'network', gre)).id}`)
    for (const wrong of [
      { 'provider:segmentation_id': 7 },
      { 'provider:network_type': 'token-ring' },
      { 'provider:network_type': 'vlan', 'provider:physical_network': 'public', 'provider:segmentation_id': 4095 },
      { 'provider:network_type': 'flat', 'provider:physical_network': 'nowhere' },
      { 'provider:network_type': 'flat' },
      { 'provider:network_type': 'gre', 'provider:physical_network': 'public' },
      { mtu: 9000 },
    ])
      assert.equal((await house.request('POST', '/networks', { body: { network: wrong } })).status, 400, JSON.stringify(wrong))
    const made = await Promise.all(Array.from({ length: 10 }, (_, i) => house.make('/networks', 'network', { name: `n${i}` })))
    assert.equal(new Set(made.map((network) => network['provider:segmentation_id'])).size, 10)
    for (const { id } of made) await house.request('DELETE', `/networks/${id}`)
  })

  test('a project sees its own, shared and external networks; provider attributes are for administrators', async () => {
    const hidden = await house.make('/networks', 'network', { name: 'hidden' })
    const shared = await house.make('/networks', 'network', { name: 'shared', shared: true })
    const own = await house.make('/networks', 'network', { name: 'own' }, 'other')
    assert.equal(own.project_id, OTHER)
    assert.ok(!('provider:network_type' in own))
    const seen = (await house.request('GET', '/networks', { as: 'other' })).body.networks.map((one: any) => one.name)
    assert.deepEqual(seen.sort(), ['own', 'shared'])
    assert.equal((await house.request('GET', `/networks/${hidden.id}`, { as: 'other' })).status, 404)
    assert.equal((await house.request('DELETE', `/networks/${hidden.id}`, { as: 'other' })).status, 404)
    assert.equal((await house.request('PUT', `/networks/${shared.id}`, { as: 'other', body: { network: { name: 'x' } } })).status, 403)
    for (const network of [{ shared: true }, { 'router:external': true }, { 'provider:network_type': 'gre' }, { project_id: DEMO }])
      assert.equal((await house.request('POST', '/networks', { as: 'other', body: { network } })).status, 403, JSON.stringify(network))
    assert.equal((await house.request('POST', '/networks', { as: 'reader', body: { network: {} } })).status, 403)
    const mine = (await house.request('GET', '/networks', { query: { tenant_id: OTHER } })).body.networks
    assert.deepEqual(
      mine.map((one: any) => one.id),
      [own.id],
    )
    for (const { id } of [hidden, shared, own]) await house.request('DELETE', `/networks/${id}`)
  })

  test('lists: many at once, filters, order, pages with links', async () => {
    const body = { networks: ['c', 'a', 'b'].map((name) => ({ name: `list-${name}`, description: 'listed' })) }
    const made = (await house.request('POST', '/networks', { body })).body.networks
    assert.equal(made.length, 3)
    const names = async (query: string) =>
      (await house.request('GET', `/networks?description=listed&${query}`)).body.networks.map((one: any) => one.name)
    assert.deepEqual(await names('sort_key=name&sort_dir=desc'), ['list-c', 'list-b', 'list-a'])
    assert.deepEqual(await names('name=list-a&name=list-b&sort_key=name'), ['list-a', 'list-b'])
    assert.deepEqual(await names('admin_state_up=False'), [])
    const page = (await house.request('GET', '/networks?description=listed&sort_key=name&sort_dir=asc&limit=2')).body
    assert.deepEqual(
      page.networks.map((one: any) => one.name),
      ['list-a', 'list-b'],
    )
    const [next] = page.networks_links
    assert.equal(next.rel, 'next')
    const second = (await house.request('GET', next.href.replace(/^.*\/v2\.0/, ''))).body
    assert.deepEqual(
      second.networks.map((one: any) => one.name),
      ['list-c'],
    )
    const back = second.networks_links.find((link: any) => link.rel === 'previous')
    assert.deepEqual(
      (await house.request('GET', back.href.replace(/^.*\/v2\.0/, ''))).body.networks.map((one: any) => one.name),
      ['list-a', 'list-b'],
    )
    for (const query of ['limit=x', 'sort_key=colour', 'sort_key=name&sort_dir=up', 'marker=nobody', 'shared=perhaps', 'mtu=much'])
      assert.equal((await house.request('GET', `/networks?${query}`)).status, 400, query)
    for (const { id } of made) await house.request('DELETE', `/networks/${id}`)
  })

  test('tags are set, found by and taken away', async () => {
    const { id } = await house.make('/networks', 'network', {})
    assert.deepEqual((await house.request('PUT', `/networks/${id}/tags`, { body: { tags: ['red', 'blue'] } })).body.tags, ['blue', 'red'])
    assert.equal((await house.request('PUT', `/networks/${id}/tags/green`)).status, 201)
    assert.equal((await house.request('GET', '/networks?tags=red,green')).body.networks.length, 1)
    assert.equal((await house.request('GET', '/networks?tags=red,grey')).body.networks.length, 0)
    assert.equal((await house.request('GET', '/networks?tags-any=red,grey')).body.networks.length, 1)
    assert.equal((await house.request('DELETE', `/networks/${id}/tags/red`)).status, 204)
    assert.equal((await house.request('GET', `/networks/${id}/tags/red`)).status, 404)
    await house.request('DELETE', `/networks/${id}`)
  })

  test('what is no document is refused in words', async () => {
    for (const body of [
      {},
      { network: 7 },
      { network: { name: 5 } },
      { network: { mtu: 'big' } },
      { networks: [] },
      [],
      { network: { id: 'x' } },
    ])
      assert.equal((await house.request('POST', '/networks', { body })).status, 400, JSON.stringify(body))
    assert.equal((await house.request('PUT', '/networks/nobody', { body: { network: {} } })).status, 404)
  })
})

describe('subnets', () => {
  test('gateway and pool are made; the network gets its DHCP port, and loses it', async () => {
    const { network, subnet } = await house.network('192.168.0.0/24')
    assert.deepEqual(
      [subnet.gateway_ip, subnet.allocation_pools, subnet.enable_dhcp],
      ['192.168.0.1', [{ start: '192.168.0.2', end: '192.168.0.254' }], true],
    )
    const ports = async () => (await house.request('GET', `/ports?network_id=${network.id}`)).body.ports
    const [port] = await ports()
    assert.deepEqual([port.device_owner, port.fixed_ips[0].ip_address, port.security_groups], ['network:dhcp', '192.168.0.2', []])
    assert.deepEqual((await house.request('GET', `/networks/${network.id}`)).body.network.subnets, [subnet.id])
    await house.request('PUT', `/subnets/${subnet.id}`, { body: { subnet: { enable_dhcp: false, dns_nameservers: ['9.9.9.9'] } } })
    assert.deepEqual(await ports(), [])
    await house.request('PUT', `/subnets/${subnet.id}`, { body: { subnet: { enable_dhcp: true } } })
    assert.equal((await ports()).length, 1)
    assert.equal((await house.request('DELETE', `/networks/${network.id}`)).status, 204, 'DHCP ports go with their network')
    assert.equal((await house.request('GET', `/subnets/${subnet.id}`)).status, 404)
  })

  test('IPv6: guests make their own address from their MAC', async () => {
    const network = await house.make('/networks', 'network', {})
    const mode = { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' }
    await house.make('/subnets', 'subnet', { network_id: network.id, cidr: 'fd00:1::/64', ip_version: 6, ...mode })
    const port = await house.make('/ports', 'port', { network_id: network.id, mac_address: 'fa:16:3e:00:00:01' })
    assert.deepEqual(
      port.fixed_ips.map((ip: any) => ip.ip_address),
      ['fd00:1::f816:3eff:fe00:1'],
    )
    const [{ subnet_id }] = port.fixed_ips
    assert.equal(
      (await house.request('DELETE', `/subnets/${subnet_id}`)).status,
      204,
      'nothing holds addresses that guests make themselves',
    )
    assert.deepEqual((await house.request('GET', `/ports/${port.id}`)).body.port.fixed_ips, [])
    await house.request('DELETE', `/ports/${port.id}`)
    assert.equal((await house.request('DELETE', `/networks/${network.id}`)).status, 204)
  })

  test('bad ones are refused: overlap, gateway in the pool, pool outside, wrong version, foreign network', async () => {
    const { network, subnet } = await house.network('10.5.0.0/24')
    const post = async (more: object, as = 'admin') =>
      (await house.request('POST', '/subnets', { as, body: { subnet: { network_id: network.id, cidr: '10.6.0.0/24', ...more } } })).status
    assert.equal(await post({ cidr: '10.5.0.128/25' }), 400)
    assert.equal(await post({ cidr: 'ten' }), 400)
    assert.equal(await post({ cidr: null }), 400)
    assert.equal(await post({ ip_version: 6 }), 400)
    const six = { ip_version: 6, cidr: 'fd00:6::/64' }
    for (const modes of [
      { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'dhcpv6-stateful' },
      { ipv6_ra_mode: 'slaac', enable_dhcp: false },
      { ipv6_address_mode: 'slaac', cidr: 'fd00:6::/80' },
    ])
      assert.equal(await post({ ...six, ...modes }), 400, JSON.stringify(modes))
    assert.equal(await post({ gateway_ip: '10.6.0.9', allocation_pools: [{ start: '10.6.0.2', end: '10.6.0.20' }] }), 409)
    assert.equal(await post({ allocation_pools: [{ start: '10.7.0.2', end: '10.7.0.20' }] }), 400)
    assert.equal(
      await post({
        allocation_pools: [
          { start: '10.6.0.2', end: '10.6.0.20' },
          { start: '10.6.0.20', end: '10.6.0.30' },
        ],
      }),
      409,
    )
    assert.equal(await post({ host_routes: [{ destination: '10.0.0.0/8', nexthop: 'x' }] }), 400)
    assert.equal(await post({}, 'other'), 404)
    await house.make('/ports', 'port', { network_id: network.id })
    const inUse = await house.request('DELETE', `/subnets/${subnet.id}`)
    assert.deepEqual([inUse.status, inUse.body.NeutronError.type], [409, 'SubnetInUse'])
    assert.equal((await house.request('DELETE', `/networks/${network.id}`)).body.NeutronError.type, 'NetworkInUse')
  })
})
