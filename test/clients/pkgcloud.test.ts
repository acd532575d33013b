import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CloudUnderTest } from '../cloud-under-test.ts'

/** A day's work with npm's pkgcloud, as its documentation of OpenStack has it: calls with callbacks, models with the values that came. */

const pkgcloud = createRequire(join(import.meta.dirname, 'pkgcloud/package.json'))('pkgcloud')

/** `client` with promises in place of its callbacks. */
const promising = (client: any): any =>
  new Proxy(client, {
    get:
      (of, name) =>
      (...args: unknown[]) =>
        new Promise((resolve, reject) =>
          of[name](...args, (error: { statusCode?: number; message: string } | null, ...answer: unknown[]) =>
            error ? reject(error) : resolve(answer[0]),
          ),
        ),
  })

async function until<T>(ask: () => Promise<T>, fits: (now: T) => boolean): Promise<T> {
  for (const end = Date.now() + 60_000; ; ) {
    const now = await ask()
    if (fits(now)) return now
    assert.ok(Date.now() < end, `not so within a minute: ${JSON.stringify(now)}`)
  }
}

describe('pkgcloud', () => {
  let cloud: CloudUnderTest
  let compute: any
  let network: any
  let storage: any
  before(async () => {
    cloud = await CloudUnderTest.start()
    const options = {
      provider: 'openstack',
      username: cloud.env.OS_USERNAME,
      password: cloud.env.OS_PASSWORD,
      // it adds the version to the address that clients have with it
      authUrl: cloud.env.OS_AUTH_URL!.replace(/\/v3\/?$/, ''),
      keystoneAuthVersion: 'v3',
      domainName: cloud.env.OS_USER_DOMAIN_NAME,
      tenantName: cloud.env.OS_PROJECT_NAME,
      region: cloud.env.OS_REGION_NAME,
    }
    compute = promising(pkgcloud.compute.createClient(options))
    network = promising(pkgcloud.network.createClient(options))
    storage = promising(pkgcloud.blockstorage.createClient(options))
    const image = join(cloud.stateDir, 'image.raw')
    writeFileSync(image, Buffer.alloc(65_536, 7))
    await cloud.client('openstack', 'image', 'create', 'tiny', '--disk-format', 'raw', '--container-format', 'bare', '--file', image)
    // it looks for block storage under the type that its first version had, which no cloud of today lists by itself
    await cloud.client('openstack', 'service', 'create', '--name', 'cinder', 'volume')
    const address = `${cloud.env.OS_AUTH_URL!.replace(/identity.*/, '')}volume/v3/%(project_id)s`
    await cloud.client('openstack', 'endpoint', 'create', '--region', cloud.env.OS_REGION_NAME!, 'volume', 'public', address)
    await cloud.client('openstack', 'flavor', 'create', 'm1.tiny', '--ram', '128', '--disk', '1', '--vcpus', '1')
    await cloud.client('openstack', 'flavor', 'create', 'm1.small', '--ram', '256', '--disk', '1', '--vcpus', '1')
  })
  after(() => cloud.stop())

  test('a wrong password is refused as such', async () => {
    const stranger = promising(
      pkgcloud.compute.createClient({
        provider: 'openstack',
        username: 'admin',
        password: 'wrong',
        authUrl: cloud.env.OS_AUTH_URL!.replace(/\/v3\/?$/, ''),
        keystoneAuthVersion: 'v3',
        domainName: 'Default',
        region: cloud.env.OS_REGION_NAME,
      }),
    )
    await assert.rejects(stranger.getServers({}), { statusCode: 401 })
  })

  test('networks, subnets, ports and security groups', async () => {
    const inside = await network.createNetwork({ name: 'inside', adminStateUp: true })
    assert.deepEqual([inside.name, inside.status, inside.adminStateUp], ['inside', 'ACTIVE', true])
    const subnet = await network.createSubnet({ networkId: inside.id, name: 'inside-subnet', cidr: '10.7.0.0/24', ip_version: 4 })
    assert.deepEqual([subnet.cidr, subnet.gatewayIp, subnet.networkId], ['10.7.0.0/24', '10.7.0.1', inside.id])
    const port = await network.createPort({ networkId: inside.id, name: 'door' })
    assert.match(port.macAddress, /^fa:16:3e:/)
    assert.equal((await network.getPort(port.id)).fixedIps[0].subnet_id, subnet.id)
    await network.destroyPort(port.id)
    await assert.rejects(network.getPort(port.id), { statusCode: 404 })
    const group = await network.createSecurityGroup({ name: 'web', description: 'for the web' })
    const rule = await network.createSecurityGroupRule({
      securityGroupId: group.id,
      direction: 'ingress',
      ethertype: 'IPv4',
      protocol: 'tcp',
      portRangeMin: 80,
      portRangeMax: 80,
    })
    assert.deepEqual([rule.protocol, rule.portRangeMin], ['tcp', 80])
    await network.destroySecurityGroupRule(rule.id)
    await network.destroySecurityGroup(group.id)
    assert.ok(!(await network.getSecurityGroups()).some(({ id }: { id: string }) => id === group.id))
  })

  test('a server from its keypair to its end', async () => {
    const flavor = (await compute.getFlavors()).find(({ name }: { name: string }) => name === 'm1.tiny')
    assert.deepEqual([flavor.ram, flavor.disk, flavor.vcpus], [128, 1, 1])
    const image = (await compute.getImages()).find(({ name }: { name: string }) => name === 'tiny')
    assert.equal(image.status, 'ACTIVE')
    const key = await compute.addKey({ name: 'day' })
    assert.match(JSON.stringify(key), /BEGIN [A-Z ]*PRIVATE KEY/)
    assert.ok((await compute.listKeys()).some((one: any) => (one.keypair ?? one).name === 'day'))
    const [inside] = (await network.getNetworks({})).filter(({ name }: { name: string }) => name === 'inside')
    const made = await compute.createServer({ name: 'one', flavor, image, keyname: 'day', networks: [{ uuid: inside.id }] })
    const show = () => compute.getServer(made.id)
    const running = await until(show, ({ status }: any) => status === 'RUNNING')
    assert.equal(running.name, 'one')
    assert.match(JSON.stringify(running.addresses), /"10\.7\.0\.\d+"/)
    assert.ok((await compute.getServers({})).some(({ id }: { id: string }) => id === made.id))
    await compute.rebootServer(made.id, { type: 'HARD' })
    await until(show, ({ status }: any) => status === 'RUNNING')
    await compute.stopServer(made.id)
    await until(show, ({ original }: any) => original.status === 'SHUTOFF')
    await compute.startServer(made.id)
    await until(show, ({ status }: any) => status === 'RUNNING')
    const small = (await compute.getFlavors()).find(({ name }: { name: string }) => name === 'm1.small')
    await compute.resizeServer(made.id, small.id)
    await until(show, ({ original }: any) => original.status === 'VERIFY_RESIZE')
    await compute.confirmServerResize(made.id)
    await until(show, ({ original }: any) => original.status === 'ACTIVE')

    const volume = await storage.createVolume({ name: 'data', description: 'of one', size: 1 })
    await until(
      () => storage.getVolume(volume.id),
      ({ status }: any) => status === 'available',
    )
    await compute.attachVolume(made.id, volume.id)
    await until(
      () => storage.getVolume(volume.id),
      ({ status }: any) => status === 'in-use',
    )
    const [attachment] = await compute.getVolumeAttachments(made.id)
    assert.equal(attachment.volumeId, volume.id)
    await compute.detachVolume(made.id, attachment.id)
    await until(
      () => storage.getVolume(volume.id),
      ({ status }: any) => status === 'available',
    )

    await compute.destroyServer(made.id)
    await until(
      () => compute.getServers({}),
      (all: any[]) => !all.some(({ id }) => id === made.id),
    )
    await storage.deleteVolume(volume.id)
    await compute.destroyKey('day')
  })

  test('volumes, their types and snapshots', async () => {
    assert.ok((await storage.getVolumeTypes()).length > 0)
    const volume = await storage.createVolume({ name: 'kept', description: '', size: 1 })
    await until(
      () => storage.getVolume(volume.id),
      ({ status }: any) => status === 'available',
    )
    const snapshot = await storage.createSnapshot({ name: 'then', description: '', volumeId: volume.id })
    await until(
      () => storage.getSnapshot(snapshot.id),
      ({ status }: any) => status === 'available',
    )
    await storage.deleteSnapshot(snapshot.id)
    await until(
      () => storage.getSnapshots({}),
      (all: any[]) => all.length === 0,
    )
    await storage.deleteVolume(volume.id)
    await until(
      () => storage.getVolumes({}),
      (all: any[]) => !all.some(({ id }) => id === volume.id),
    )
  })
})
