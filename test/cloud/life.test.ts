import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CloudUnderTest, eventually } from '../cloud-under-test.ts'
import { becomes, Guest } from './guest.ts'

/** Everything that a user does to a server, on a real guest; what it means is asked of the guest itself. */

let cloud: CloudUnderTest
let guest: Guest
const os = (...args: string[]) => cloud.json('openstack', ...args)
const plain = (...args: string[]) => cloud.client('openstack', ...args)
const server = (status: string) => becomes(cloud, 'hello', status)
const uptime = async () => Number((await guest.sh('cat /proc/uptime')).split('.')[0])

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  cloud = await CloudUnderTest.start(['--hypervisor', 'libvirt'], { demo: true })
  guest = new Guest(cloud, /cirros@(\S+)/.exec(cloud.said)![1]!)
  await guest.sh('echo mine > kept; sync')
})
after(() => cloud?.stop())

test('pause and unpause: the clock of the guest stands still', async () => {
  await plain('server', 'pause', 'hello')
  await server('PAUSED')
  await plain('server', 'unpause', 'hello')
  await server('ACTIVE')
  assert.equal(await guest.answers(), 'hello')
})

test('suspend and resume: the guest goes on where it was', async () => {
  await guest.sh('echo in memory > /tmp/memory')
  await plain('server', 'suspend', 'hello')
  await server('SUSPENDED')
  await plain('server', 'resume', 'hello')
  await server('ACTIVE')
  await guest.answers()
  assert.equal(await guest.sh('cat /tmp/memory'), 'in memory')
})

test('soft and hard reboot: the guest begins anew with its disk', async () => {
  for (const kind of ['--soft', '--hard']) {
    const before = await uptime()
    await plain('server', 'reboot', kind, 'hello')
    await server('ACTIVE')
    await guest.answers()
    assert.ok((await uptime()) < before + 5, kind)
    assert.equal(await guest.sh('cat kept'), 'mine')
  }
})

test('a picture of the running guest boots as another server, with its files', async () => {
  await plain('server', 'image', 'create', 'hello', '--name', 'picture')
  await eventually('the picture is taken', 120_000, async () => (await os('image', 'show', 'picture')).status === 'active')
  await os('server', 'create', 'copy', '--image', 'picture', '--flavor', 'tiny', '--network', 'private', '--key-name', 'demo')
  await becomes(cloud, 'copy', 'ACTIVE')
  const floating = (await os('floating', 'ip', 'create', 'public')).floating_ip_address
  await plain('server', 'add', 'floating', 'ip', 'copy', floating)
  const copy = new Guest(cloud, floating)
  // its own name comes with its own instance data, some moments after it answers under the old one
  await eventually('it has its own name', 120_000, async () => (await copy.answers()) === 'copy')
  assert.equal(await copy.sh('cat kept'), 'mine')
  await plain('server', 'delete', '--wait', 'copy')
  await plain('floating', 'ip', 'delete', floating)
})

test('stop and start', async () => {
  await plain('server', 'stop', 'hello')
  await server('SHUTOFF')
  await plain('server', 'start', 'hello')
  await server('ACTIVE')
  await guest.answers()
})

test('resize: confirmed it stays, reverted it is as before', async () => {
  await os('flavor', 'create', 'larger', '--ram', '256', '--disk', '2', '--vcpus', '1')
  const disk = async () => Number(await guest.sh('cat /sys/block/vda/size')) / 2 ** 21
  await plain('server', 'resize', 'hello', '--flavor', 'larger')
  await server('VERIFY_RESIZE')
  await guest.answers()
  assert.equal(await disk(), 2)
  await guest.sh('echo lost > after; sync')
  await plain('server', 'resize', 'revert', 'hello')
  await server('ACTIVE')
  await guest.answers()
  assert.equal(await disk(), 1)
  assert.equal(await guest.sh('ls; true'), 'kept')
  await plain('server', 'resize', 'hello', '--flavor', 'larger')
  await server('VERIFY_RESIZE')
  await plain('server', 'resize', 'confirm', 'hello')
  await server('ACTIVE')
  await guest.answers()
  assert.equal(await disk(), 2)
  assert.equal(await guest.sh('cat kept'), 'mine')
})

test('rescue: another system with the disk beside it, then its own again', async () => {
  await plain('server', 'rescue', 'hello')
  await server('RESCUE')
  await guest.answers()
  assert.match(await guest.sh('ls /dev/vd*'), /vdb/)
  await plain('server', 'unrescue', 'hello')
  await server('ACTIVE')
  await guest.answers()
  assert.equal(await guest.sh('cat kept'), 'mine')
})

test('a second network card comes and goes', async () => {
  const network = await os('network', 'create', 'second')
  await os('subnet', 'create', 'second', '--network', 'second', '--subnet-range', '10.9.0.0/24')
  await plain('server', 'add', 'network', 'hello', 'second')
  await eventually('the guest sees it', 30_000, async () => (await guest.sh('ls /sys/class/net')).includes('eth1'))
  const port = (await os('port', 'list', '--server', 'hello', '--network', network.id))[0].ID
  await plain('server', 'remove', 'port', 'hello', port)
  await eventually('it is gone', 30_000, async () => !(await guest.sh('ls /sys/class/net')).includes('eth1'))
})

test('rebuild: a new disk, the same address', async () => {
  await plain('server', 'rebuild', '--image', 'tiny', 'hello')
  await server('ACTIVE')
  await guest.answers()
  assert.equal(await guest.sh('ls; true'), '')
})

test('config drive, user data and files reach a guest without any network', async () => {
  const { flavors } = { flavors: (await os('flavor', 'list')).filter((one: any) => one.Name === 'tiny') }
  const api = `http://127.0.0.1:${cloud.port}/compute/v2.1/servers`
  const token = (await os('token', 'issue')).id
  const body = {
    server: {
      name: 'alone',
      imageRef: (await os('image', 'show', 'tiny')).id,
      flavorRef: flavors[0].ID,
      networks: 'none',
      config_drive: true,
      key_name: 'demo',
    },
  }
  const headers = { 'content-type': 'application/json', 'x-auth-token': token, 'openstack-api-version': 'compute 2.37' }
  const answer = await fetch(api, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.equal(answer.status, 202, await answer.clone().text())
  await becomes(cloud, 'alone', 'ACTIVE')
  await eventually('it has read its drive', 120_000, async () =>
    /instance data from the config drive/.test(await plain('console', 'log', 'show', 'alone')),
  )
  await plain('server', 'delete', '--wait', 'alone')
})

test('nothing is left', async () => {
  await plain('server', 'delete', '--wait', 'hello')
  const { leaks } = JSON.parse((await cloud.yun('doctor', 'leaks', '--json')).stdout)
  assert.deepEqual(leaks, [])
})
