import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Fault } from '../../kernel/errors/errors.ts'
import { DEMO } from '../../kernel/http/testing.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'
import { contradictions } from '../whole-testing.ts'
import { addNetwork, addRouter, removeRouter } from './agent-duties.ts'
import { listAgents } from './agents.ts'
import type { NetworkContext } from './context.ts'
import { createFloatingIps, floatingIpNoun, updateFloatingIp } from './floating-ips.ts'
import { networkNoun, updateNetwork } from './networks.ts'
import { createPorts } from './new-ports.ts'
import { type Noun, see } from './noun.ts'
import { portNoun } from './port.ts'
import { deletePort, updatePort } from './ports.ts'
import { changeRoutes, routerNoun } from './router.ts'
import { addInterface, removeInterface } from './router-interfaces.ts'
import { groupNoun } from './security-groups.ts'
import { setTags } from './standard.ts'
import { createSubnets } from './subnets.ts'

/** Between a request's first look and its transaction others change what it saw. */
describe('what has changed since it was seen', () => {
  let house: NetworkHouse
  let context: NetworkContext
  let outside: { network: any; subnet: any }
  const admin = { projectId: DEMO, isAdmin: true }
  const member = { projectId: DEMO, isAdmin: false }
  let nth = 0
  before(async () => {
    house = await networkHouse()
    context = house.service.context
    await house.agents()
    outside = await house.outside()
  })
  after(() => house.close())

  const seen = <D>(noun: Noun<any, D>, { id }: { id: string }): Promise<D> => see(context, noun, admin, id)
  const ask = async (method: string, path: string, body?: object, as = 'member') => {
    const answer = await house.request(method, path, { as, body })
    assert.ok(answer.status < 300, JSON.stringify(answer.body))
    return answer.body
  }
  const furnished = async () => {
    const inside = await house.network(`10.${++nth}.0.0/24`, 'member')
    const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: outside.network.id } }, 'member')
    const port = await house.make('/ports', 'port', { network_id: inside.network.id }, 'member')
    const join = () => ask('PUT', `/routers/${router.id}/add_router_interface`, { subnet_id: inside.subnet.id })
    return { ...inside, router, port, join }
  }
  /** The late one is refused in words of its own, and all fits together. */
  const refused = async (late: Promise<unknown>, code: string | RegExp) => {
    await assert.rejects(late, (error: unknown) => {
      assert.ok(error instanceof Fault && error.status < 500, String(error))
      assert.match(error.code, new RegExp(code))
      return true
    })
    assert.deepEqual(await contradictions(context.database.db), [])
  }

  test('a router that is gone joins nothing', async () => {
    const { router, subnet, port } = await furnished()
    const before = await seen(routerNoun, router)
    await ask('DELETE', `/routers/${router.id}`)
    await refused(addInterface(context, member, before, { subnet_id: subnet.id }), 'RouterNotFound')
    await refused(addInterface(context, member, before, { port_id: port.id }), 'RouterNotFound')
  })

  test('a router does not leave a subnet through which it has been given a route', async () => {
    const { router, subnet, join } = await furnished()
    await join()
    const before = await seen(routerNoun, router)
    const routes = [{ destination: '10.200.0.0/16', nexthop: subnet.cidr.replace('.0/24', '.9') }]
    await changeRoutes(context, before, 'add', routes)
    await refused(removeInterface(context, before, { subnet_id: subnet.id }), 'RouterInterfaceInUseByRoute')
  })

  test('a port that a router has joined is not deleted, one of which it has left is none of its interfaces', async () => {
    const { router, subnet, port } = await furnished()
    const free = await seen(portNoun, port)
    const before = await seen(routerNoun, router)
    await addInterface(context, member, before, { port_id: port.id })
    await refused(deletePort(context, free), 'ServicePortInUse')
    await removeInterface(context, before, { port_id: port.id })
    await refused(removeInterface(context, before, { subnet_id: subnet.id }), 'RouterInterfaceNotFoundForSubnet')
  })

  test('a network that has become shared meanwhile does not lose those who use it, one that is no longer external is no default', async () => {
    const { network } = await house.network(`10.${++nth}.0.0/24`)
    const before = await seen(networkNoun, network)
    await ask('PUT', `/networks/${network.id}`, { network: { shared: true } }, 'admin')
    const others = await house.make('/ports', 'port', { network_id: network.id }, 'other')
    await refused(updateNetwork(context, before, { shared: false }), 'InvalidSharedSetting')
    await ask('DELETE', `/ports/${others.id}`, undefined, 'admin')
    await ask('PUT', `/networks/${network.id}`, { network: { 'router:external': true } }, 'admin')
    const external = await seen(networkNoun, network)
    await ask('PUT', `/networks/${network.id}`, { network: { 'router:external': false } }, 'admin')
    const after = await updateNetwork(context, external, { is_default: true })
    assert.equal(after.is_default, 0)
    await ask('DELETE', `/networks/${network.id}`, undefined, 'admin')
    await refused(updateNetwork(context, external, { name: 'late' }), 'NetworkNotFound')
  })

  test('a pool that is gone gives no addresses, one that has grown gives of all it has', async () => {
    const { network } = await house.network(`10.${++nth}.0.0/24`)
    const prefixes = ['10.240.0.0/28']
    const pool = await house.make('/subnetpools', 'subnetpool', { name: 'pool', prefixes, default_prefixlen: 28 })
    const wish = { network_id: network.id, subnetpool_id: pool.id, ip_version: 4 as const }
    const [grown] = await meanwhile(
      () => createSubnets(context, admin, [wish, wish]),
      () => ask('PUT', `/subnetpools/${pool.id}`, { subnetpool: { prefixes: [...prefixes, '10.241.0.0/28'] } }, 'admin'),
    )
    assert.deepEqual(
      grown!.map((one) => one.cidr),
      ['10.240.0.0/28', '10.241.0.0/28'],
    )
    for (const { id } of grown!) await ask('DELETE', `/subnets/${id}`, undefined, 'admin')
    const [, late] = await meanwhile(
      () => createSubnets(context, admin, [wish]),
      () => ask('DELETE', `/subnetpools/${pool.id}`, undefined, 'admin'),
    )
    await refused(Promise.reject(late), 'SubnetPoolNotFound')
  })

  test('a port is in its project’s default group also when that has just been deleted, and not on a network that is shared no more', async () => {
    const { network } = await furnished()
    const group = (await house.client.securityGroups({ project_id: DEMO })).find((one) => one.name === 'default')!
    for (const port of await house.client.ports({})) await house.request('DELETE', `/ports/${port.id}`)
    const [made] = await meanwhile(
      () => createPorts(context, member, [{ network_id: network.id }]),
      () => ask('DELETE', `/security-groups/${group.id}`, undefined, 'admin'),
    )
    assert.equal(made![0]!.securityGroups.length, 1)
    assert.equal((await seen(groupNoun, { id: made![0]!.securityGroups[0]! })).name, 'default')
    const { network: others } = await house.network(`10.${++nth}.0.0/24`, 'other', {})
    await ask('PUT', `/networks/${others.id}`, { network: { shared: true } }, 'admin')
    const [, late] = await meanwhile(
      () => createPorts(context, member, [{ network_id: others.id }]),
      () => ask('PUT', `/networks/${others.id}`, { network: { shared: false } }, 'admin'),
    )
    await refused(Promise.reject(late), 'NetworkNotFound')
  })

  test('what is gone has no tags and is served by nobody', async () => {
    const { router, network, port } = await furnished()
    const agents = await listAgents(context)
    const of = (type: string) => agents.find((one) => one.agent_type === type)!
    const [goneRouter, goneNetwork] = [await seen(routerNoun, router), await seen(networkNoun, network)]
    await ask('DELETE', `/routers/${router.id}`)
    await ask('DELETE', `/ports/${port.id}`)
    await ask('DELETE', `/networks/${network.id}`)
    await refused(addRouter(context, of('L3 agent'), goneRouter), 'RouterNotFound')
    await refused(removeRouter(context, of('L3 agent'), goneRouter), 'RouterNotFound')
    await refused(addNetwork(context, of('DHCP agent'), goneNetwork), 'NetworkNotFound')
    await refused(
      setTags(context, networkNoun as Noun, network.id, () => ['late']),
      'NetworkNotFound',
    )
  })

  test('a floating address that has been led elsewhere is not led to another address of the port it led to', async () => {
    const { network, subnet, port, join } = await furnished()
    await join()
    const [made] = await createFloatingIps(context, member, [{ floating_network_id: outside.network.id, port_id: port.id }])
    const before = await seen(floatingIpNoun, made!)
    const other = await house.make('/ports', 'port', { network_id: network.id }, 'member')
    await updateFloatingIp(context, member, before, { port_id: other.id })
    const [{ ip_address: address }] = other.fixed_ips
    await refused(updateFloatingIp(context, member, before, { fixed_ip_address: address }), 'FloatingIPChanged')
    await refused(
      updatePort(context, admin, other.id, { fixed_ips: [{ subnet_id: subnet.id, ip_address: address.replace(/\d+$/, '77') }] }),
      'PortInUse',
    )
  })

  /** What `late` answers or throws when `first` happens between its looking and its transaction. */
  async function meanwhile<T>(late: () => Promise<T>, first: () => Promise<unknown>): Promise<[T | null, unknown]> {
    const { database } = context
    const transaction = database.transaction
    let done: Promise<unknown> | undefined
    context.database = Object.assign(Object.create(database), {
      transaction: async (work: any) => {
        context.database = database
        done ??= first()
        await done
        return await transaction.call(database, work)
      },
    })
    try {
      return [await late(), null]
    } catch (error) {
      return [null, error]
    } finally {
      context.database = database
    }
  }
})
