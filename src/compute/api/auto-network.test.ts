import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { House } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open()
})
after(() => house.stop())

const asked = (networks: 'auto' | 'none', own: object = {}) =>
  house.ask('POST', '/servers', { at: '2.37', body: house.wish({ networks, ...own }) })
const make = async (path: string, name: string, document: object) => (await house.yard.cloud.api('POST', path, { [name]: document }))[name]
const networks = async () => (await house.request('GET', `/network/v2.0/networks?project_id=${house.alpha}`)).body.networks
const share = (shared: boolean) => house.yard.cloud.api('PUT', `/network/v2.0/networks/${house.yard.networkId}`, { network: { shared } })
const addressesOf = async ({ body }: { body: any }) => Object.keys((await house.rested(body.server.id)).addresses)

test('a server with `auto` takes the one network that its project may use', async () => {
  const made = await asked('auto')
  assert.deepEqual(await addressesOf(made), ['private'])
  await house.remove(made.body.server.id)
  const { network } = (await house.request('POST', '/network/v2.0/networks', { body: { network: { name: 'own' } } })).body
  const ambiguous = await asked('auto')
  assert.equal(ambiguous.status, 409)
  assert.match(ambiguous.message, /^Multiple possible networks found/)
  await house.request('DELETE', `/network/v2.0/networks/${network.id}`)
})

test('of a project without a network it is refused while none can be allocated, and gets one once it can', async () => {
  await share(false)
  const refused = await asked('auto')
  assert.equal(refused.status, 400)
  assert.match(
    refused.message,
    new RegExp(`^Unable to automatically allocate a network for project ${house.alpha}: .*No default router:external`),
  )

  const outside = { name: 'public', 'router:external': true, is_default: true, 'provider:network_type': 'flat' }
  const { id } = await make('/network/v2.0/networks', 'network', { ...outside, 'provider:physical_network': 'public' })
  await make('/network/v2.0/subnets', 'subnet', { network_id: id, ip_version: 4, cidr: '172.24.4.0/24', enable_dhcp: false })
  const pool = { name: 'default', prefixes: ['10.99.0.0/16'], default_prefixlen: 26, is_default: true, shared: true }
  await make('/network/v2.0/subnetpools', 'subnetpool', pool)

  const { status, body } = await asked('auto', { min_count: 3, return_reservation_id: true })
  assert.equal(status, 202)
  await house.yard.settled()
  const { servers } = (await house.ask('GET', `/servers/detail?reservation_id=${body.reservation_id}`)).body
  assert.deepEqual(
    servers.map((one: any) => [one.status, Object.keys(one.addresses)]),
    Array(3).fill(['ACTIVE', ['auto_allocated_network']]),
  )
  assert.equal((await networks()).length, 1)
  assert.deepEqual(await addressesOf(await asked('none')), [])
  assert.deepEqual(await addressesOf(await asked('auto')), ['auto_allocated_network'])
  await house.remove(...(await house.ask('GET', '/servers')).body.servers.map((one: any) => one.id))
  const path = `/network/v2.0/auto-allocated-topology/${house.alpha}`
  assert.equal((await house.request('DELETE', path)).status, 204)
  assert.deepEqual(await networks(), [])
})

test('a network that cannot be allocated after all: the server says why', async () => {
  await house.yard.cloud.api('PUT', `/network/v2.0/quotas/${house.alpha}`, { quota: { router: 0 } })
  const { body } = await asked('auto')
  const server = await house.rested(body.server.id)
  assert.equal(server.status, 'ERROR')
  assert.match(server.fault.message, /^Unable to automatically allocate a network for project .*Quota exceeded/)
  await house.remove(body.server.id)
  assert.deepEqual(await house.yard.leaks(), [])
  await share(true)
})
