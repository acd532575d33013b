import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
before(async () => {
  house = await networkHouse()
})
after(() => house.close())

test('a free address is the next after the last that was given; at the end of the pools the lowest that somebody gave back; then there is none', async () => {
  const { id: network_id } = await house.make('/networks', 'network', {})
  const allocation_pools = [
    { start: '10.9.0.10', end: '10.9.0.12' },
    { start: '10.9.0.20', end: '10.9.0.21' },
  ]
  await house.make('/subnets', 'subnet', { network_id, ip_version: 4, cidr: '10.9.0.0/24', allocation_pools, enable_dhcp: false })
  const port = (more = {}) => house.make('/ports', 'port', { network_id, ...more })
  const last = (made: any) => made.fixed_ips[0].ip_address.split('.').at(-1)
  const [first, second] = [await port(), await port()]
  assert.deepEqual([last(first), last(second)], ['10', '11'])
  await house.request('DELETE', `/ports/${first.id}`)
  assert.equal(last(await port({ fixed_ips: [{ ip_address: '10.9.0.12' }] })), '12')
  assert.deepEqual([last(await port()), last(await port())], ['20', '21'])
  assert.equal(last(await port()), '10')
  const none = await house.request('POST', '/ports', { body: { port: { network_id } } })
  assert.deepEqual([none.status, none.body.NeutronError.type], [409, 'IpAddressGenerationFailure'])
  const taken = await house.request('POST', '/ports', { body: { port: { network_id, fixed_ips: [{ ip_address: '10.9.0.12' }] } } })
  assert.equal(taken.body.NeutronError.type, 'IpAddressAlreadyAllocated')
})
