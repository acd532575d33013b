import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { DEMO, OTHER } from '../../kernel/http/testing.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
beforeEach(async () => {
  house = await networkHouse()
  await house.agents()
})
afterEach(() => house.close())

const PATH = '/auto-allocated-topology'
const get = (project = OTHER, as = 'other', query = {}) => house.request('GET', `${PATH}/${project}`, { as, query })
const remove = (project = OTHER, as = 'other') => house.request('DELETE', `${PATH}/${project}`, { as })
const put = (path: string, body: object, as = 'admin') => house.request('PUT', path, { as, body })
const list = async (plural: string, query = {}) =>
  (await house.request('GET', `/${plural}`, { as: 'other', query: { project_id: OTHER, ...query } })).body[plural]
const pool = (prefix: string, length: number, more = {}) =>
  house.make('/subnetpools', 'subnetpool', {
    name: 'default',
    prefixes: [prefix],
    default_prefixlen: length,
    shared: true,
    is_default: true,
    ...more,
  })

/** Everything that an operator prepares. */
async function prepared() {
  const { network } = await house.outside()
  assert.equal((await put(`/networks/${network.id}`, { network: { is_default: true } })).status, 200)
  const four = await pool('10.20.0.0/16', 26)
  const six = await pool('fd20::/48', 64)
  return { outside: network, four, six }
}

describe('an automatically allocated topology', () => {
  test('is a network with a subnet of each family behind a router that leads outside, once', async () => {
    const { outside } = await prepared()
    const { status, body } = await get()
    assert.equal(status, 200, JSON.stringify(body))
    const topology = body.auto_allocated_topology
    assert.deepEqual(topology, { id: topology.id, project_id: OTHER, tenant_id: OTHER })
    const [network] = await list('networks')
    assert.deepEqual(
      [network.id, network.name, network.admin_state_up, network.shared],
      [topology.id, 'auto_allocated_network', true, false],
    )
    const subnets = await list('subnets', { sort_key: 'ip_version', sort_dir: 'asc' })
    assert.deepEqual(
      subnets.map((one: any) => [one.name, one.cidr, one.network_id]),
      [
        ['auto_allocated_subnet_v4', '10.20.0.0/26', network.id],
        ['auto_allocated_subnet_v6', 'fd20::/64', network.id],
      ],
    )
    const [router] = await list('routers')
    assert.deepEqual([router.name, router.external_gateway_info.network_id], ['auto_allocated_router', outside.id])
    const ports = await list('ports', { device_id: router.id })
    assert.deepEqual(
      ports.flatMap((one: any) => one.fixed_ips.map((ip: any) => ip.subnet_id)).toSorted(),
      subnets.map((one: any) => one.id).toSorted(),
    )
    for (const nobody of ['None', 'null']) assert.equal((await get(nobody)).body.auto_allocated_topology.id, topology.id)
    assert.equal((await get(OTHER, 'admin')).body.auto_allocated_topology.id, topology.id)
    assert.deepEqual([(await list('networks')).length, (await list('routers')).length], [1, 1])
  })

  test('of many who ask at once one makes it', async () => {
    await prepared()
    const answers = await Promise.all(Array.from({ length: 8 }, () => get()))
    assert.deepEqual(new Set(answers.map((one) => one.status)), new Set([200]))
    assert.equal(new Set(answers.map((one) => one.body.auto_allocated_topology.id)).size, 1)
    assert.deepEqual([(await list('networks')).length, (await list('routers')).length, (await list('subnets')).length], [1, 1, 2])
  })

  test('goes with all that it has, or stays with all of it; asked for again it is made anew', async () => {
    await prepared()
    const { id } = (await get()).body.auto_allocated_topology
    const port = await house.make('/ports', 'port', { network_id: id }, 'other')
    const inUse = await remove()
    assert.deepEqual([inUse.status, inUse.body.NeutronError.type], [409, 'NetworkInUse'])
    assert.equal((await list('routers')).length, 1)
    assert.equal((await list('ports', { device_owner: 'network:router_interface' })).length, 2)
    await house.request('DELETE', `/ports/${port.id}`)
    assert.equal((await remove()).status, 204)
    for (const plural of ['networks', 'subnets', 'routers', 'ports']) assert.deepEqual(await list(plural), [], plural)
    assert.equal((await remove()).status, 204, 'what is not there is gone')
    assert.notEqual((await get()).body.auto_allocated_topology.id, id)
    assert.equal((await remove('None')).status, 204)
    assert.deepEqual(await list('networks'), [])
  })

  test('whose network the project has deleted is made anew; one without its router goes as well', async () => {
    await prepared()
    const { id } = (await get()).body.auto_allocated_topology
    const [router] = await list('routers')
    for (const { id: subnet_id } of await list('subnets'))
      assert.equal((await put(`/routers/${router.id}/remove_router_interface`, { subnet_id }, 'other')).status, 200)
    assert.equal((await house.request('DELETE', `/routers/${router.id}`, { as: 'other' })).status, 204)
    assert.equal((await get()).body.auto_allocated_topology.id, id)
    assert.equal((await house.request('DELETE', `/networks/${id}`, { as: 'other' })).status, 204)
    assert.equal((await remove()).status, 204)
    const again = (await get()).body.auto_allocated_topology.id
    assert.notEqual(again, id)
    const [second] = await list('routers')
    for (const { id: subnet_id } of await list('subnets'))
      await put(`/routers/${second.id}/remove_router_interface`, { subnet_id }, 'other')
    await house.request('DELETE', `/routers/${second.id}`)
    assert.equal((await remove()).status, 204)
    assert.deepEqual(await list('networks'), [])
  })

  test('needs an external network and a pool that the operator named; a dry run says whether they are there', async () => {
    const refused = async (answer: ReturnType<typeof get>, words: RegExp) => {
      const { status, body } = await answer
      assert.deepEqual([status, body.NeutronError?.type], [409, 'AutoAllocationFailure'])
      assert.match(body.NeutronError.message, words)
    }
    const dry = (as = 'other') => get(OTHER, as, { fields: 'dry-run' })
    const noNetwork = /^Deployment error: No default router:external network\..*openstack network set/
    await refused(dry(), noNetwork)
    await refused(get(), noNetwork)
    const { network } = await house.outside()
    await put(`/networks/${network.id}`, { network: { is_default: true } })
    await refused(dry(), /^Deployment error: No default subnetpools defined\..*openstack subnet pool create/)
    await refused(get(), /^Deployment error: Unable to provide project private network\./)
    await pool('10.30.0.0/26', 26, { shared: false })
    await refused(dry(), /No default subnetpools/)
    assert.equal((await dry('admin')).status, 200)
    const six = await pool('fd30::/63', 64)
    assert.deepEqual((await dry()).body.auto_allocated_topology, { id: 'dry-run=pass', project_id: OTHER, tenant_id: OTHER })
    assert.deepEqual(await list('networks'), [], 'a dry run makes nothing')
    const unknown = await get(OTHER, 'other', { fields: 'id' })
    assert.deepEqual([unknown.status, unknown.body.NeutronError.type], [400, 'BadRequest'])
    assert.equal((await get()).status, 200)
    assert.equal((await list('subnets'))[0].subnetpool_id, six.id)
    assert.equal((await get(DEMO, 'member')).status, 200)
    await refused(get('third', 'admin'), /^Deployment error: Unable to provide project private network\./)
  })

  test('that does not fit into quotas or outside leaves nothing', async () => {
    const { outside } = await prepared()
    const nothing = async () => {
      for (const plural of ['networks', 'subnets', 'routers', 'ports']) assert.deepEqual(await list(plural), [], plural)
    }
    for (const quota of [{ network: 0 }, { subnet: 1 }, { router: 0 }, { port: 1 }]) {
      await put(`/quotas/${OTHER}`, { quota: { network: 10, subnet: 10, router: 10, port: 50, ...quota } })
      const { status, body } = await get()
      assert.deepEqual([status, body.NeutronError.type], [409, 'OverQuota'], JSON.stringify(quota))
      await nothing()
    }
    await put(`/quotas/${OTHER}`, { quota: { port: 50 } })
    for (const id of outside.subnets ?? []) await house.request('DELETE', `/subnets/${id}`)
    for (const { id } of (await house.request('GET', '/subnets', { query: { network_id: outside.id } })).body.subnets)
      assert.equal((await house.request('DELETE', `/subnets/${id}`)).status, 204)
    const { body } = await get()
    assert.match(body.NeutronError.message, /^Deployment error: Unable to provide external connectivity\./)
    await nothing()
  })

  test('is the project’s own: foreign ones are refused, and readers do not delete', async () => {
    await prepared()
    assert.equal((await get(DEMO)).status, 403)
    assert.equal((await remove(DEMO)).status, 403)
    assert.equal((await get(DEMO, 'reader')).status, 200)
    assert.equal((await remove(DEMO, 'reader')).status, 403)
    assert.equal((await remove(DEMO, 'admin')).status, 204)
    assert.equal((await get('x'.repeat(65), 'admin')).status, 400)
    assert.equal((await house.request('GET', `${PATH}/${OTHER}.json`, { as: 'other' })).status, 200)
  })
})

