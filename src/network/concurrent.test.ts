import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { onMariaDb, throughAnotherNode } from '../kernel/db/testing.ts'
import { DEMO, OTHER, type TestAnswer } from '../kernel/http/testing.ts'
import { type NetworkHouse, networkHouse } from './testing.ts'

/** Two control processes on one database, asked at the same time. */
onMariaDb((fresh) => {
  const houses: NetworkHouse[] = []
  after(async () => void (await Promise.all(houses.map((house) => house.close()))))
  const pair = async (): Promise<[NetworkHouse, NetworkHouse]> => {
    const url = await fresh()
    const one = await networkHouse({ databaseUrl: url, exclusive: false })
    const two = await networkHouse({ databaseUrl: throughAnotherNode(url), exclusive: false })
    houses.push(one, two)
    return [one, two]
  }
  const storm = (both: NetworkHouse[], count: number, path: string, body: (n: number) => object, as = 'admin') =>
    Promise.all(Array.from({ length: count }, (_, n) => both[n % 2]!.request('POST', path, { as, body: body(n) })))
  const tally = (answers: TestAnswer[]) => {
    const counts: Record<number, number> = {}
    for (const { status, body } of answers) {
      assert.ok(status < 500, JSON.stringify(body))
      counts[status] = (counts[status] ?? 0) + 1
    }
    return counts
  }
  const quota = (house: NetworkHouse, amounts: object) => house.request('PUT', `/quotas/${DEMO}`, { as: 'admin', body: { quota: amounts } })

  describe('network, two processes at once', () => {
    test('quotas hold for each resource, and nobody hears of an internal error', async () => {
      const both = await pair()
      await quota(both[0], { network: 5, subnet: 4, router: 3, security_group: 6 })
      assert.deepEqual(tally(await storm(both, 16, '/networks', () => ({ network: {} }), 'member')), { 201: 5, 409: 11 })
      const { networks } = (await both[1].request('GET', '/networks', { as: 'member' })).body
      const ids = networks.map((one: any) => one['provider:segmentation_id'] ?? one.id)
      assert.equal(new Set(ids).size, 5)
      const subnets = await storm(
        both,
        12,
        '/subnets',
        (n) => ({ subnet: { network_id: networks[n % 5].id, ip_version: 4, cidr: `10.${n}.0.0/24` } }),
        'member',
      )
      assert.deepEqual(tally(subnets), { 201: 4, 409: 8 })
      assert.deepEqual(tally(await storm(both, 10, '/routers', () => ({ router: {} }), 'member')), { 201: 3, 409: 7 })
      const groups = await storm(both, 12, '/security-groups', (n) => ({ security_group: { name: `g${n}` } }), 'member')
      assert.deepEqual(tally(groups), { 201: 5, 409: 7 }) // one is the default group
    })

    test('segments are given once', async () => {
      const both = await pair()
      await quota(both[0], { network: -1 })
      const made = await storm(both, 20, '/networks', () => ({ network: {} }))
      assert.deepEqual(tally(made), { 201: 20 })
      assert.equal(new Set(made.map(({ body }) => body.network['provider:segmentation_id'])).size, 20)
      const same = { 'provider:network_type': 'vxlan', 'provider:segmentation_id': 4711 }
      assert.deepEqual(tally(await storm(both, 8, '/networks', () => ({ network: same }))), { 201: 1, 409: 7 })
    })

    test('addresses are given once, until there are none; ports keep to their quota', async () => {
      const both = await pair()
      const { network, subnet } = await both[0].network('10.5.0.0/28')
      const made = await storm(both, 24, '/ports', () => ({ port: { network_id: network.id } }))
      assert.deepEqual(tally(made), { 201: 12, 409: 12 }) // .1 is the router's, .2 the DHCP port's
      const addresses = made.flatMap(({ status, body }) => (status === 201 ? body.port.fixed_ips.map((ip: any) => ip.ip_address) : []))
      assert.equal(new Set(addresses).size, 12)
      assert.equal(subnet.allocation_pools.length, 1)
      const other = await both[1].network('10.6.0.0/24')
      const wish = { network_id: other.network.id, fixed_ips: [{ ip_address: '10.6.0.77' }] }
      assert.deepEqual(tally(await storm(both, 8, '/ports', () => ({ port: wish }))), { 201: 1, 409: 7 })
      await quota(both[0], { port: 20 })
      assert.deepEqual(tally(await storm(both, 14, '/ports', () => ({ port: { network_id: other.network.id } }))), { 201: 5, 409: 9 }) // 12, 1 and two DHCP ports are there
    })

    test('who asks for a network of no particular kind gets one, and the same through every process', async () => {
      const both = await pair()
      const { network } = await both[0].outside()
      await both[0].request('PUT', `/networks/${network.id}`, { body: { network: { is_default: true } } })
      const pool = { name: 'default', prefixes: ['10.90.0.0/16'], default_prefixlen: 26, is_default: true, shared: true }
      await both[0].make('/subnetpools', 'subnetpool', pool)
      const each = async <T>(ask: (house: NetworkHouse) => Promise<T>) =>
        await Promise.all(Array.from({ length: 10 }, (_, n) => ask(both[n % 2]!)))
      const path = `/auto-allocated-topology/${OTHER}`
      const answers = await each((house) => house.request('GET', path, { as: 'other' }))
      assert.deepEqual(tally(answers), { 200: 10 })
      assert.equal(new Set(answers.map(({ body }) => body.auto_allocated_topology.id)).size, 1)
      const left = async (plural: string) => (await both[1].request('GET', `/${plural}?project_id=${OTHER}`)).body[plural].length
      assert.deepEqual([await left('networks'), await left('subnets'), await left('routers')], [1, 1, 1])
      assert.deepEqual(tally(await each((house) => house.request('DELETE', path, { as: 'other' }))), { 204: 10 })
      assert.deepEqual([await left('networks'), await left('subnets'), await left('routers'), await left('ports')], [0, 0, 0, 0])
      const external = { 'router:external': true, is_default: true }
      await both[0].request('PUT', `/networks/${network.id}`, { body: { network: { is_default: false } } })
      assert.deepEqual(tally(await storm(both, 6, '/networks', () => ({ network: external }))), { 201: 1, 409: 5 })
    })

    test('floating addresses are given once, and one leads to a port', async () => {
      const both = await pair()
      const { network } = await both[0].outside()
      await quota(both[0], { floatingip: 9 })
      const made = await storm(both, 16, '/floatingips', () => ({ floatingip: { floating_network_id: network.id } }))
      assert.deepEqual(tally(made), { 201: 9, 409: 7 })
      const won = made.filter(({ status }) => status === 201).map(({ body }) => body.floatingip)
      assert.equal(new Set(won.map((one) => one.floating_ip_address)).size, 9)
      const inside = await both[1].network('10.8.0.0/24')
      const router = await both[0].make('/routers', 'router', { external_gateway_info: { network_id: network.id } })
      await both[0].request('PUT', `/routers/${router.id}/add_router_interface`, { as: 'admin', body: { subnet_id: inside.subnet.id } })
      const port = await both[0].make('/ports', 'port', { network_id: inside.network.id })
      const led = await Promise.all(
        won
          .slice(0, 6)
          .map((one, n) =>
            both[n % 2]!.request('PUT', `/floatingips/${one.id}`, { as: 'admin', body: { floatingip: { port_id: port.id } } }),
          ),
      )
      assert.deepEqual(tally(led), { 200: 1, 409: 5 })
    })
  })
})
