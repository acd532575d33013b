import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { eventually } from '../../sagas/testing.ts'
import { House } from '../../testing.ts'

/** What compute passed on to the other services before 2.36. */

let house: House
before(async () => {
  house = await House.open()
})
after(() => house.stop())

const ask = (method: string, path: string, body?: unknown, more: object = {}) => house.ask(method, path, { body, at: '2.35', ...more })

test('all of it ends with 2.36 and is closed to readers where it changes something', async () => {
  for (const path of [
    '/images',
    '/os-security-groups',
    '/os-floating-ips',
    '/os-floating-ip-pools',
    '/os-networks',
    '/os-volumes',
    '/os-snapshots',
  ]) {
    assert.equal((await ask('GET', path)).status, 200, path)
    assert.equal((await house.ask('GET', path, { at: '2.36' })).status, 404, path)
  }
  const changes: [path: string, body: object][] = [
    ['/os-security-groups', { security_group: { name: 'a' } }],
    ['/os-security-group-rules', { security_group_rule: { parent_group_id: '0af3271e-73ba-4c0f-aa0e-808e29fe38a6', ip_protocol: 'tcp' } }],
    ['/os-floating-ips', {}],
    ['/os-volumes', { volume: { size: 1 } }],
    ['/os-snapshots', { snapshot: { volume_id: 'a' } }],
  ]
  for (const [path, body] of changes) assert.equal((await ask('POST', path, body, { as: 'reader' })).status, 403, path)
  for (const path of [
    '/images/a',
    '/os-security-groups/a',
    '/os-security-group-rules/a',
    '/os-floating-ips/a',
    '/os-volumes/a',
    '/os-snapshots/a',
  ]) {
    assert.equal((await ask('DELETE', path, undefined, { as: 'reader' })).status, 403, path)
    assert.equal((await ask('DELETE', path)).status, 404, path)
  }
})

describe('images', () => {
  test('are listed by what compute called them, with their metadata', async () => {
    const { images } = (await ask('GET', '/images/detail')).body
    const image = images.find((one: any) => one.id === house.yard.imageId)
    assert.deepEqual([image.status, image.progress, image.minDisk], ['ACTIVE', 100, 0])
    assert.deepEqual((await ask('GET', `/images/${image.id}`)).body.image, image)
    assert.equal((await ask('GET', '/images?status=SAVING')).body.images.length, 0)
    assert.equal((await ask('GET', `/images?name=${image.name}&limit=1`)).body.images.length, 1)
    assert.equal((await ask('GET', '/images?server=none')).body.images.length, 0)
    assert.equal((await ask('GET', '/images?changes-since=2999-01-01T00:00:00Z')).body.images.length, 0)
    for (const query of ['limit=x', 'marker=none', 'changes-since=2011/01/01', 'minRam=-1'])
      assert.equal((await ask('GET', `/images?${query}`)).status, 400, query)
    assert.equal((await ask('GET', '/images/none')).status, 404)
  })

  test('metadata of an image is changed by its owner only', async () => {
    const as = { as: 'admin' as const }
    const path = `/images/${house.yard.imageId}/metadata`
    assert.deepEqual((await ask('PUT', path, { metadata: { a: '1', b: '2' } }, as)).body.metadata, { a: '1', b: '2' })
    assert.deepEqual((await ask('POST', path, { metadata: { b: '3' } }, as)).body.metadata, { a: '1', b: '3' })
    assert.deepEqual((await ask('PUT', `${path}/c`, { meta: { c: '4' } }, as)).body.meta, { c: '4' })
    assert.equal((await ask('PUT', `${path}/c`, { meta: { d: '4' } }, as)).status, 400)
    assert.equal((await ask('DELETE', `${path}/a`, undefined, as)).status, 204)
    assert.equal((await ask('DELETE', `${path}/a`, undefined, as)).status, 404)
    assert.deepEqual((await ask('GET', path)).body.metadata, { b: '3', c: '4' })
    assert.deepEqual((await ask('GET', `${path}/b`)).body.meta, { b: '3' })
    assert.equal((await ask('PUT', path, { metadata: {} })).status, 403)
    assert.equal((await house.ask('GET', path, { at: '2.39' })).status, 404)
  })
})

