import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { House } from '../testing.ts'

let house: House
before(async () => {
  house = await House.open()
})
after(() => house.stop())
const admin = (method: string, path: string, body?: unknown, at = '2.1') => house.ask(method, path, { as: 'admin', body, at })

describe('flavors', () => {
  const make = (own: object) => admin('POST', '/flavors', { flavor: { name: 'f', ram: 512, vcpus: 1, disk: 1, ...own } })

  test('are made, shown, listed, described and deleted', async () => {
    const { flavor } = (await make({ name: 'medium', id: 'f-1', swap: '128' })).body
    assert.deepEqual([flavor.id, flavor.swap, flavor['os-flavor-access:is_public']], ['f-1', 128, true])
    assert.equal((await make({ name: 'medium' })).status, 409)
    assert.equal((await make({ name: 'other', id: 'f-1' })).status, 409)
    for (const wrong of [{ ram: 0 }, { ram: '0' }, { vcpus: -1 }, { disk: 'x' }, { id: 'a/b' }, { ram: 2 ** 40 }, { swap: '99999999999' }])
      assert.equal((await make({ name: 'wrong', ...wrong })).status, 400, JSON.stringify(wrong))
    assert.ok(!('description' in (await house.ask('GET', '/flavors/f-1')).body.flavor))
    assert.equal((await admin('PUT', '/flavors/f-1', { flavor: { description: 'd' } }, '2.55')).body.flavor.description, 'd')
    const { flavors } = (await house.ask('GET', '/flavors/detail?minRam=512&sort_key=name')).body
    assert.deepEqual(
      flavors.map((one: any) => one.name),
      ['medium'],
    )
    for (const query of ['limit=x', 'minDisk=-1', 'sort_key=toString', 'marker=none'])
      assert.equal((await house.ask('GET', `/flavors?${query}`)).status, 400, query)
    assert.equal((await admin('DELETE', '/flavors/f-1')).status, 202)
    assert.equal((await house.ask('GET', '/flavors/f-1')).status, 404)
  })

  test('have extra specs', async () => {
    await make({ name: 'spec', id: 'spec' })
    const path = '/flavors/spec/os-extra_specs'
    assert.equal((await admin('POST', path, { extra_specs: { 'hw:a': 'b', ssd: 'true' } })).status, 200)
    assert.deepEqual((await admin('PUT', `${path}/ssd`, { ssd: 'false' })).body, { ssd: 'false' })
    assert.equal((await admin('PUT', `${path}/ssd`, { hdd: 'false' })).status, 400)
    assert.equal((await admin('POST', path, { extra_specs: { 'a*b': 'x' } })).status, 400)
    assert.equal((await admin('DELETE', `${path}/hw:a`)).status, 200)
    assert.equal((await admin('DELETE', `${path}/hw:a`)).status, 404)
    assert.deepEqual((await house.ask('GET', path)).body, { extra_specs: { ssd: 'false' } })
    assert.deepEqual((await house.ask('GET', '/flavors/spec', { at: '2.61' })).body.flavor.extra_specs, { ssd: 'false' })
  })

  test('not public: seen and used by those with access', async () => {
    await make({ name: 'secret', id: 'secret', 'os-flavor-access:is_public': false })
    const access = (action: string) => admin('POST', '/flavors/secret/action', { [action]: { tenant: house.alpha } })
    assert.equal((await house.ask('GET', '/flavors/secret')).status, 404)
    assert.equal((await house.ask('POST', '/servers', { body: house.wish({ flavorRef: 'secret' }) })).status, 400)
    assert.deepEqual((await access('addTenantAccess')).body.flavor_access, [{ flavor_id: 'secret', tenant_id: house.alpha }])
    assert.equal((await access('addTenantAccess')).status, 409)
    assert.equal((await house.ask('GET', '/flavors/secret')).status, 200)
    assert.equal((await house.ask('GET', '/flavors/secret', { as: 'stranger' })).status, 404)
    assert.equal((await access('removeTenantAccess')).status, 200)
    assert.equal((await access('removeTenantAccess')).status, 404)
  })
})

describe('key pairs', () => {
  const make = (keypair: object, at = '2.2') => house.ask('POST', '/os-keypairs', { body: { keypair }, at })

  test('imported and made ones have the fingerprint and form that ssh-keygen knows', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'yun-keys-'))
    const fingerprint = (file: string) => /MD5:(\S+)/.exec(execFileSync('ssh-keygen', ['-E', 'md5', '-lf', file], { encoding: 'utf8' }))![1]
    for (const type of ['ed25519', 'ecdsa', 'rsa']) {
      const file = join(directory, type)
      execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-f', file])
      const { status, body } = await make({ name: type, public_key: readFileSync(`${file}.pub`, 'utf8') })
      assert.deepEqual([status, body.keypair.fingerprint], [201, fingerprint(`${file}.pub`)])
      assert.ok(!('private_key' in body.keypair))
    }
    const { keypair } = (await make({ name: 'made' })).body
    writeFileSync(join(directory, 'made'), keypair.private_key, { mode: 0o600 })
    const derived = execFileSync('ssh-keygen', ['-y', '-f', join(directory, 'made')], { encoding: 'utf8' })
    assert.equal(derived.split(' ')[1]!.trim(), keypair.public_key.split(' ')[1])
    rmSync(directory, { recursive: true })
  })

  test("are one's own, with names that do not collide", async () => {
    assert.equal((await make({ name: 'mine' })).status, 201)
    const twice = await make({ name: 'mine' })
    assert.deepEqual([twice.status, twice.message], [409, "Key pair 'mine' already exists."])
    assert.equal((await make({ name: 'old' }, '2.1')).status, 200)
    assert.equal((await make({ name: 'new' }, '2.92')).status, 400)
    for (const wrong of [{ name: 'a/b' }, { name: '' }, { name: 'x', public_key: 'ssh-rsa nonsense' }, { name: 'x', type: 'gpg' }])
      assert.equal((await make(wrong)).status, 400, JSON.stringify(wrong))
    assert.equal((await house.ask('GET', '/os-keypairs/mine', { as: 'stranger' })).status, 404)
    assert.equal((await house.ask('GET', '/os-keypairs?user_id=someone', { at: '2.10' })).status, 403)
    assert.equal((await house.ask('GET', '/os-keypairs?limit=1', { at: '2.35' })).body.keypairs.length, 1)
    assert.equal((await house.ask('GET', '/os-keypairs?limit=-1', { at: '2.35' })).status, 400)
    assert.equal((await house.ask('DELETE', '/os-keypairs/mine', { at: '2.2' })).status, 204)
    assert.equal((await house.ask('DELETE', '/os-keypairs/mine', { at: '2.2' })).status, 404)
  })
})

