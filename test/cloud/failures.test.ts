import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fromPidFile, markOf } from '../../src/host/machine/processes.ts'
import { CloudUnderTest, eventually, run } from '../cloud-under-test.ts'
import { becomes, Guest } from './guest.ts'

/** On real components: what a machine does to a cloud. It is told in words, nothing half-made stays, and what died comes back. */

let cloud: CloudUnderTest
let guest: Guest
const os = (...args: string[]) => cloud.json('openstack', ...args)
const noLeaks = () => eventually('nothing is left over', 30_000, async () => /no leaks/.test((await cloud.yun('doctor', 'leaks')).stdout))

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  cloud = await CloudUnderTest.start(['--hypervisor', 'libvirt'], { demo: true })
  guest = new Guest(cloud, /cirros@([\d.]+)/.exec(cloud.said)![1]!)
})
after(() => cloud?.stop())

test('a full disk: the server says so, and another one works when there is room again', async () => {
  const bases = join(cloud.stateDir, 'instances', '_base')
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0711', 'tmpfs', bases])
  assert.equal(mounted.code, 0, mounted.stderr)
  await cloud.client('openstack', 'server', 'create', 'full', '--image', 'tiny', '--flavor', 'tiny', '--network', 'private')
  const { fault } = await becomes(cloud, 'full', 'ERROR')
  assert.match(JSON.stringify(fault), /has no room for .*_base/)
  assert.equal((await run('umount', [bases])).code, 0)
  await cloud.client('openstack', 'server', 'delete', '--wait', 'full')
  await noLeaks()
  await cloud.client('openstack', 'server', 'create', 'fits', '--image', 'tiny', '--flavor', 'tiny', '--network', 'private')
  await becomes(cloud, 'fits', 'ACTIVE')
  await cloud.client('openstack', 'server', 'delete', '--wait', 'fits')
})

/** A daemon of this cloud and the file with its number. */
const daemons: [program: string, pidFile: () => string | Promise<string>][] = [
  ['libvirtd', () => join(cloud.stateDir, 'daemons', 'libvirtd.pid')],
  ['ovs-vswitchd', () => '/run/openvswitch/ovs-vswitchd.pid'],
  ['ovsdb-server', () => '/run/openvswitch/ovsdb-server.pid'],
  ['tgtd', () => join(cloud.stateDir, 'daemons', 'tgtd.pid')],
  ['dnsmasq', async () => join(cloud.stateDir, 'dhcp', (await os('network', 'show', 'private')).id, 'pid')],
]

for (const [program, pidFile] of daemons)
  test(`${program} is killed: it comes back by itself, and the guest is reached`, async () => {
    const file = await pidFile()
    const first = fromPidFile(file, program)
    assert.ok(first, `${file} does not name a running ${program}`)
    process.kill(first.pid, 'SIGKILL')
    await eventually(`${program} runs again`, 60_000, async () => {
      const now = fromPidFile(file, program)
      return now && now.startedAt !== first.startedAt && markOf(now.pid)
    })
    assert.equal(await guest.answers(), 'hello')
  })

test('after all that the volume is still the guest’s, and servers are made as before', async () => {
  assert.match(await guest.sh('sudo dd if=/dev/vdb of=/dev/null bs=512 count=1 2>&1'), /1\+0 records in/)
  await cloud.client('openstack', 'server', 'create', 'again', '--image', 'tiny', '--flavor', 'tiny', '--network', 'private')
  await becomes(cloud, 'again', 'ACTIVE')
  await cloud.client('openstack', 'server', 'delete', '--wait', 'again')
  await noLeaks()
})