test('security groups and their rules', async () => {
  const { security_group: group } = (await ask('POST', '/os-security-groups', { security_group: { name: 'old', description: 'd' } })).body
  assert.deepEqual([group.name, group.tenant_id, group.rules], ['old', house.alpha, []])
  const wish = { parent_group_id: group.id, ip_protocol: 'tcp', from_port: 22, to_port: '22', cidr: '10.0.0.0/8' }
  const { security_group_rule: rule } = (await ask('POST', '/os-security-group-rules', { security_group_rule: wish })).body
  const { id, ...rest } = rule
  assert.deepEqual(rest, {
    parent_group_id: group.id,
    ip_protocol: 'tcp',
    from_port: 22,
    to_port: 22,
    group: {},
    ip_range: { cidr: '10.0.0.0/8' },
  })
  const remote = { parent_group_id: group.id, ip_protocol: 'icmp', from_port: -1, to_port: -1, group_id: group.id }
  const other = (await ask('POST', '/os-security-group-rules', { security_group_rule: remote })).body.security_group_rule
  assert.deepEqual([other.group, other.from_port], [{ name: 'old', tenant_id: house.alpha }, -1])
  assert.equal((await ask('GET', `/os-security-groups/${group.id}`)).body.security_group.rules.length, 2)
  for (const wrong of [
    { ...wish, from_port: 'x' },
    { ...wish, ip_protocol: 'nonsense' },
    { ...wish, from_port: 70_000 },
    { ...wish, cidr: 'x' },
    { parent_group_id: group.id },
    { ...wish, parent_group_id: 'no-uuid' },
    wish,
  ])
    assert.equal((await ask('POST', '/os-security-group-rules', { security_group_rule: wrong })).status, 400, JSON.stringify(wrong))
  const changed = (await ask('PUT', `/os-security-groups/${group.id}`, { security_group: { name: 'new' } })).body.security_group
  assert.deepEqual([changed.name, changed.description], ['new', 'd'])
  assert.equal((await ask('GET', `/os-security-groups/${group.id}`, undefined, { as: 'stranger' })).status, 404)
  assert.equal((await ask('DELETE', `/os-security-group-rules/${id}`)).status, 202)
  assert.equal((await ask('DELETE', `/os-security-groups/${group.id}`)).status, 202)
  const { security_groups } = (await ask('GET', '/os-security-groups')).body
  assert.deepEqual(
    security_groups.map((one: any) => one.name),
    ['default'],
  )
  assert.equal((await ask('DELETE', `/os-security-groups/${security_groups[0].id}`)).status, 400)
  const everybody = async (as: 'admin' | 'member') =>
    (await ask('GET', '/os-security-groups?all_tenants=1', undefined, { as })).body.security_groups.some(
      (one: any) => one.tenant_id === house.alpha,
    )
  assert.deepEqual(
    [
      await everybody('admin'),
      (await ask('GET', '/os-security-groups', undefined, { as: 'admin' })).body.security_groups.some(
        (one: any) => one.tenant_id === house.alpha,
      ),
    ],
    [true, false],
  )
})

test('volumes and snapshots', async () => {
  const wish = { size: 1, display_name: 'v', display_description: 'd', metadata: { a: '1' } }
  const { volume } = (await ask('POST', '/os-volumes', { volume: wish })).body
  assert.deepEqual([volume.displayName, volume.displayDescription, volume.metadata, volume.attachments], ['v', 'd', { a: '1' }, [{}]])
  await eventually(async () => (await ask('GET', `/os-volumes/${volume.id}`)).body.volume.status === 'available', Boolean)
  assert.equal((await ask('GET', '/os-volumes?limit=1')).body.volumes.length, 1)
  assert.equal((await ask('GET', '/os-volumes/detail?offset=1')).body.volumes.length, 0)
  for (const wrong of [{ size: 0 }, { size: '#$%' }, {}, { size: -1 }])
    assert.equal((await ask('POST', '/os-volumes', { volume: wrong })).status, 400)
  const { snapshot } = (await ask('POST', '/os-snapshots', { snapshot: { volume_id: volume.id, display_name: 's' } })).body
  assert.deepEqual([snapshot.displayName, snapshot.volumeId], ['s', volume.id])
  await eventually(async () => (await ask('GET', `/os-snapshots/${snapshot.id}`)).body.snapshot.status === 'available', Boolean)
  assert.equal((await ask('GET', `/os-volumes/${volume.id}`, undefined, { as: 'stranger' })).status, 404)
  assert.equal((await ask('DELETE', `/os-snapshots/${snapshot.id}`)).status, 202)
  await eventually(async () => (await ask('GET', `/os-snapshots/${snapshot.id}`)).status === 404, Boolean)
  assert.equal((await ask('DELETE', `/os-volumes/${volume.id}`)).status, 202)
})

