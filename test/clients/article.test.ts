import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { SCHEDULER_DEFAULTS } from '../../src/compute/app/scheduler/settings.ts'
import { CloudUnderTest, eventually, rows } from '../cloud-under-test.ts'

/** The commands of the article, in its order, as it writes them (ids aside), with the clients of Debian 12. */

let cloud: CloudUnderTest
let project: string
let place: string

before(async () => {
  place = mkdtempSync(join(tmpdir(), 'yun-article-'))
  const config = join(place, 'yun.yaml')
  const enabledFilters = [...SCHEDULER_DEFAULTS.enabledFilters, 'AggregateInstanceExtraSpecsFilter', 'JsonFilter']
  writeFileSync(config, JSON.stringify({ scheduler: { enabledFilters } }))
  cloud = await CloudUnderTest.start(['--config', config, '--hypervisor', 'simulated', '--simulated-hosts', '3'])
  project = (await cloud.client('openstack', 'project', 'show', 'openstack', '-f', 'value', '-c', 'id')).trim()
})
after(async () => {
  await cloud.stop()
  rmSync(place, { recursive: true })
})

test("nova quota-show prints the article's numbers", async () => {
  // today's client asks for 2.1 to see the rows that later microversions hide
  const quota = rows(await cloud.client('nova', '--os-compute-api-version', '2.1', 'quota-show'))
  const article = {
    instances: 10,
    cores: 20,
    ram: 51200,
    floating_ips: 10,
    fixed_ips: -1,
    metadata_items: 128,
    injected_files: 5,
    injected_file_content_bytes: 10240,
    injected_file_path_bytes: 255,
    key_pairs: 100,
    security_groups: 10,
    security_group_rules: 20,
  }
  for (const [name, limit] of Object.entries(article)) assert.deepEqual([name, quota.get(name)?.[0]], [name, String(limit)])
})

test('nova quota-class-show, quota-defaults, quota-update, quota-delete', async () => {
  assert.equal(rows(await cloud.client('nova', 'quota-class-show', 'default')).get('instances')?.[0], '10')
  assert.equal(rows(await cloud.client('nova', 'quota-defaults')).get('cores')?.[0], '20')
  await cloud.client('nova', 'quota-update', '--instances', '12', project)
  assert.equal(rows(await cloud.client('nova', 'quota-show', '--tenant', project)).get('instances')?.[0], '12')
  await cloud.client('nova', 'quota-delete', '--tenant', project)
  assert.equal(rows(await cloud.client('nova', 'quota-show', '--tenant', project)).get('instances')?.[0], '10')
  await cloud.client('nova', 'quota-class-update', '--instances', '11', 'default')
  assert.equal(rows(await cloud.client('nova', 'quota-class-show', 'default')).get('instances')?.[0], '11')
  await cloud.client('nova', 'quota-class-update', '--instances', '10', 'default')
})

test("cinder quota-show prints the article's numbers; its further sub-commands work", async () => {
  const quota = rows(await cloud.client('cinder', 'quota-show', project))
  assert.deepEqual(
    ['gigabytes', 'snapshots', 'volumes'].map((name) => quota.get(name)?.[0]),
    ['1000', '10', '10'],
  )
  assert.equal(rows(await cloud.client('cinder', 'quota-defaults', project)).get('volumes')?.[0], '10')
  assert.equal(rows(await cloud.client('cinder', 'quota-usage', project)).get('volumes')?.[0], '0')
  await cloud.client('cinder', 'quota-update', '--volumes', '9', project)
  assert.equal(rows(await cloud.client('cinder', 'quota-show', project)).get('volumes')?.[0], '9')
  assert.equal(rows(await cloud.client('cinder', 'quota-class-show', 'default')).get('gigabytes')?.[0], '1000')
})

test("neutron quota-show prints the article's numbers; its further sub-commands work", async () => {
  const quota = rows(await cloud.client('neutron', 'quota-show', project))
  const article = { floatingip: 50, network: 10, port: 50, router: 10, security_group: 10, security_group_rule: 100, subnet: 10 }
  for (const [name, limit] of Object.entries(article)) assert.deepEqual([name, quota.get(name)?.[0]], [name, String(limit)])
  await cloud.client('neutron', 'quota-update', '--network', '11', '--tenant-id', project)
  assert.match(await cloud.client('neutron', 'quota-list'), /11/)
  await cloud.client('neutron', 'quota-delete', '--tenant-id', project)
})

