import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { until } from '../../drivers/daemon.ts'
import { eachDatabaseUrl } from '../../kernel/db/testing.ts'
import { control, events, NETWORK_CONTROL } from '../rpc.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

eachDatabaseUrl((fresh) => {
  let house: NetworkHouse
  let outside: { id: string }
  before(async () => {
    house = await networkHouse({ databaseUrl: await fresh() })
    outside = (await house.outside()).network
  })
  after(() => house.close())

  const agentOn = async (host: string, type: string) =>
    (await house.request('GET', `/agents?host=${host}&agent_type=${encodeURIComponent(type)}`)).body.agents[0]
  const hostsOf = async (path: string) => (await house.request('GET', path)).body.agents.map((agent: any) => agent.host).sort()

  describe('schedulers of networks and routers', () => {
    test('what is made while nobody lives is taken by the first agent that starts; two hosts serve addresses', async () => {
      const { network } = await house.network('10.1.0.0/24')
      const router = await house.make('/routers', 'router', {})
      assert.deepEqual([await hostsOf(`/networks/${network.id}/dhcp-agents`), await hostsOf(`/routers/${router.id}/l3-agents`)], [[], []])
      await house.agents('one')
      assert.deepEqual(await hostsOf(`/networks/${network.id}/dhcp-agents`), ['one'])
      assert.deepEqual(await hostsOf(`/routers/${router.id}/l3-agents`), ['one'])
      await house.agents('two')
      await house.agents('three')
      assert.deepEqual(await hostsOf(`/networks/${network.id}/dhcp-agents`), ['one', 'two'])
      assert.deepEqual(await hostsOf(`/routers/${router.id}/l3-agents`), ['one'])
      const fresh = await house.make('/routers', 'router', {})
      assert.equal((await hostsOf(`/routers/${fresh.id}/l3-agents`)).includes('one'), false, 'the one with least work')
    })

    test('a network is given to an agent and taken away; what cannot be is refused in words', async () => {
      const { network } = await house.network('10.2.0.0/24')
      const hosts = await hostsOf(`/networks/${network.id}/dhcp-agents`)
      const spare = ['one', 'two', 'three'].find((host) => !hosts.includes(host))!
      const agent = await agentOn(spare, 'DHCP agent')
      const path = `/agents/${agent.id}/dhcp-networks`
      const body = { network_id: network.id }
      assert.equal((await house.request('DELETE', `${path}/${network.id}`)).body.NeutronError.type, 'NetworkNotHostedByDhcpAgent')
      assert.equal((await house.request('POST', path, { body })).status, 201)
      assert.equal((await house.request('POST', path, { body })).body.NeutronError.type, 'NetworkHostedByDHCPAgent')
      assert.ok((await house.request('GET', path)).body.networks.some((one: any) => one.id === network.id))
      assert.equal((await hostsOf(`/networks/${network.id}/dhcp-agents`)).length, 3)
      assert.equal((await house.request('DELETE', `${path}/${network.id}`)).status, 204)
      assert.deepEqual(await hostsOf(`/networks/${network.id}/dhcp-agents`), hosts)
      const l3 = await agentOn(spare, 'L3 agent')
      assert.equal((await house.request('POST', `/agents/${l3.id}/dhcp-networks`, { body })).body.NeutronError.type, 'InvalidDHCPAgent')
      assert.equal((await house.request('POST', path, { body: { network_id: crypto.randomUUID() } })).status, 404)
      assert.equal((await house.request('POST', `/agents/${crypto.randomUUID()}/dhcp-networks`, { body })).status, 404)
      for (const junk of [{}, { network_id: 7 }, []]) assert.equal((await house.request('POST', path, { body: junk })).status, 400)
    })

    test('a router goes from one agent to another, with its ports', async () => {
      const { subnet } = await house.network('10.3.0.0/24')
      const router = await house.make('/routers', 'router', {})
      await house.request('PUT', `/routers/${router.id}/add_router_interface`, { body: { subnet_id: subnet.id } })
      const [from] = await hostsOf(`/routers/${router.id}/l3-agents`)
      const to = ['one', 'two', 'three'].find((host) => host !== from)!
      const [old, next] = [await agentOn(from, 'L3 agent'), await agentOn(to, 'L3 agent')]
      const body = { router_id: router.id }
      assert.equal((await house.request('POST', `/agents/${next.id}/l3-routers`, { body })).body.NeutronError.type, 'RouterHostedByL3Agent')
      assert.equal(
        (await house.request('DELETE', `/agents/${next.id}/l3-routers/${router.id}`)).body.NeutronError.type,
        'RouterNotHostedByL3Agent',
      )
      assert.equal((await house.request('DELETE', `/agents/${old.id}/l3-routers/${router.id}`)).status, 204)
      assert.equal((await house.request('POST', `/agents/${next.id}/l3-routers`, { body })).status, 201)
      assert.deepEqual(await hostsOf(`/routers/${router.id}/l3-agents`), [to])
      assert.ok((await house.request('GET', `/agents/${next.id}/l3-routers`)).body.routers.some((one: any) => one.id === router.id))
      const [port] = await house.client.ports({ device_id: router.id })
      assert.equal(port!['binding:host_id'], to)
    })

    test('an agent may have a network before there is anything to serve in it', async () => {
      const network = await house.make('/networks', 'network', {})
      const agent = await agentOn('two', 'DHCP agent')
      const path = `/agents/${agent.id}/dhcp-networks`
      assert.equal((await house.request('POST', path, { body: { network_id: network.id } })).status, 201)
      assert.deepEqual(await hostsOf(`/networks/${network.id}/dhcp-agents`), ['two'])
      await house.make('/subnets', 'subnet', { network_id: network.id, cidr: '10.6.0.0/24', ip_version: 4 })
      const [server] = await house.client.ports({ network_id: network.id })
      assert.deepEqual([server!.device_owner, server!.fixed_ips.length], ['network:dhcp', 1])
      assert.equal((await house.request('DELETE', `${path}/${network.id}`)).status, 204)
      assert.deepEqual(await hostsOf(`/networks/${network.id}/dhcp-agents`), [])
      assert.equal((await house.request('DELETE', `/networks/${network.id}`)).status, 204)
    })

    test('a floating address is down until the host to which its router went says that it is there', async () => {
      const { network, subnet } = await house.network('10.5.0.0/24')
      const router = await house.make('/routers', 'router', { external_gateway_info: { network_id: outside.id } })
      await house.request('PUT', `/routers/${router.id}/add_router_interface`, { body: { subnet_id: subnet.id } })
      const port = await house.make('/ports', 'port', { network_id: network.id })
      const floating = await house.make('/floatingips', 'floatingip', { floating_network_id: outside.id, port_id: port.id })
      const [from] = await hostsOf(`/routers/${router.id}/l3-agents`)
      const to = ['one', 'two', 'three'].find((host) => host !== from)!
      const says = async (host: string) => {
        const floatingIps = [{ id: floating.id, status: 'ACTIVE' as const, rules: [] }]
        await house.bus.call(NETWORK_CONTROL, control.routerReady, { host, routerId: router.id, floatingIps })
        return (await house.client.floatingIps({ id: floating.id }))[0]!.status
      }
      const awaited = async (host: string) =>
        (await house.bus.call(NETWORK_CONTROL, control.routers, { host })).routers.find((one) => one.id === router.id)?.awaited
      assert.deepEqual([await awaited(from), await says(from), await awaited(from)], [true, 'ACTIVE', false])
      const [old, next] = [await agentOn(from, 'L3 agent'), await agentOn(to, 'L3 agent')]
      await house.request('DELETE', `/agents/${old.id}/l3-routers/${router.id}`)
      assert.equal(await says(from), 'DOWN', 'what the first host still says is late')
      await house.request('POST', `/agents/${next.id}/l3-routers`, { body: { router_id: router.id } })
      assert.deepEqual([await says(from), await awaited(to), await says(to)], ['DOWN', true, 'ACTIVE'])
    })

    test('only the operator may see and change it', async () => {
      const agent = await agentOn('one', 'DHCP agent')
      const { network } = await house.network('10.4.0.0/24', 'other')
      for (const [method, path, body] of [
        ['GET', `/agents/${agent.id}/dhcp-networks`],
        ['POST', `/agents/${agent.id}/dhcp-networks`, { network_id: network.id }],
        ['DELETE', `/agents/${agent.id}/dhcp-networks/${network.id}`],
        ['GET', `/networks/${network.id}/dhcp-agents`],
        ['GET', `/agents/${agent.id}/l3-routers`],
        ['POST', `/agents/${agent.id}/l3-routers`, { router_id: network.id }],
        ['DELETE', `/agents/${agent.id}/l3-routers/${network.id}`],
        ['GET', `/routers/${network.id}/l3-agents`],
      ] as const)
        assert.equal((await house.request(method, path, { as: 'other', body })).status, 403, `${method} ${path}`)
    })

    test('what a host served that falls silent goes to those that speak; nothing moves when nobody is heard', async () => {
      const { network } = await house.network('10.5.0.0/24')
      const router = await house.make('/routers', 'router', {})
      const [from] = await hostsOf(`/routers/${router.id}/l3-agents`)
      const others = ['one', 'two', 'three'].filter((host) => host !== from)
      house.bus.publish(events.hostAlive, { host: from })
      const speaking = setInterval(() => {
        for (const host of others) house.bus.publish(events.hostAlive, { host })
      }, 500)
      const begun = performance.now()
      try {
        const elsewhere = async (path: string) => {
          const hosts = await hostsOf(path)
          return hosts.length > 0 && !hosts.includes(from)
        }
        await until('the router is elsewhere', () => elsewhere(`/routers/${router.id}/l3-agents`), 12_000)
        assert.ok(performance.now() - begun > 4_000, 'not before the host was silent for a while')
        await until('its addresses too', () => elsewhere(`/networks/${network.id}/dhcp-agents`), 5_000)
      } finally {
        clearInterval(speaking)
      }
    })
  })
})
