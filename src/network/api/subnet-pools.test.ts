import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
before(async () => {
  house = await networkHouse()
})
after(() => house.close())

const make = (fields: object, as = 'member') => house.request('POST', '/subnetpools', { as, body: { subnetpool: fields } })
const pool = async (fields: object = {}, as = 'member') => {
  const { status, body } = await make({ name: 'pool', prefixes: ['10.10.0.0/16'], ...fields }, as)
  assert.equal(status, 201, JSON.stringify(body))
  return body.subnetpool
}

describe('subnet pools', () => {
  test('have lengths that fit their family, and prefixes that do not lie in each other', async () => {
    const four = await pool({ prefixes: ['10.1.0.0/16', '10.1.1.0/24', '10.2.0.0/16'] })
    assert.deepEqual(
      [four.prefixes, four.ip_version, four.min_prefixlen, four.max_prefixlen, four.default_prefixlen, four.shared, four.address_scope_id],
      [['10.1.0.0/16', '10.2.0.0/16'], 4, 8, 32, 8, false, null],
    )
    const six = await pool({ prefixes: ['fd00::/48'], default_prefixlen: 64 })
    assert.deepEqual([six.ip_version, six.min_prefixlen, six.max_prefixlen], [6, 64, 128])
    for (const wrong of [
      { prefixes: [] },
      { prefixes: ['ten'] },
      { prefixes: ['10.0.0.0/8', 'fd00::/48'] },
      { min_prefixlen: 24, max_prefixlen: 20 },
      { default_prefixlen: 4 },
      { max_prefixlen: 33 },
    ])
      assert.equal((await make({ name: 'x', prefixes: ['10.0.0.0/8'], ...wrong })).status, 400, JSON.stringify(wrong))
    assert.equal((await make({ prefixes: ['10.0.0.0/8'] })).status, 400)
  })

  test('are their project’s, or shared by an administrator; prefixes only grow', async () => {
    const own = await pool()
    const path = `/subnetpools/${own.id}`
    assert.equal((await house.request('GET', path, { as: 'other' })).status, 404)
    assert.equal((await make({ name: 'x', prefixes: ['10.0.0.0/8'], shared: true })).status, 403)
    assert.equal((await make({ name: 'x', prefixes: ['10.0.0.0/8'], is_default: true })).status, 403)
    const shared = await pool({ shared: true }, 'admin')
    assert.equal((await house.request('GET', `/subnetpools/${shared.id}`, { as: 'other' })).status, 200)
    const change = (fields: object, as = 'member') => house.request('PUT', path, { as, body: { subnetpool: fields } })
    const grown = (await change({ name: 'new', prefixes: ['10.10.0.0/16', '10.20.0.0/16'] })).body.subnetpool
    assert.deepEqual([grown.name, grown.prefixes.length], ['new', 2])
    for (const wrong of [{ prefixes: ['10.20.0.0/16'] }, { ip_version: 6 }, { shared: true }, { default_prefixlen: 33 }])
      assert.equal((await change(wrong)).status, 400, JSON.stringify(wrong))
    assert.equal((await change({ name: 'x' }, 'other')).status, 404)
    const { subnetpools } = (await house.request('GET', '/subnetpools', { as: 'member', query: { name: 'new' } })).body
    assert.deepEqual(
      subnetpools.map((one: any) => one.id),
      [own.id],
    )
    assert.equal((await house.request('DELETE', path, { as: 'reader' })).status, 403)
    assert.equal((await house.request('DELETE', path, { as: 'member' })).status, 204)
    assert.equal((await house.request('GET', path, { as: 'member' })).status, 404)
  })

  test('give subnets the first prefix that is free, or the one that is asked for', async () => {
    const { id } = await pool({
      prefixes: ['10.30.0.0/22'],
      default_prefixlen: 24,
      min_prefixlen: 23,
      max_prefixlen: 26,
      default_quota: 900,
    })
    const network = await house.make('/networks', 'network', {})
    const subnet = async (fields: object) => {
      const body = { subnet: { network_id: network.id, ip_version: 4, subnetpool_id: id, ...fields } }
      return await house.request('POST', '/subnets', { as: 'admin', body })
    }
    const first = (await subnet({})).body.subnet
    assert.deepEqual([first.cidr, first.subnetpool_id, first.gateway_ip], ['10.30.0.0/24', id, '10.30.0.1'])
    assert.equal((await subnet({ cidr: '10.30.3.0/24' })).body.subnet.cidr, '10.30.3.0/24')
    assert.equal((await subnet({ prefixlen: 26 })).body.subnet.cidr, '10.30.1.0/26')
    for (const [wrong, status] of [
      [{ cidr: '10.30.0.0/25' }, 409],
      [{ cidr: '10.40.0.0/24' }, 409],
      [{ prefixlen: 23 }, 409],
      [{ prefixlen: 22 }, 400],
      [{ prefixlen: 27 }, 400],
      [{ cidr: '10.30.2.0/24', prefixlen: 24 }, 400],
      [{ ip_version: 6 }, 400],
      [{ subnetpool_id: network.id }, 404],
      [{ subnetpool_id: null, use_default_subnetpool: true }, 400],
    ] as const)
      assert.equal((await subnet(wrong)).status, status, JSON.stringify(wrong))
    assert.equal((await subnet({ prefixlen: 24 })).body.subnet.cidr, '10.30.2.0/24')
    assert.equal((await subnet({ prefixlen: 25 })).body.NeutronError.type, 'SubnetPoolQuotaExceeded')
    assert.equal((await house.request('DELETE', `/subnetpools/${id}`)).body.NeutronError.type, 'SubnetPoolDeleteError')
    const { subnets } = (await house.request('GET', '/subnets', { query: { subnetpool_id: id } })).body
    assert.equal(subnets.length, 4)
  })

  test('one of each family is the default', async () => {
    const { id } = await pool({ prefixes: ['10.50.0.0/16'], default_prefixlen: 24, shared: true, is_default: true }, 'admin')
    assert.equal((await make({ name: 'x', prefixes: ['10.60.0.0/16'], is_default: true }, 'admin')).status, 409)
    const network = await house.make('/networks', 'network', {})
    const body = { subnet: { network_id: network.id, ip_version: 4, use_default_subnetpool: true } }
    const made = (await house.request('POST', '/subnets', { as: 'admin', body })).body.subnet
    assert.deepEqual([made.cidr, made.subnetpool_id], ['10.50.0.0/24', id])
  })
})