describe('hosts', () => {
  test('services are disabled with a reason, which a new server is told', async () => {
    const { services } = (await admin('GET', '/os-services?binary=nova-compute', undefined, '2.53')).body
    assert.deepEqual([services.length, services[0].status, services[0].state], [1, 'enabled', 'up'])
    const change = (body: object) => admin('PUT', `/os-services/${services[0].id}`, body, '2.53')
    for (const body of [{ disabled_reason: 'why' }, {}, { status: 'enabled', colour: 'red' }])
      assert.equal((await change(body)).status, 400, JSON.stringify(body))
    assert.equal((await change({ status: 'disabled', disabled_reason: 'new disks' })).body.service.disabled_reason, 'new disks')
    const one = await house.server()
    assert.equal(one.status, 'ERROR')
    assert.match(one.fault.message, /1 host, 1 disabled \(new disks\)/)
    await house.remove(one.id)
    await change({ status: 'enabled', forced_down: true })
    assert.equal((await admin('GET', '/os-hypervisors')).body.hypervisors[0].state, 'down')
    assert.equal((await change({ forced_down: false })).body.service.state, 'up')
    assert.equal((await admin('PUT', '/os-services/none', { status: 'enabled' }, '2.53')).status, 404)
    const there = await house.server()
    assert.equal((await admin('DELETE', `/os-services/${services[0].id}`, undefined, '2.53')).status, 409)
    const [hypervisor] = (await admin('GET', '/os-hypervisors/detail?with_servers=true', undefined, '2.53')).body.hypervisors
    assert.deepEqual(hypervisor.servers, [{ uuid: there.id, name: 'one' }])
    assert.equal((await admin('GET', '/os-hypervisors/statistics')).body.hypervisor_statistics.count, 1)
    assert.equal((await admin('GET', '/os-hypervisors/0')).status, 404)
    await house.remove(there.id)
  })

  test('aggregates make zones, in which servers are built', async () => {
    const { aggregate } = (await admin('POST', '/os-aggregates', { aggregate: { name: 'fast', availability_zone: 'east' } })).body
    const path = `/os-aggregates/${aggregate.id}`
    const [{ host }] = (await admin('GET', '/os-services?binary=nova-compute')).body.services
    const act = (body: object) => admin('POST', `${path}/action`, body)
    assert.equal((await act({ add_host: { host: 'nobody' } })).status, 404)
    assert.deepEqual((await act({ add_host: { host } })).body.aggregate.hosts, [host])
    assert.equal((await act({ add_host: { host } })).status, 409)
    assert.equal((await act({ set_metadata: { metadata: { ssd: 'true', gone: null } } })).body.aggregate.metadata.ssd, 'true')
    const { availabilityZoneInfo } = (await house.ask('GET', '/os-availability-zone')).body
    assert.deepEqual(availabilityZoneInfo, [{ zoneName: 'east', zoneState: { available: true }, hosts: null }])
    const one = await house.server({ availability_zone: 'east' })
    assert.deepEqual([one.status, one['OS-EXT-AZ:availability_zone']], ['ACTIVE', 'east'])
    await house.remove(one.id)
    assert.equal((await admin('DELETE', path)).status, 400)
    assert.deepEqual((await act({ remove_host: { host } })).body.aggregate.hosts, [])
    assert.equal((await act({ remove_host: { host } })).status, 404)
    assert.equal((await admin('PUT', path, { aggregate: {} })).status, 400)
    assert.equal((await admin('DELETE', path)).status, 200)
    assert.equal((await admin('GET', path)).status, 404)
  })
})

test('versions are shown to whoever asks', async () => {
  const { version } = (await house.ask('GET', '', { as: null })).body
  assert.deepEqual([version.id, version.min_version, version.version], ['v2.1', '2.1', '2.93'])
  assert.equal((await house.ask('GET', '/extensions/os-keypairs')).body.extension.name, 'Keypairs')
  assert.equal((await house.ask('GET', '/extensions/none')).status, 404)
})

test('an x509 key pair is a certificate that names its user, with its key', async () => {
  const { status, body } = await house.ask('POST', '/os-keypairs', { body: { keypair: { name: 'x', type: 'x509' } }, at: '2.2' })
  assert.equal(status, 201)
  const certificate = new X509Certificate(body.keypair.public_key)
  assert.ok(certificate.checkPrivateKey(createPrivateKey(body.keypair.private_key)))
  assert.equal(body.keypair.fingerprint.toUpperCase(), certificate.fingerprint)
  assert.equal(certificate.subject, `CN=${body.keypair.user_id}`)
  assert.equal((await house.ask('DELETE', '/os-keypairs/x')).status, 202)
})
