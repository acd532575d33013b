import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, test } from 'node:test'
import { House } from '../testing.ts'
import { answerGuest } from './metadata-api.ts'

const SECRET = 'shared by proxy and service'
let house: House
let one: any
before(async () => {
  house = await House.open()
  const { keypair } = (await house.ask('POST', '/os-keypairs', { body: { keypair: { name: 'mykey' } } })).body
  assert.ok(keypair.private_key)
  const user_data = Buffer.from('#!/bin/sh\nexit 0\n').toString('base64')
  const personality = [{ path: '/etc/motd', contents: Buffer.from('hello').toString('base64') }]
  one = await house.server({ key_name: 'mykey', user_data, personality, metadata: { role: 'web' } }, { at: '2.1' })
})
after(() => house.stop())

const sign = (id: string) => createHmac('sha256', SECRET).update(id).digest('hex')
async function get(path: string, headers: Record<string, string> = {}, method = 'GET', sent = '') {
  const own = { 'x-instance-id': one.id, 'x-tenant-id': house.alpha, 'x-instance-id-signature': sign(one.id), ...headers }
  const { status, body } = await answerGuest(house.yard.context, SECRET, { method, path, headers: own, body: Buffer.from(sent) })
  return { status, text: Buffer.from(body as string).toString() }
}
const text = async (path: string) => {
  const answer = await get(path)
  assert.equal(answer.status, 200, path)
  return answer.text
}

test('who asks is vouched for: else 403, and 404 for another project or a server that is gone', async () => {
  assert.equal((await get('/', { 'x-instance-id-signature': sign('other') })).status, 403)
  assert.equal((await get('/', { 'x-instance-id-signature': 'short' })).status, 403)
  assert.equal((await get('/', { 'x-instance-id-signature': '' })).status, 403)
  assert.equal((await get('/', { 'x-instance-id-signature': '\u00e9'.repeat(64) })).status, 403, 'as many characters, more bytes')
  assert.equal((await get('/', { 'x-instance-id-signature': `${sign(one.id)}0` })).status, 403)
  assert.equal((await get('/', { 'x-instance-id': '' })).status, 403)
  assert.equal((await get('/', { 'x-tenant-id': house.beta })).status, 404)
  assert.equal((await get('/', { 'x-instance-id': 'gone', 'x-instance-id-signature': sign('gone') })).status, 404)
  assert.equal((await get('/', {}, 'POST')).status, 405)
})

test("OpenStack's tree", async () => {
  assert.match(await text('/'), /^1\.0\n.*latest\nopenstack$/s)
  assert.match(await text('/openstack'), /^2012-08-10\n.*\nlatest$/s)
  assert.equal(
    await text('/openstack/latest/'),
    'meta_data.json\nnetwork_data.json\npassword\nuser_data\nvendor_data.json\nvendor_data2.json',
  )
  const metadata = JSON.parse(await text('/openstack/latest/meta_data.json'))
  assert.deepEqual([metadata.uuid, metadata.name, metadata.meta], [one.id, 'one', { role: 'web' }])
  assert.match(metadata.public_keys.mykey, /^ecdsa-sha2-nistp256 /)
  assert.equal(Buffer.from(metadata.random_seed, 'base64').length, 512)
  assert.deepEqual(metadata.files, [{ content_path: '/content/0000', path: '/etc/motd' }])
  assert.equal(await text('/openstack/content/0000'), 'hello')
  const network = JSON.parse(await text('/openstack/latest/network_data.json'))
  assert.deepEqual([network.links.length, network.networks[0].type, network.networks[0].id], [1, 'ipv4_dhcp', 'network0'])
  assert.equal(await text('/openstack/latest/user_data'), '#!/bin/sh\nexit 0\n')
  assert.equal((await get('/openstack/latest/nothing')).status, 404)
  for (const odd of ['/%', '/%ff', '/..', '/openstack/../../etc/passwd', '//']) assert.ok((await get(odd)).status < 500, odd)
})

test('a guest posts its password once, for its user to fetch and to forget', async () => {
  const path = '/openstack/2013-10-17/password'
  const shown = async () => (await house.ask('GET', `/servers/${one.id}/os-server-password`)).body
  assert.deepEqual([await text(path), await shown()], ['', { password: '' }])
  assert.equal((await get('/openstack/2012-08-10/password', {}, 'POST', 'early')).status, 405)
  assert.equal((await get(path, {}, 'POST', 'x'.repeat(1025))).status, 400)
  assert.equal((await get(path, {}, 'POST', 'c2VjcmV0')).status, 200)
  assert.equal((await get(path, {}, 'POST', 'another')).status, 409)
  assert.deepEqual([await text(path), await shown()], ['c2VjcmV0', { password: 'c2VjcmV0' }])
  assert.equal((await house.ask('DELETE', `/servers/${one.id}/os-server-password`)).status, 204)
  assert.deepEqual(await shown(), { password: '' })
})

test("Amazon's tree", async () => {
  assert.equal(await text('/latest'), 'meta-data/\nuser-data')
  const listing = (await text('/latest/meta-data/')).split('\n')
  for (const name of ['ami-id', 'block-device-mapping/', 'instance-id', 'local-ipv4', 'placement/', 'public-keys/'])
    assert.ok(listing.includes(name), name)
  assert.match(await text('/2009-04-04/meta-data/instance-id'), /^i-[0-9a-f]{8}$/)
  assert.match(await text('/latest/meta-data/local-ipv4'), /^10\.7\./)
  assert.equal(await text('/latest/meta-data/placement/availability-zone'), 'nova')
  assert.equal(await text('/latest/meta-data/public-keys/'), '0=mykey')
  assert.equal(await text('/latest/meta-data/public-keys/0/'), 'openssh-key')
  assert.match(await text('/latest/meta-data/public-keys/0/openssh-key'), /^ecdsa/)
  assert.equal(await text('/latest/user-data'), '#!/bin/sh\nexit 0\n')
})
