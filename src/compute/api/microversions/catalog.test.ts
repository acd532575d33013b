import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Ask, both, inOneHouse } from './testing.ts'

/** What microversions changed of key pairs, flavors, server groups, limits and what a server's volumes show. */

let id: string
let volumeId: string
const here = inOneHouse({
  async prepare(house) {
    id = (await house.server()).id
    volumeId = await house.yard.volume()
  },
})
const { microversion } = here
const flavor = async (own: object = {}) => {
  const name = `f-${Math.random()}`
  return (await here.house.ask('POST', '/flavors', { as: 'admin', body: { flavor: { name, ram: 64, vcpus: 1, disk: 1, ...own } } })).body
    .flavor
}
let pairs = 0
const pair = (ask: Ask, own: object = {}) => ask('POST', '/os-keypairs', { body: { keypair: { name: `pair ${++pairs}`, ...own } } })
const group = async (ask: Ask, own: object) => {
  const { status, body } = await ask('POST', '/os-server-groups', { body: { server_group: { name: 'g', ...own } } })
  if (status === 200) await ask('DELETE', `/os-server-groups/${body.server_group.id}`)
  return status
}

microversion('2.2', 'key pairs have a type', async (before, at) => {
  const [old, now] = [await pair(before), await pair(at)]
  assert.deepEqual([old.status, now.status], [200, 201])
  assert.deepEqual(['type' in old.body.keypair, now.body.keypair.type], [false, 'ssh'])
  assert.equal((await pair(before, { type: 'ssh' })).status, 400)
  assert.deepEqual(await both('DELETE', `/os-keypairs/${encodeURIComponent(old.body.keypair.name)}`, before, at), [202, 404])
})
microversion('2.7', 'access to a public flavor is not given', async (before, at) => {
  const { id: open } = await flavor()
  const body = { addTenantAccess: { tenant: here.house.alpha } }
  assert.deepEqual(await both('POST', `/flavors/${open}/action`, before, at, body), [200, 409])
})
microversion('2.10', 'administrators make and see the key pairs of others', async (before, at) => {
  const user_id = (await here.house.ask('POST', '/os-keypairs', { body: { keypair: { name: 'theirs' } } })).body.keypair.user_id
  assert.deepEqual(await both('GET', `/os-keypairs/theirs?user_id=${user_id}`, before, at), [404, 200])
  assert.deepEqual([(await pair(before, { user_id })).status, (await pair(at, { user_id })).body.keypair.user_id], [400, user_id])
})
microversion('2.13', 'server groups show whose they are', async (before, at) => {
  const { server_group } = (await at('POST', '/os-server-groups', { body: { server_group: { name: 'g', policies: ['affinity'] } } })).body
  const shown = async (ask: Ask) => 'project_id' in (await ask('GET', `/os-server-groups/${server_group.id}`)).body.server_group
  assert.deepEqual([await shown(before), await shown(at)], [false, true])
})
microversion('2.15', 'servers may be together or apart if it can be done', async (before, at) => {
  for (const policy of ['soft-affinity', 'soft-anti-affinity'])
    assert.deepEqual([await group(before, { policies: [policy] }), await group(at, { policies: [policy] })], [400, 200])
})
microversion('2.35', 'key pairs come in pages', async (before, at) => {
  const list = async (ask: Ask, query: string) => (await ask('GET', `/os-keypairs${query}`)).body
  for (const _each of [1, 2]) await pair(before)
  assert.ok((await list(before, '?limit=1')).keypairs.length > 1)
  const { keypairs, keypairs_links: links } = await list(at, '?limit=1')
  assert.deepEqual([keypairs.length, new URL(links[0].href).searchParams.get('marker')], [1, keypairs[0].keypair.name])
  assert.equal((await at('GET', '/os-keypairs?marker=none')).status, 400)
})
microversion('2.36', 'what other services keep is not shown by compute', async (before, at) => {
  for (const path of ['/images', '/os-networks', '/os-security-groups', '/os-volumes', '/os-floating-ips'])
    assert.deepEqual(await both('GET', path, before, at), [200, 404], path)
  const quota = async (ask: Ask) => 'floating_ips' in (await ask('GET', `/os-quota-sets/${here.house.alpha}`)).body.quota_set
  assert.deepEqual([await quota(before), await quota(at)], [true, false])
})
microversion('2.39', 'metadata of images are the image service’s', async (before, at) => {
  assert.deepEqual(await both('GET', `/images/${here.house.yard.imageId}/metadata`, before, at), [200, 404])
  const limit = async (ask: Ask) => 'maxImageMeta' in (await ask('GET', '/limits')).body.limits.absolute
  assert.deepEqual([await limit(before), await limit(at)], [true, false])
})
microversion('2.40', 'usage comes in pages of servers', async (before, at) => {
  const { id: second } = await here.house.server()
  for (const [path, key] of [
    ['/os-simple-tenant-usage?detailed=1', 'tenant_usages'],
    [`/os-simple-tenant-usage/${here.house.alpha}?x=1`, 'tenant_usage'],
  ] as const) {
    const usages = (body: any): any[] => [body[key]].flat().flatMap((one: any) => one.server_usages ?? [])
    const [old, now] = [(await before('GET', `${path}&limit=1`)).body, (await at('GET', `${path}&limit=1`)).body]
    assert.deepEqual([usages(old).length > 1, usages(now).length, `${key}_links` in old], [true, 1, false])
    const [{ instance_id: shown }] = usages(now)
    assert.match(now[`${key}_links`][0].href, new RegExp(`marker=${shown}`))
    assert.notEqual(usages((await at('GET', `${path}&limit=1&marker=${shown}`)).body)[0].instance_id, shown)
  }
  await here.house.remove(second)
})
microversion('2.50', 'the default limits are those of compute alone, server groups among them', async (before, at) => {
  const names = async (ask: Ask) => Object.keys((await ask('GET', '/os-quota-class-sets/default')).body.quota_class_set)
  const [old, now] = [await names(before), await names(at)]
  assert.deepEqual(
    ['server_groups', 'server_group_members', 'floating_ips', 'fixed_ips', 'security_groups'].map((name) => [
      old.includes(name),
      now.includes(name),
    ]),
    [
      [false, true],
      [false, true],
      [true, false],
      [true, false],
      [true, false],
    ],
  )
})
microversion('2.55', 'flavors have a description', async (before, at) => {
  const { id: one } = await flavor()
  const body = { flavor: { description: 'big' } }
  assert.deepEqual(await both('PUT', `/flavors/${one}`, before, at, body), [404, 200])
  const shown = async (ask: Ask) => (await ask('GET', `/flavors/${one}`)).body.flavor.description
  assert.deepEqual([await shown(before), await shown(at)], [undefined, 'big'])
  const make = { flavor: { name: 'described', ram: 64, vcpus: 1, disk: 1, description: 'small' } }
  assert.deepEqual(await both('POST', '/flavors', before, at, make), [400, 200])
})
microversion('2.57', 'files that are put into servers have no limits', async (before, at) => {
  const quota = async (ask: Ask) => 'injected_files' in (await ask('GET', `/os-quota-sets/${here.house.alpha}`)).body.quota_set
  assert.deepEqual([await quota(before), await quota(at)], [true, false])
})
microversion('2.61', 'flavors show their extra specs', async (before, at) => {
  const { id: one } = await flavor()
  const shown = async (ask: Ask) => 'extra_specs' in (await ask('GET', `/flavors/${one}`)).body.flavor
  assert.deepEqual([await shown(before), await shown(at)], [false, true])
})
microversion('2.64', 'a server group has one policy, and rules for it', async (before, at) => {
  assert.deepEqual([await group(before, { policies: ['affinity'] }), await group(at, { policies: ['affinity'] })], [200, 400])
  const ruled = { policy: 'anti-affinity', rules: { max_server_per_host: 2 } }
  assert.deepEqual([await group(before, ruled), await group(at, ruled)], [400, 200])
})
microversion('2.70', 'an attached volume shows its tag', async (before, at) => {
  const made = await at('POST', `/servers/${id}/os-volume_attachments`, { body: { volumeAttachment: { volumeId, tag: 'data' } } })
  assert.equal(made.body.volumeAttachment.tag, 'data')
  await here.house.rested(id)
  const shown = async (ask: Ask) => (await ask('GET', `/servers/${id}/os-volume_attachments/${volumeId}`)).body.volumeAttachment.tag
  assert.deepEqual([await shown(before), await shown(at)], [undefined, 'data'])
})
microversion('2.75', 'a flavor without swap has 0 of it', async (before, at) => {
  const { id: one } = await flavor()
  const swap = async (ask: Ask) => (await ask('GET', `/flavors/${one}`)).body.flavor.swap
  assert.deepEqual([await swap(before), await swap(at)], ['', 0])
})
microversion('2.79', 'an attached volume may go with its server', async (before, at) => {
  const body = { volumeAttachment: { volumeId: '00000000-0000-4000-8000-000000000000', delete_on_termination: true } }
  assert.deepEqual(await both('POST', `/servers/${id}/os-volume_attachments`, before, at, body), [400, 404])
  const shown = async (ask: Ask) =>
    (await ask('GET', `/servers/${id}/os-volume_attachments/${volumeId}`)).body.volumeAttachment.delete_on_termination
  assert.deepEqual([await shown(before), await shown(at)], [undefined, false])
})
microversion('2.85', 'whether a volume goes with its server can be changed', async (before, at) => {
  const path = `/servers/${id}/os-volume_attachments/${volumeId}`
  const body = { volumeAttachment: { volumeId, delete_on_termination: true } }
  assert.deepEqual(await both('PUT', path, before, at, body), [400, 202])
  assert.equal((await at('GET', path)).body.volumeAttachment.delete_on_termination, true)
  for (const own of [{ device: '/dev/vdz' }, { tag: 'other' }])
    assert.equal((await at('PUT', path, { body: { volumeAttachment: { volumeId, ...own } } })).status, 400, JSON.stringify(own))
  assert.equal((await at('PUT', path, { body, as: 'stranger' })).status, 404)
})
microversion('2.86', 'extra specs that look like the cloud’s own are looked at', async (before, at) => {
  const { id: one } = await flavor()
  const path = `/flavors/${one}/os-extra_specs`
  for (const wrong of [
    { 'hw:cpu_polizy': 'dedicated' },
    { 'hw:cpu_policy': 'mine' },
    { 'quota:cpu_shares': 'many' },
    { 'trait:HW_X': 'maybe' },
  ])
    assert.deepEqual(await both('POST', path, before, at, { extra_specs: wrong }), [200, 400], JSON.stringify(wrong))
  for (const right of [
    { 'hw:cpu_policy': 'dedicated' },
    { 'quota:cpu_shares': '5' },
    { ssd: 'true' },
    { 'my:own': 'x' },
    { 'resources:VCPU': '2' },
  ])
    assert.equal((await at('POST', path, { body: { extra_specs: right } })).status, 200, JSON.stringify(right))
  assert.deepEqual(await both('PUT', `${path}/hw:numa_nodes`, before, at, { 'hw:numa_nodes': 'two' }), [200, 400])
})
microversion('2.89', 'an attachment shows its own ids', async (before, at) => {
  const shown = async (ask: Ask) => (await ask('GET', `/servers/${id}/os-volume_attachments/${volumeId}`)).body.volumeAttachment
  const [old, now] = [await shown(before), await shown(at)]
  assert.deepEqual([old.id, old.attachment_id, now.id], [volumeId, undefined, undefined])
  assert.ok(now.attachment_id && now.bdm_uuid)
})
microversion('2.92', 'key pairs are only imported, and their names may have dots and at signs', async (before, at) => {
  const directory = mkdtempSync(join(tmpdir(), 'yun-keys-'))
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, 'key')])
  const public_key = readFileSync(join(directory, 'key.pub'), 'utf8')
  rmSync(directory, { recursive: true })
  assert.deepEqual([(await pair(before)).status, (await pair(at)).status], [201, 400])
  const name = { name: 'ada@lab.example', public_key }
  assert.deepEqual([(await pair(before, name)).status, (await pair(at, name)).status], [400, 201])
})
