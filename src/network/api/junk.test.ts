import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { networkHouse } from '../testing.ts'

const NAMES = [
  ['networks', 'network'],
  ['subnets', 'subnet'],
  ['ports', 'port'],
  ['routers', 'router'],
  ['floatingips', 'floatingip'],
  ['security-groups', 'security_group'],
  ['security-group-rules', 'security_group_rule'],
] as const

const suite = (databaseUrl: () => Promise<string>) => async () => {
  const house = await networkHouse({ databaseUrl: await databaseUrl() })
  const { network, subnet } = await house.network()
  const group = await house.make('/security-groups', 'security_group', { name: 'g' })
  const router = await house.make('/routers', 'router', {})
  const word = fc.constantFrom(
    network.id,
    subnet.id,
    group.id,
    router.id,
    '10.1.0.7',
    '10.1.0.0/24',
    '10.2.0.0/33',
    '10.2.0.0/24',
    '::1',
    'fd00::/64',
    '0.0.0.0/0',
    'fa:16:3e:00:00:01',
    'tcp',
    'icmp',
    'ingress',
    'vlan',
    'flat',
    'public',
    '',
    ' ',
    'null',
    "'; drop table ports; --",
    'ü'.repeat(300),
    '\u0000',
  )
  const atom = fc.oneof(word, word, fc.constantFrom(null, true, false, 0, -1, 1, 7, 80, 4095, 1e9, 1.5))
  const address = fc.record(
    { subnet_id: atom, ip_address: atom, start: atom, end: atom, destination: atom, nexthop: atom },
    { requiredKeys: [] },
  )
  const value = fc.oneof({ weight: 6, arbitrary: atom }, fc.array(atom, { maxLength: 3 }), fc.array(address, { maxLength: 3 }), address)
  const attributes = [
    'name',
    'network_id',
    'subnet_id',
    'cidr',
    'ip_version',
    'gateway_ip',
    'allocation_pools',
    'host_routes',
    'dns_nameservers',
  ]
  attributes.push('fixed_ips', 'mac_address', 'security_groups', 'allowed_address_pairs', 'extra_dhcp_opts', 'dns_name', 'device_owner')
  attributes.push(
    'binding:host_id',
    'binding:profile',
    'external_gateway_info',
    'routes',
    'floating_network_id',
    'port_id',
    'fixed_ip_address',
  )
  attributes.push('security_group_id', 'direction', 'protocol', 'port_range_min', 'port_range_max', 'remote_ip_prefix', 'remote_group_id')
  attributes.push('provider:network_type', 'provider:physical_network', 'provider:segmentation_id', 'mtu', 'project_id', 'tags', 'shared')
  const base = {
    network_id: network.id,
    security_group_id: group.id,
    direction: 'ingress',
    floating_network_id: network.id,
    cidr: '10.9.0.0/24',
  }
  const body = fc
    .uniqueArray(fc.tuple(fc.constantFrom(...attributes), value), { maxLength: 5, selector: ([name]) => name })
    .map((entries) => ({ ...base, ...Object.fromEntries(entries) }))
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...NAMES), body, fc.constantFrom('admin', 'other'), async ([path, name], document, as) => {
      const made = await house.request('POST', `/${path}`, { as, body: { [name]: document } })
      assert.ok(made.status < 500, `POST ${path} ${JSON.stringify(document)}: ${made.status} ${JSON.stringify(made.body)}`)
      if (made.status !== 201) return
      const at = `/${path}/${made.body[name].id}`
      const {
        network_id: _n,
        cidr: _c,
        security_group_id: _s,
        floating_network_id: _f,
        direction: _d,
        project_id: _p,
        ...change
      } = document as any
      const changed = await house.request('PUT', at, { as, body: { [name]: change } })
      assert.ok(changed.status < 500, `PUT ${path} ${JSON.stringify(change)}: ${changed.status}`)
      assert.ok((await house.request('DELETE', at)).status < 500)
    }),
    { numRuns: 600 },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...NAMES),
      fc.constantFrom(...attributes, 'limit', 'marker', 'sort_key', 'sort_dir', 'fields', 'tags'),
      word,
      async ([path], name, text) => {
        const answer = await house.request('GET', `/${path}?${encodeURIComponent(name)}=${encodeURIComponent(text)}`)
        assert.ok(answer.status < 500, `GET ${path}?${name}=${text}: ${answer.status} ${JSON.stringify(answer.body)}`)
      },
    ),
    { numRuns: 300 },
  )
  await house.close()
}

eachDatabaseUrl((databaseUrl) => void test('whatever is sent, the answer is never an accident', suite(databaseUrl)))
