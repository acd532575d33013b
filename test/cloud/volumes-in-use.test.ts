import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CloudUnderTest, eventually } from '../cloud-under-test.ts'
import { becomes, Guest } from './guest.ts'

/** What is done to the volumes of a real guest while it has them. */

let cloud: CloudUnderTest
let guest: Guest
let second: string
const os = (...args: string[]) => cloud.json('openstack', ...args)
const plain = (...args: string[]) => cloud.client('openstack', ...args)
const root = async () => {
  const [{ 'Volume ID': id }] = await os('server', 'volume', 'list', 'rooted')
  return await os('volume', 'show', id)
}
const action = async (path: string, version: string, body: object) => {
  const token = (await os('token', 'issue')).id
  const headers = { 'content-type': 'application/json', 'x-auth-token': token, 'openstack-api-version': version }
  const answer = await fetch(`http://127.0.0.1:${cloud.port}${path}/action`, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.equal(answer.status, 202, await answer.clone().text())
}

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  cloud = await CloudUnderTest.start(['--hypervisor', 'libvirt'], { demo: true })
  // a picture of the demo's guest is the second image: the same system with a file of its own
  const hello = new Guest(cloud, /cirros@(\S+)/.exec(cloud.said)![1]!)
  await hello.sh('echo second > kept; sync')
  await plain('server', 'image', 'create', 'hello', '--name', 'second')
  await eventually('the picture is taken', 240_000, async () => (await os('image', 'show', 'second')).status === 'active')
  second = (await os('image', 'show', 'second')).id
  await plain('server', 'delete', '--wait', 'hello')
  await os(
    'server',
    'create',
    'rooted',
    '--image',
    'tiny',
    '--boot-from-volume',
    '1',
    '--flavor',
    'tiny',
    '--network',
    'private',
    '--key-name',
    'demo',
  )
  await becomes(cloud, 'rooted', 'ACTIVE')
  const floating = (await os('floating', 'ip', 'create', 'public')).floating_ip_address
  await plain('server', 'add', 'floating', 'ip', 'rooted', floating)
  guest = new Guest(cloud, floating)
  await guest.answers()
})
after(() => cloud?.stop())

test('a guest that boots from a volume boots from another image when it is rebuilt with one', async () => {
  await guest.sh('echo first > own; sync')
  const { id: serverId } = await os('server', 'show', 'rooted')
  const before = await root()
  await action(`/compute/v2.1/servers/${serverId}`, 'compute 2.93', { rebuild: { imageRef: second } })
  await becomes(cloud, 'rooted', 'ACTIVE')
  await eventually(
    'it answers with what the other image has',
    240_000,
    async () => (await guest.sh('cat kept').catch(() => '')) === 'second',
  )
  assert.equal(await guest.sh('ls'), 'kept', 'nothing is left of what was on the volume')
  const now = await root()
  assert.deepEqual([now.id, now.status, now.volume_image_metadata.image_id], [before.id, 'in-use', second])
})

test('volumes grow while the guest writes onto them, and it sees that', async () => {
  await plain('volume', 'create', 'grown', '--size', '1')
  await eventually('it is available', 60_000, async () => (await os('volume', 'show', 'grown')).status === 'available')
  await plain('server', 'add', 'volume', 'rooted', 'grown')
  await eventually('the guest has it', 60_000, async () => (await guest.sh('ls /dev/vdb').catch(() => '')) === '/dev/vdb')
  // each line is on the disk before the next: a write that fails ends it
  const count =
    'i=0; while [ ! -e /tmp/enough ] && echo $i | dd of=/dev/vdb bs=512 count=1 conv=sync,fsync 2>/dev/null; do i=$((i+1)); echo $i > /tmp/count; done'
  await guest.sh(`sudo sh -c '${count}' > /dev/null 2>&1 < /dev/null &`)
  const counted = async () => Number(await guest.sh('cat /tmp/count'))
  await eventually('the guest writes', 60_000, async () => (await counted().catch(() => 0)) > 0)
  const size = async (disk: string) => Number(await guest.sh(`cat /sys/block/${disk}/size`)) / 2 ** 21
  for (const [disk, id] of [
    ['vdb', (await os('volume', 'show', 'grown')).id],
    ['vda', (await root()).id],
  ])
    for (const larger of [2, 3]) {
      const before = await counted()
      await action(`/volume/v3/volumes/${id}`, 'volume 3.42', { 'os-extend': { new_size: larger } })
      await eventually(`${disk} is larger`, 60_000, async () => (await size(disk)) === larger)
      await eventually('the guest writes on', 60_000, async () => (await counted()) > before)
      const { status, size: told } = await os('volume', 'show', id)
      assert.deepEqual([status, told], ['in-use', larger])
    }
  assert.equal(await guest.sh('dmesg | grep -ci "i/o error"; true'), '0')
  const actions = await os('server', 'event', 'list', 'rooted')
  assert.equal(actions.filter((one: any) => one.Action === 'extend_volume').length, 4)
  await guest.sh('touch /tmp/enough')
  await plain('server', 'remove', 'volume', 'rooted', 'grown')
  await eventually('it is free', 60_000, async () => (await os('volume', 'show', 'grown')).status === 'available')
})

test('nothing is left', async () => {
  await plain('server', 'delete', '--wait', 'rooted')
  await eventually('the volumes are gone', 120_000, async () => {
    for (const { ID: id } of await os('volume', 'list')) await plain('volume', 'delete', id).catch(() => {})
    return (await os('volume', 'list')).length === 0
  })
  const { leaks } = JSON.parse((await cloud.yun('doctor', 'leaks', '--json')).stdout)
  assert.deepEqual(leaks, [])
})