test('there is one default external network, and none that is not external', async () => {
  const { network } = await house.outside()
  const other = await house.make('/networks', 'network', { 'router:external': true })
  const inside = await house.make('/networks', 'network', { is_default: true })
  assert.equal(inside.is_default, false)
  const change = (id: string, fields: object, as = 'admin') => put(`/networks/${id}`, { network: fields }, as)
  assert.equal((await change(inside.id, { is_default: true })).body.network.is_default, false)
  assert.equal((await change(network.id, { is_default: true })).body.network.is_default, true)
  assert.equal((await change(network.id, { is_default: true, name: 'public' })).status, 200)
  const second = await change(other.id, { is_default: true })
  assert.deepEqual(second.body.NeutronError, {
    type: 'DefaultExternalNetworkExists',
    message: `A default external network already exists: ${network.id}.`,
    detail: '',
  })
  const third = await house.request('POST', '/networks', { body: { network: { 'router:external': true, is_default: true } } })
  assert.deepEqual([third.status, third.body.NeutronError.type], [409, 'DefaultExternalNetworkExists'])
  assert.deepEqual(
    (await house.request('GET', '/networks', { query: { is_default: 'true' } })).body.networks.map((one: any) => one.id),
    [network.id],
  )
  assert.equal((await change(network.id, { 'router:external': false })).body.network.is_default, false)
  assert.equal((await change(other.id, { is_default: true })).body.network.is_default, true)
  assert.equal((await change(other.id, { is_default: false }, 'member')).status, 403)
})