test('networks, pools and floating IPs', async () => {
  const { networks } = (await ask('GET', '/os-tenant-networks')).body
  assert.ok(networks.some((one: any) => one.id === house.yard.networkId && one.label && one.cidr === 'None'))
  const keys = async (as: 'admin' | 'member') => Object.keys((await ask('GET', '/os-networks', undefined, { as })).body.networks[0]).length
  assert.deepEqual([await keys('member'), await keys('admin')], [11, 32])
  assert.equal((await ask('GET', `/os-networks/${house.yard.networkId}`)).body.network.id, house.yard.networkId)
  assert.equal((await ask('GET', '/os-networks/none')).status, 404)
  assert.equal((await ask('POST', '/os-floating-ips', { pool: 'none' })).status, 404)
  const one = await house.server()
  const act = (body: object, at = '2.43') => house.ask('POST', `/servers/${one.id}/action`, { body, at })
  assert.equal((await act({ addFloatingIp: { address: '0.0.0.0' } })).status, 404)
  assert.equal((await act({ removeFloatingIp: { address: '0.0.0.0' } })).status, 404)
  assert.equal((await act({ addFloatingIp: { address: '' } })).status, 400)
  assert.equal((await act({ addFloatingIp: { address: '1.2.3.4' } }, '2.44')).status, 404)
  const addresses = async (): Promise<string[]> =>
    (await ask('GET', `/servers/${one.id}/ips`)).body.addresses.private.map((each: any) => each.addr)
  const [first] = await addresses()
  assert.equal((await act({ addFixedIp: { networkId: house.yard.networkId } })).status, 202)
  const further = (await addresses()).find((address) => address !== first)
  assert.match(further!, /^10\.7\./)
  assert.equal((await act({ removeFixedIp: { address: further } })).status, 202)
  assert.deepEqual(await addresses(), [first])
  assert.equal((await act({ removeFixedIp: { address: further } })).status, 400)
  assert.equal((await act({ addFixedIp: { networkId: 'none' } })).status, 404)
  assert.equal((await act({ addFixedIp: { networkId: house.yard.networkId } }, '2.44')).status, 404)
  await house.remove(one.id)
})

test('what was removed says so to whoever has a token, at any microversion', async () => {
  for (const at of ['2.1', '2.93']) {
    assert.equal((await ask('GET', '/os-agents', undefined, { at })).status, 410)
    assert.equal((await ask('DELETE', '/os-agents/1', undefined, { at })).status, 410)
    assert.equal((await ask('POST', '/os-networks/1/action', { disassociate: null }, { at })).status, 410)
    assert.equal((await ask('POST', '/os-networks/1/action', { join: null }, { at })).status, 400)
  }
})

test('hosts, and the audit that nobody runs', async () => {
  const as = { as: 'admin' as const }
  const one = await house.server()
  const { hosts } = (await ask('GET', '/os-hosts', undefined, as)).body
  const { host_name: host, zone } = hosts.find((entry: any) => entry.service === 'compute')
  assert.equal(zone, 'nova')
  assert.deepEqual((await ask('GET', '/os-hosts?zone=none', undefined, as)).body.hosts, [])
  const shares = (await ask('GET', `/os-hosts/${host}`, undefined, as)).body.host.map((entry: any) => entry.resource)
  assert.deepEqual(
    shares.map((entry: any) => entry.project),
    ['(total)', '(used_now)', '(used_max)', house.alpha],
  )
  assert.deepEqual([shares[1].cpu, shares[3].cpu], [1, 1])
  const change = async (body: object) => (await ask('PUT', `/os-hosts/${host}`, body, as)).status
  assert.equal((await ask('PUT', `/os-hosts/${host}`, { status: 'disable' }, as)).body.status, 'disabled')
  assert.deepEqual([await change({ status: 'enable' }), await change({}), await change({ status: 'x' })], [200, 400, 400])
  assert.equal(await change({ maintenance_mode: 'enable' }), 501)
  for (const action of ['startup', 'shutdown', 'reboot']) {
    assert.equal((await ask('GET', `/os-hosts/${host}/${action}`, undefined, as)).status, 501)
    assert.equal((await ask('GET', `/os-hosts/none/${action}`, undefined, as)).status, 404)
    assert.equal((await ask('GET', `/os-hosts/${host}/${action}`)).status, 403)
  }
  for (const path of ['/os-hosts', `/os-hosts/${host}`, '/os-instance_usage_audit_log']) assert.equal((await ask('GET', path)).status, 403)
  assert.equal((await ask('GET', '/os-hosts/none', undefined, as)).status, 404)
  const log = (await ask('GET', '/os-instance_usage_audit_log/2026-03-05%2010:00:00', undefined, as)).body.instance_usage_audit_log
  assert.deepEqual([log.period_beginning, log.period_ending, log.hosts_not_run], ['2026-02-01 00:00:00', '2026-03-01 00:00:00', [host]])
  assert.equal((await ask('GET', '/os-instance_usage_audit_log/yesterday', undefined, as)).status, 400)
  await house.remove(one.id)
})

test('/v2 is the first microversion under its old address', async () => {
  const paths: [string, string][] = [
    ['v2.0', '/compute/v2/'],
    ['v2.1', '/compute/v2.1/'],
  ]
  const get = async (path: string) => (await house.yard.cloud.control.server.fastify.inject({ url: path })).json()
  const about = ({ id, links }: any) => [id, new URL(links[0].href).pathname]
  assert.deepEqual((await get('/compute/')).versions.map(about), paths)
  for (const [id, path] of paths) assert.deepEqual(about((await get(path)).version), [id, path])
})
