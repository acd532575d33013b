import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CloudUnderTest, eventually } from '../cloud-under-test.ts'

/** A day's work with python-openstackclient against a simulated cloud: what a user of any OpenStack types first. */

let cloud: CloudUnderTest
const os = (...args: string[]) => cloud.json('openstack', ...args)
const plain = (...args: string[]) => cloud.client('openstack', ...args)

before(async () => {
  cloud = await CloudUnderTest.start()
})
after(() => cloud.stop())

test('token, catalog, users and projects', async () => {
  const token = await os('token', 'issue')
  assert.match(token.id, /^gAAAAA/)
  const catalog = await os('catalog', 'list')
  for (const type of ['identity', 'compute', 'placement', 'image', 'network', 'volumev3'])
    assert.ok(
      catalog.some((one: any) => one.Type === type),
      type,
    )
  const project = await os('project', 'create', 'lab')
  await os('user', 'create', 'ada', '--project', 'lab', '--password', 'correct horse')
  await plain('role', 'add', '--project', 'lab', '--user', 'ada', 'member')
  const assignments = await os('role', 'assignment', 'list', '--user', 'ada', '--names')
  assert.deepEqual(
    assignments.map((one: any) => one.Role),
    ['member'],
  )
  const ada = await cloud.client(
    'openstack',
    '--os-username',
    'ada',
    '--os-password',
    'correct horse',
    '--os-project-name',
    'lab',
    'server',
    'list',
    '-f',
    'json',
  )
  assert.deepEqual(JSON.parse(ada), [])
  await plain('user', 'delete', 'ada')
  await plain('project', 'delete', project.id)
})

test('what is immutable is neither deleted nor changed, until it is so no more', async () => {
  for (const noun of ['project', 'domain', 'role']) {
    const { options } = await os(noun, 'create', `stone-${noun}`, '--immutable')
    assert.deepEqual(options, { immutable: true }, noun)
    await assert.rejects(plain(noun, 'delete', `stone-${noun}`), noun)
    await assert.rejects(plain(noun, 'set', `stone-${noun}`, '--name', 'sand'), /is immutable/)
    await plain(noun, 'set', `stone-${noun}`, '--no-immutable')
    await plain(noun, 'set', `stone-${noun}`, '--name', `sand-${noun}`, ...(noun === 'domain' ? ['--disable'] : []))
    await plain(noun, 'delete', `sand-${noun}`)
  }
})

test('image, flavor, key pair', async () => {
  const file = join(cloud.stateDir, 'image.raw')
  writeFileSync(file, Buffer.alloc(65_536, 7))
  const image = await os(
    'image',
    'create',
    'tiny',
    '--disk-format',
    'raw',
    '--container-format',
    'bare',
    '--file',
    file,
    '--property',
    'os_distro=tiny',
  )
  assert.equal((await os('image', 'show', image.id)).status, 'active')
  const saved = join(cloud.stateDir, 'saved.raw')
  await plain('image', 'save', '--file', saved, 'tiny')
  await os('flavor', 'create', 'm1.tiny', '--ram', '128', '--disk', '1', '--vcpus', '1', '--property', 'hw_rng:allowed=true')
  assert.match(JSON.stringify(await os('flavor', 'show', 'm1.tiny')), /hw_rng:allowed/)
  const pair = await plain('keypair', 'create', 'mine')
  assert.match(pair, /PRIVATE KEY/)
})

test('network, router, security group, floating IP', async () => {
  await os('network', 'create', 'private')
  await os('subnet', 'create', 'private-subnet', '--network', 'private', '--subnet-range', '10.7.0.0/24', '--dns-nameserver', '8.8.8.8')
  await os('network', 'create', 'public', '--external', '--provider-network-type', 'flat', '--provider-physical-network', 'public')
  await os(
    'subnet',
    'create',
    'public-subnet',
    '--network',
    'public',
    '--subnet-range',
    '172.24.9.0/24',
    '--no-dhcp',
    '--allocation-pool',
    'start=172.24.9.10,end=172.24.9.99',
  )
  await os('router', 'create', 'gate')
  await plain('router', 'set', 'gate', '--external-gateway', 'public')
  await plain('router', 'add', 'subnet', 'gate', 'private-subnet')
  await os('security', 'group', 'create', 'web')
  await os('security', 'group', 'rule', 'create', 'web', '--protocol', 'tcp', '--dst-port', '80')
  assert.equal((await os('security', 'group', 'rule', 'list', 'web')).length, 3)
})

