import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { DEMO, OTHER } from '../../kernel/http/testing.ts'
import { control, NETWORK_CONTROL } from '../rpc.ts'
import { type NetworkHouse, networkHouse } from '../testing.ts'

let house: NetworkHouse
before(async () => {
  house = await networkHouse()
})
after(() => house.close())

const groups = async (as: string) => (await house.request('GET', '/security-groups', { as })).body.security_groups

describe('security groups', () => {
  test('each project has one default group from the first look, even of many at once', async () => {
    await Promise.all(Array.from({ length: 5 }, () => groups('other')))
    const own = await groups('other')
    assert.deepEqual([own.length, own[0].name, own[0].project_id, own[0].security_group_rules.length], [1, 'default', OTHER, 4])
    const path = `/security-groups/${own[0].id}`
    assert.equal((await house.request('DELETE', path, { as: 'other' })).status, 409)
    assert.equal((await house.request('PUT', path, { as: 'other', body: { security_group: { name: 'mine' } } })).status, 409)
    assert.equal(
      (await house.request('POST', '/security-groups', { as: 'other', body: { security_group: { name: 'default' } } })).status,
      409,
    )
    assert.equal((await house.request('GET', path, { as: 'member' })).status, 404)
    assert.equal((await groups('member'))[0].project_id, DEMO)
  })

  test('rules: what fits is kept, the same twice is not, what does not fit is said', async () => {
    const group = await house.make('/security-groups', 'security_group', { name: 'web', description: 'for the web' }, 'member')
    const second = await house.request('PUT', `/security-groups/${group.id}`, {
      as: 'member',
      body: { security_group: { name: 'default' } },
    })
    assert.equal(second.body.NeutronError.type, 'SecurityGroupDefaultAlreadyExists')
    assert.deepEqual(
      group.security_group_rules.map((rule: any) => `${rule.direction} ${rule.ethertype}`),
      ['egress IPv4', 'egress IPv6'],
    )
    const post = async (more: object, as = 'member') =>
      await house.request('POST', '/security-group-rules', {
        as,
        body: { security_group_rule: { security_group_id: group.id, direction: 'ingress', ...more } },
      })
    const ssh = { protocol: 'tcp', port_range_min: 22, port_range_max: 22 }
    const made = await post(ssh)
    assert.deepEqual([made.status, made.body.security_group_rule.ethertype], [201, 'IPv4'])
    for (const same of [ssh, { ...ssh, protocol: '6' }, { ...ssh, protocol: '006' }, { ...ssh, remote_ip_prefix: '0.0.0.0/0' }]) {
      const twice = await post(same)
      assert.deepEqual([twice.status, twice.body.NeutronError.type], [409, 'SecurityGroupRuleExists'])
    }
    for (const [wrong, type] of [
      [{ port_range_min: 1, port_range_max: 2 }, 'SecurityGroupProtocolRequiredWithPorts'],
      [{ protocol: 'tcp', port_range_min: -16, port_range_max: 80 }, 'SecurityGroupInvalidPortValue'],
      [{ protocol: 'tcp', port_range_min: 9, port_range_max: 2 }, 'SecurityGroupInvalidPortRange'],
      [{ protocol: 'smoke' }, 'SecurityGroupRuleInvalidProtocol'],
      [{ protocol: 'constructor' }, 'SecurityGroupRuleInvalidProtocol'],
      [{ protocol: '__proto__' }, 'SecurityGroupRuleInvalidProtocol'],
      [{ protocol: '256' }, 'SecurityGroupRuleInvalidProtocol'],
      [{ protocol: '-1' }, 'SecurityGroupRuleInvalidProtocol'],
      [{ protocol: 'tcp\n-A INPUT -j ACCEPT' }, 'SecurityGroupRuleInvalidProtocol'],
      [{ protocol: '!tcp' }, 'SecurityGroupRuleInvalidProtocol'],
      [{ protocol: 'icmp', port_range_min: 300 }, 'SecurityGroupInvalidIcmpValue'],
      [{ remote_ip_prefix: '::/0' }, 'SecurityGroupRuleParameterConflict'],
      [{ remote_ip_prefix: '10.0.0.0/8', remote_group_id: group.id }, 'SecurityGroupRemoteGroupAndRemoteIpPrefix'],
    ] as const)
      assert.deepEqual([(await post(wrong)).status, (await post(wrong)).body.NeutronError.type], [400, type])
    for (const remote_ip_prefix of ['::ffff:0x7f.0.0.1', 'fe80::1%eth0/128', '010.0.0.1', '10.0.0.0/33', '10.1', '1.2.3.4\n-j ACCEPT'])
      for (const ethertype of ['IPv4', 'IPv6']) assert.equal((await post({ ethertype, remote_ip_prefix })).status, 400, remote_ip_prefix)
    assert.equal((await post({ direction: 'sideways' })).status, 400)
    assert.equal((await post(ssh, 'other')).status, 404)
    assert.equal((await post({ remote_group_id: (await groups('other'))[0].id })).status, 404)
    const listed = await house.request('GET', `/security-group-rules?security_group_id=${group.id}&direction=ingress`, { as: 'member' })
    assert.equal(listed.body.security_group_rules.length, 1)
    const path = `/security-group-rules/${made.body.security_group_rule.id}`
    assert.equal((await house.request('DELETE', path, { as: 'other' })).status, 404)
    assert.equal((await house.request('DELETE', path, { as: 'member' })).status, 204)
    assert.equal((await house.request('DELETE', `/security-groups/${group.id}`, { as: 'member' })).status, 204)
  })

  test('a rule that names a group leads to the addresses of its ports', async () => {
    const { network } = await house.network('10.1.0.0/24')
    const one = await house.make('/ports', 'port', { network_id: network.id })
    const two = await house.make('/ports', 'port', { network_id: network.id, allowed_address_pairs: [{ ip_address: '10.1.0.128/25' }] })
    const [details] = await house.bus.call(NETWORK_CONTROL, control.deviceDetails, { host: 'one', portIds: [one.id, 'nobody'] })
    assert.equal(details!.portId, one.id)
    const [group] = details!.securityGroups
    const named = details!.rules.filter((rule) => rule.direction === 'ingress').map((rule) => [rule.remotePrefix, rule.remoteGroupId])
    assert.deepEqual(named, [
      [null, group],
      [null, group],
    ])
    const addresses = await house.bus.call(NETWORK_CONTROL, control.groupAddresses, { groupIds: [group!, 'nobody'] })
    assert.deepEqual(addresses[group!]!.sort(), ['10.1.0.128/25', ...[one, two].map((port) => `${port.fixed_ips[0].ip_address}/32`)].sort())
    assert.deepEqual(addresses.nobody, [])
    assert.deepEqual(details!.dhcpServers, ['10.1.0.2'])
  })

  test('many ports are put in and taken out at once, all or none', async () => {
    const { network } = await house.network('10.9.0.0/24')
    const group = await house.make('/security-groups', 'security_group', { name: 'joined' }, 'member')
    const ports = [
      await house.make('/ports', 'port', { network_id: network.id }),
      await house.make('/ports', 'port', { network_id: network.id }),
    ]
    const ids = ports.map((port) => port.id)
    const ask = (change: string, port_ids: string[], as = 'admin') =>
      house.request('PUT', `/security-groups/${group.id}/${change}_ports`, { as, body: { port_ids } })
    const inIt = async () => {
      const shown = await Promise.all(ids.map((id) => house.request('GET', `/ports/${id}`)))
      return shown.map(({ body }) => body.port.security_groups.includes(group.id))
    }
    assert.equal((await ask('add', ids, 'member')).status, 403)
    assert.equal((await ask('add', [...ids, group.id])).status, 404)
    assert.deepEqual(await inIt(), [false, false])
    assert.equal((await ask('add', [ids[0]!])).status, 204)
    assert.equal((await ask('add', ids)).status, 204)
    assert.deepEqual(await inIt(), [true, true])
    const [first] = (await house.request('GET', `/ports?id=${ids[0]}`)).body.ports
    assert.deepEqual([first.security_groups.length, first.revision_number], [2, ports[0].revision_number + 1])
    assert.equal((await ask('remove', ids)).status, 204)
    assert.deepEqual(await inIt(), [false, false])
    await house.request('PUT', `/ports/${ids[1]}`, { as: 'admin', body: { port: { security_groups: [], port_security_enabled: false } } })
    assert.equal((await ask('add', ids)).status, 400)
    assert.deepEqual(await inIt(), [false, false])
  })
})
