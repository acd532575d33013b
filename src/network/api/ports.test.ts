import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { DEMO } from '../../kernel/http/testing.ts'
import { onStep, type StepRecord } from '../../kernel/trace/trace.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
before(async () => {
  house = await networkHouse()
  await house.agents()
})
after(() => house.close())

const GIVEN = '5f2c8f10-0000-4000-8000-00000000cafe'

describe('ports', () => {
  test('a server’s port: address, MAC, default group, binding; its steps are lit', async () => {
    const steps: StepRecord[] = []
    const stop = onStep((step) => steps.push(step))
    const { network, subnet } = await house.network('192.168.0.0/24')
    const body = {
      id: GIVEN,
      network_id: network.id,
      project_id: DEMO,
      device_id: 'server-1',
      device_owner: 'compute:nova',
      'binding:host_id': 'one',
      dns_name: 'hello',
    }
    const port = await house.client.createPort(body)
    assert.match(port.mac_address, /^fa:16:3e(:[0-9a-f]{2}){3}$/)
    assert.deepEqual([port.id, port.status, port['binding:vif_type']], [GIVEN, 'DOWN', 'ovs'])
    assert.deepEqual(port['binding:vif_details'], {
      port_filter: true,
      ovs_hybrid_plug: true,
      bridge_name: 'br-int',
      datapath_type: 'system',
      connectivity: 'l2',
    })
    assert.deepEqual(port.fixed_ips, [{ subnet_id: subnet.id, ip_address: '192.168.0.3' }])
    assert.equal((port.dns_assignment as any)[0].fqdn, 'hello.openstacklocal.')
    assert.equal(port.security_groups.length, 1)
    assert.deepEqual(await house.client.createPort(body), port, 'asking again answers the same')
    await new Promise((resolve) => setTimeout(resolve, 20))
    stop()
    const lit = new Map(steps.map((step) => [step.step, step]))
    assert.deepEqual([...lit.keys()].sort(), [19, 22, 23])
    assert.equal(steps.length, 3, 'once')
    assert.equal(lit.get(19)!.evidence.text, port.mac_address)
    assert.equal(lit.get(22)!.evidence.text, 'default: 4 rules, egress any, ingress from itself')
    assert.equal(lit.get(23)!.evidence.text, `port ${GIVEN}, 192.168.0.3 on private`)
    assert.ok(steps.every((step) => step.subject === `port:${GIVEN}` && step.service === 'network'))
    const [vif] = await house.client.vifs('server-1')
    assert.deepEqual(
      [vif!.deviceName, vif!.vifType, vif!.details.ovsHybridPlug, vif!.subnets[0]!.addresses, vif!.network.mtu, vif!.active],
      ['tap5f2c8f10-00', 'ovs', true, ['192.168.0.3'], 1450, false],
    )
    await house.client.deletePort(GIVEN)
    await house.client.deletePort(GIVEN)
    assert.deepEqual(await house.client.vifs('server-1'), [])
  })

  test('a DHCP option that the file of the DHCP server cannot say is refused: it would stop the whole network', async () => {
    const { network } = await house.network('192.168.77.0/24')
    const make = (opt_name: string, opt_value: string) =>
      house.client.createPort({ network_id: network.id, project_id: DEMO, extra_dhcp_opts: [{ opt_name, opt_value }] } as never)
    for (const value of ['a\nport=53', 'a\rb', 'a"b', 'a\\b', 'ä', '\0'])
      await assert.rejects(make('bootfile-name', value), { status: 400 }, JSON.stringify(value))
    for (const name of ['bootfile name', 'Bootfile', 'a\nb', 'a,b', '--conf-file=/etc/shadow'])
      await assert.rejects(make(name, 'a'), { status: 400 }, JSON.stringify(name))
    assert.ok(await make('bootfile-name', 'a file'))
    assert.ok(await make('66', 'a'))
  })

  test('twenty at once get twenty addresses; a full subnet says so', async () => {
    const { network, subnet } = await house.network('10.9.0.0/27')
    const made = await Promise.all(Array.from({ length: 20 }, () => house.make('/ports', 'port', { network_id: network.id })))
    assert.equal(new Set(made.map((port) => port.fixed_ips[0].ip_address)).size, 20)
    for (let i = 0; i < 8; i++) await house.make('/ports', 'port', { network_id: network.id })
    const full = await house.request('POST', '/ports', { body: { port: { network_id: network.id } } })
    assert.deepEqual([full.status, full.body.NeutronError.type], [409, 'IpAddressGenerationFailure'])
    const [availability] = (await house.request('GET', `/network-ip-availabilities?network_id=${network.id}`)).body
      .network_ip_availabilities
    assert.deepEqual([availability.total_ips, availability.used_ips], [29, 29])
    await house.request('DELETE', `/ports/${made[3].id}`)
    const again = await house.make('/ports', 'port', { network_id: network.id, fixed_ips: [{ subnet_id: subnet.id }] })
    assert.equal(again.fixed_ips[0].ip_address, made[3].fixed_ips[0].ip_address)
  })

  test('many in one request are all made or none', async () => {
    const { network } = await house.network('10.10.0.0/24')
    const fixed = [{ ip_address: '10.10.0.50' }]
    const ports = [{ network_id: network.id }, { network_id: network.id, fixed_ips: fixed }, { network_id: network.id, fixed_ips: fixed }]
    const refused = await house.request('POST', '/ports', { body: { ports } })
    assert.deepEqual([refused.status, refused.body.NeutronError.type], [409, 'IpAddressAlreadyAllocated'])
    assert.equal((await house.request('GET', `/ports?network_id=${network.id}&device_owner=`)).body.ports.length, 0)
    const made = await house.request('POST', '/ports', { body: { ports: ports.slice(0, 2) } })
    assert.equal(made.body.ports.length, 2)
  })

  test('addresses change and are kept; filters by address and group', async () => {
    const { network, subnet } = await house.network('10.11.0.0/24')
    const port = await house.make('/ports', 'port', { network_id: network.id, fixed_ips: [{ ip_address: '10.11.0.77' }] })
    const found = await house.request('GET', '/ports', { query: { fixed_ips: 'ip_address=10.11.0.77' } })
    assert.deepEqual(
      found.body.ports.map((one: any) => one.id),
      [port.id],
    )
    const put = async (document: object) => await house.request('PUT', `/ports/${port.id}`, { body: { port: document } })
    const two = await put({ fixed_ips: [{ subnet_id: subnet.id, ip_address: '10.11.0.77' }, { subnet_id: subnet.id }] })
    assert.deepEqual(
      two.body.port.fixed_ips.map((ip: any) => ip.ip_address),
      ['10.11.0.77', '10.11.0.3'],
    )
    assert.equal((await put({ fixed_ips: [] })).body.port.fixed_ips.length, 0)
    assert.equal((await put({ fixed_ips: [{ ip_address: '10.12.0.1' }] })).status, 400)
    assert.equal((await put({ fixed_ips: [{ ip_address: '10.11.0.255' }] })).status, 400)
    assert.equal((await put({ network_id: 'x' })).status, 400)
    const group = await house.make('/security-groups', 'security_group', { name: 'web' })
    assert.deepEqual((await put({ security_groups: [group.id] })).body.port.security_groups, [group.id])
    assert.equal((await house.request('GET', `/ports?security_groups=${group.id}`)).body.ports.length, 1)
    assert.equal((await house.request('DELETE', `/security-groups/${group.id}`)).body.NeutronError.type, 'SecurityGroupInUse')
    assert.equal((await put({ port_security_enabled: false })).status, 400)
    assert.equal((await put({ port_security_enabled: false, security_groups: [] })).status, 200)
    assert.equal((await put({ allowed_address_pairs: [{ ip_address: '10.0.0.0/8' }] })).status, 409)
    const bound = await put({ 'binding:host_id': 'nowhere' })
    assert.equal(bound.body.port['binding:vif_type'], 'binding_failed')
  })

  test('one that is another by now is not changed (If-Match), of two who saw the same one changes it', async () => {
    const { network } = await house.network('192.168.9.0/24')
    const port = await house.make('/ports', 'port', { network_id: network.id })
    const change = (name: string, match: string) =>
      house.request('PUT', `/ports/${port.id}`, { body: { port: { name } }, headers: { 'if-match': match } })
    const seen = `revision_number=${port.revision_number}`
    const answers = await Promise.all(['one', 'two', 'three'].map((name) => change(name, seen)))
    assert.deepEqual(answers.map((one) => one.status).sort(), [200, 412, 412])
    assert.equal(answers.find((one) => one.status === 412)!.body.NeutronError.type, 'RevisionNumberConstraintFailed')
    const now = (await house.request('GET', `/ports/${port.id}`)).body.port
    assert.equal((await change('four', `"revision_number=${now.revision_number}"`)).status, 200)
    for (const junk of ['*', 'revision_number=', 'revision_number=one', 'W/"1"'])
      assert.equal((await change('five', junk)).status, 400, junk)
    const device = { device_id: 'server-1' }
    assert.equal(await house.client.updatePortIf(port.id, device, ({ device_id }) => device_id === ''), true)
    assert.equal(await house.client.updatePortIf(port.id, { device_id: 'server-2' }, ({ device_id }) => device_id === ''), false)
    assert.equal((await house.client.port(port.id)).device_id, 'server-1')
  })

  test('MACs are unique in a network', async () => {
    const { network } = await house.network('10.13.0.0/24')
    const mac_address = 'fa:16:3e:aa:bb:cc'
    await house.make('/ports', 'port', { network_id: network.id, mac_address })
    const twin = await house.request('POST', '/ports', {
      body: { port: { network_id: network.id, mac_address: mac_address.toUpperCase() } },
    })
    assert.deepEqual([twin.status, twin.body.NeutronError.type], [409, 'MacAddressInUse'])
  })

  test('foreign projects: not seen, not used; shared networks may be used, but not bent', async () => {
    const { network } = await house.network('10.14.0.0/24')
    const port = await house.make('/ports', 'port', { network_id: network.id })
    for (const [method, path, body] of [
      ['GET', `/ports/${port.id}`],
      ['PUT', `/ports/${port.id}`, { port: { name: 'mine' } }],
      ['DELETE', `/ports/${port.id}`],
      ['POST', '/ports', { port: { network_id: network.id } }],
    ] as const)
      assert.equal((await house.request(method, path, { as: 'other', body })).status, 404, `${method} ${path}`)
    assert.equal((await house.request('GET', '/ports', { as: 'other' })).body.ports.length, 0)
    const { network: shared } = await house.network('10.15.0.0/24', 'admin', { shared: true })
    const post = async (more: object) =>
      await house.request('POST', '/ports', { as: 'other', body: { port: { network_id: shared.id, ...more } } })
    const own = await post({})
    assert.equal(own.status, 201)
    assert.ok(!('binding:host_id' in own.body.port) && 'binding:vnic_type' in own.body.port)
    for (const more of [
      { mac_address: 'fa:16:3e:00:00:09' },
      { fixed_ips: [{ ip_address: '10.15.0.9' }] },
      { 'binding:host_id': 'one' },
      { device_owner: 'network:dhcp' },
      { port_security_enabled: false },
      { id: GIVEN },
      { project_id: DEMO },
    ])
      assert.equal((await post(more)).status, 403, JSON.stringify(more))
    assert.equal((await post({ security_groups: ['nobody'] })).status, 404)
    const { network: external } = await house.outside()
    assert.equal((await house.request('POST', '/ports', { as: 'other', body: { port: { network_id: external.id } } })).status, 403)
  })
})