test('a server from boot to deletion', async () => {
  const state = async (wanted: string) =>
    eventually(`the server is ${wanted}`, 30_000, async () => {
      const server = await os('server', 'show', 'one')
      assert.ok(server.status !== 'ERROR' || wanted === 'ERROR', JSON.stringify(server.fault))
      return server.status === wanted ? server : null
    })
  await os(
    'server',
    'create',
    'one',
    '--image',
    'tiny',
    '--flavor',
    'm1.tiny',
    '--network',
    'private',
    '--key-name',
    'mine',
    '--security-group',
    'web',
    '--property',
    'colour=green',
  )
  const server = await state('ACTIVE')
  assert.match(JSON.stringify(server.addresses), /10\.7\.0\./)
  const events = await os('server', 'event', 'list', 'one')
  assert.equal(events[0].Action, 'create')
  const floating = await os('floating', 'ip', 'create', 'public')
  await plain('server', 'add', 'floating', 'ip', 'one', floating.floating_ip_address)
  assert.match(JSON.stringify((await os('server', 'show', 'one')).addresses), /172\.24\.9\./)

  const volume = await os('volume', 'create', 'data', '--size', '1')
  await eventually('the volume is there', 30_000, async () => (await os('volume', 'show', volume.id)).status === 'available')
  await plain('server', 'add', 'volume', 'one', 'data')
  await eventually('the volume is attached', 30_000, async () => (await os('volume', 'show', volume.id)).status === 'in-use')
  await plain('server', 'remove', 'volume', 'one', 'data')
  await eventually('the volume is detached', 30_000, async () => (await os('volume', 'show', volume.id)).status === 'available')

  await plain('server', 'stop', 'one')
  await state('SHUTOFF')
  await plain('server', 'start', 'one')
  await state('ACTIVE')
  await plain('server', 'pause', 'one')
  await state('PAUSED')
  await plain('server', 'unpause', 'one')
  await state('ACTIVE')
  await plain('server', 'suspend', 'one')
  await state('SUSPENDED')
  await plain('server', 'resume', 'one')
  await state('ACTIVE')
  await plain('server', 'reboot', '--hard', 'one')
  await state('ACTIVE')
  await os('server', 'image', 'create', 'one', '--name', 'picture')
  await eventually('the picture is taken', 30_000, async () => (await os('image', 'show', 'picture')).status === 'active')
  await os('flavor', 'create', 'm1.small', '--ram', '256', '--disk', '1', '--vcpus', '1')
  await plain('server', 'resize', 'one', '--flavor', 'm1.small')
  await state('VERIFY_RESIZE')
  await plain('server', 'resize', 'confirm', 'one')
  await state('ACTIVE')
  await plain('server', 'rescue', 'one')
  await state('RESCUE')
  await plain('server', 'unrescue', 'one')
  await state('ACTIVE')
  await plain('server', 'delete', '--wait', 'one')
  assert.deepEqual(await os('server', 'list'), [])
  await plain('volume', 'delete', 'data')
})

test('aggregates, hypervisors, quotas, usage, services, server groups', async () => {
  await os('aggregate', 'create', 'fast', '--zone', 'az1', '--property', 'ssd=true')
  const [hypervisor] = await os('hypervisor', 'list')
  await os('aggregate', 'add', 'host', 'fast', hypervisor['Hypervisor Hostname'])
  assert.ok((await os('availability', 'zone', 'list', '--compute')).some((one: any) => one['Zone Name'] === 'az1'))
  await plain('aggregate', 'remove', 'host', 'fast', hypervisor['Hypervisor Hostname'])
  await plain('aggregate', 'delete', 'fast')
  assert.equal((await os('quota', 'show')).cores, 20)
  await plain('quota', 'set', 'demo', '--instances', '20')
  await plain('usage', 'show')
  const binaries = (await os('compute', 'service', 'list')).map((one: any) => one.Binary)
  for (const binary of ['nova-conductor', 'nova-scheduler', 'nova-compute']) assert.ok(binaries.includes(binary), binary)
  assert.ok((await os('network', 'agent', 'list')).length > 0)
  assert.ok((await os('volume', 'service', 'list')).length > 0)
  const group = await os('server', 'group', 'create', 'apart', '--policy', 'anti-affinity')
  await plain('server', 'group', 'delete', group.id)
  assert.deepEqual(JSON.parse((await cloud.yun('doctor', 'leaks', '--json')).stdout).leaks, [])
})