test('the ssd aggregate, command by command; a boot lands only on its hosts', async () => {
  await cloud.client('nova', 'aggregate-create', 'fast-io', 'nova')
  assert.match(await cloud.client('nova', 'aggregate-set-metadata', '1', 'ssd=true'), /ssd/)
  await cloud.client('nova', 'aggregate-add-host', '1', 'node1')
  assert.match(await cloud.client('nova', 'aggregate-add-host', '1', 'node2'), /node1.*node2/)
  await cloud.client('nova', 'flavor-create', 'ssd.large', '6', '8192', '80', '4')
  await cloud.client('nova', 'flavor-key', 'ssd.large', 'set', 'ssd=true')
  const shown = rows(await cloud.client('nova', 'flavor-show', 'ssd.large'))
  assert.match(shown.get('extra_specs')![0]!, /"?ssd"?: "?true/)
  assert.deepEqual(
    ['disk', 'id', 'name', 'ram', 'vcpus', 'os-flavor-access:is_public'].map((name) => shown.get(name)?.[0]),
    ['80', '6', 'ssd.large', '8192', '4', 'True'],
  )
})

test('the seven commands of the network script', async () => {
  const id = (out: string) => rows(out).get('id')![0]!
  const network = id(
    await cloud.client(
      'neutron',
      'net-create',
      '--tenant_id',
      project,
      'openstack-net',
      '--provider:network_type',
      'gre',
      '--provider:segmentation_id',
      '1',
    ),
  )
  const subnet = id(
    await cloud.client(
      'neutron',
      'subnet-create',
      '--tenant_id',
      project,
      '--ip_version',
      '4',
      '--name',
      'openstack-net-subnet',
      network,
      '192.168.0.0/24',
      '--gateway',
      '192.168.0.1',
      '--dns_nameservers',
      'list=true',
      '8.8.8.8',
    ),
  )
  const router = id(await cloud.client('neutron', 'router-create', '--tenant_id', project, 'openstack-router'))
  await cloud.client('neutron', 'router-interface-add', router, subnet)
  await cloud.client('neutron', 'net-create', 'public', '--router:external=True')
  await cloud.client(
    'neutron',
    'subnet-create',
    '--ip_version',
    '4',
    '--gateway',
    '172.24.1.1',
    'public',
    '172.24.1.0/24',
    '--allocation-pool',
    'start=172.24.1.100,end=172.24.1.200',
    '--disable-dhcp',
    '--name',
    'public-subnet',
  )
  await cloud.client('neutron', 'router-gateway-set', 'openstack-router', 'public')
  assert.match(
    rows(await cloud.client('neutron', 'router-show', 'openstack-router')).get('external_gateway_info')![0]!,
    /172\.24\.1\.1\d\d/,
  )
  assert.equal(rows(await cloud.client('neutron', 'net-show', network)).get('provider:network_type')![0], 'gre')
})

test('boots: the ssd flavor, the JSON hint, the named host', async () => {
  const image = await cloud.json(
    'openstack',
    'image',
    'create',
    'tiny',
    '--disk-format',
    'raw',
    '--container-format',
    'bare',
    '--public',
    '--file',
    '/etc/hostname',
  )
  await cloud.client('nova', 'flavor-create', 'm1.tiny', '1', '512', '1', '1')
  await cloud.client('openstack', 'network', 'create', 'private')
  const subnet = await cloud.json(
    'openstack',
    'subnet',
    'create',
    'private-subnet',
    '--network',
    'private',
    '--subnet-range',
    '10.1.0.0/24',
  )
  const nic = ['--nic', `net-id=${subnet.network_id}`]
  const settled = (name: string) =>
    eventually(`${name} settles`, 30_000, async () => {
      const server = await cloud.json('openstack', 'server', 'show', name)
      return server.status === 'BUILD' ? null : server
    })

  await cloud.client('nova', 'boot', '--image', image.id, '--flavor', 'ssd.large', ...nic, 'fast')
  const fast = await settled('fast')
  assert.equal(fast.status, 'ACTIVE', JSON.stringify(fast.fault))
  assert.ok(['node1', 'node2'].includes(fast['OS-EXT-SRV-ATTR:host']), fast['OS-EXT-SRV-ATTR:host'])

  await cloud.client('nova', 'boot', '--image', image.id, '--flavor', '1', ...nic, '--hint', 'query=[">=","$free_ram_mb",1024]', 'server1')
  assert.equal((await settled('server1')).status, 'ACTIVE')
  await cloud.client(
    'nova',
    'boot',
    '--image',
    image.id,
    '--flavor',
    '1',
    ...nic,
    '--hint',
    'query=[">=","$free_ram_mb",99999999]',
    'server2',
  )
  const refused = await settled('server2')
  assert.equal(refused.status, 'ERROR')
  assert.match(JSON.stringify(refused.fault), /No valid host was found.*JsonFilter/)

  await cloud.client('nova', 'boot', '--image', image.id, '--flavor', '1', ...nic, '--availability-zone', 'nova:node3', 'there')
  assert.equal((await settled('there'))['OS-EXT-SRV-ATTR:host'], 'node3')
})
