import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'
import { CloudUnderTest, eventually, run } from '../cloud-under-test.ts'
import { becomes, Guest } from './guest.ts'

/** The main job on real components: `yun up` as a new user types it, then what the article says one can see. */

let cloud: CloudUnderTest
let said: string
let guest: Guest
const os = (...args: string[]) => cloud.json('openstack', ...args)
const out = async (program: string, ...args: string[]) => (await run(program, args)).stdout
const step = async (number: number, server = 'hello') => {
  const { stdout } = await cloud.yun('trace', server, '--json')
  return JSON.parse(stdout).steps.find((one: any) => one.step === number)
}

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  cloud = await CloudUnderTest.start(['--hypervisor', 'libvirt'], { demo: true })
  said = cloud.said
})
after(() => cloud?.stop())

test('the view shows the steps, the server and a line to log in with', async () => {
  assert.match(said, /Keystone +✔ +1 {2}token/)
  assert.match(said, /Scheduler +✔ 13 {2}filter hosts .*1 of 1 left: AvailabilityZone 1>1/)
  assert.match(said, /KVM +✔ 37 {2}domain started/)
  assert.match(said, /hello +\| ACTIVE/)
  const line = /log in +(ssh .*)/.exec(said)![1]!.trim().split(' ')
  guest = new Guest(cloud, line.at(-1)!.split('@')[1]!)
  const { stdout } = await run(line[0]!, [...line.slice(1), 'hostname'])
  assert.equal(stdout.trim(), 'hello')
})

test('steps 1 to 39, 41 and 43 to 49 have happened, each with evidence', async () => {
  const { stdout } = await cloud.yun('trace', 'hello', '--json')
  const { steps } = JSON.parse(stdout)
  assert.equal(steps.length, 50)
  for (const one of steps) {
    if ([40, 42, 50].includes(one.step)) continue
    assert.equal(one.status, 'done', `step ${one.step} ${one.title}`)
    assert.ok(one.evidence.text.length > 0 && one.started_at && one.ms >= 0, `step ${one.step} has no evidence`)
  }
  assert.match(steps[37].evidence.text, /DHCPACK.*hello/)
  assert.match(steps[38].evidence.text, /GET \/openstack\/latest\/meta_data.json .*signed/)
})

test('virsh lists the domain and dumps the XML of the article', async () => {
  assert.match(await out('virsh', 'list'), /instance-00000001 +running/)
  const xml = await out('virsh', 'dumpxml', 'instance-00000001')
  for (const wanted of [
    /<sysinfo type='smbios'>/,
    /<entry name='product'>OpenStack Nova<\/entry>/,
    /<clock offset='utc'>/,
    /<disk type='file' device='disk'>[\s\S]*<target dev='vda' bus='virtio'\/>/,
    /<interface type='bridge'>[\s\S]*<source bridge='qbr/,
    /<target dev='tap/,
    /<serial type='pty'>[\s\S]*console\.log/,
    /<input type='tablet' bus='usb'>/,
    /<graphics type='vnc'/,
    /<memballoon model='virtio'>/,
    /<disk type='network' device='disk'>[\s\S]*protocol='iscsi'/,
  ])
    assert.match(xml, wanted)
  const disk = join(cloud.stateDir, 'instances', (await os('server', 'show', 'hello')).id, 'disk')
  assert.match(await out('qemu-img', 'info', '-U', disk), /backing file: .*_base/)
})

test('the network is the article’s: tap - qbr - qvb/qvo - br-int, qdhcp and qrouter', async () => {
  const port = (await os('port', 'list', '--server', 'hello'))[0].ID.slice(0, 11)
  const members = await out('ip', '-o', 'link', 'show', 'master', `qbr${port}`)
  assert.match(members, new RegExp(`tap${port}`))
  assert.match(members, new RegExp(`qvb${port}`))
  assert.match(await out('ovs-vsctl', 'list-ports', 'br-int'), new RegExp(`qvo${port}`))
  assert.match(await out('ovs-ofctl', 'dump-flows', 'br-tun'), /table=2/)
  const namespaces = await out('ip', 'netns', 'list')
  assert.match(namespaces, /qdhcp-/)
  const router = /qrouter-\S+/.exec(namespaces)![0]
  assert.match(await out('ip', 'netns', 'exec', router, 'iptables', '-t', 'nat', '-S'), /DNAT --to-destination 192\.168\.0\.\d+/)
})

test('step 38, 39: the boot is in the console log, the key came by the metadata service', async () => {
  const log = await cloud.client('openstack', 'console', 'log', 'show', 'hello')
  assert.match(log, /instance data from the metadata service/)
  assert.match(log, /hello login:/)
})

const COLOURS = `(() => {
  const canvas = document.querySelector('canvas')
  if (!canvas?.width) return 0
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  const seen = new Set()
  for (let i = 0; i < data.length; i += 4) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2])
  return seen.size
})()`

test('step 40: the console page shows the guest’s screen', async () => {
  const url = (await os('console', 'url', 'show', '--novnc', 'hello')).url
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage()
    await page.goto(url)
    // in the page's own words: its types are not this program's
    const colours = () => page.evaluate<number>(COLOURS)
    await eventually('the screen is not blank', 60_000, async () => (await colours()) > 1)
    const file = join(mkdtempSync(join(tmpdir(), 'yun-screen-')), 'screen.png')
    await page.screenshot({ path: file })
    assert.ok(existsSync(file) && readFileSync(file).length > 2_000)
  } finally {
    await browser.close()
  }
  await eventually('step 40 is lit', 10_000, async () => (await step(40)).status === 'done')
})

test('step 42: the guest reaches the outside, by the router', async () => {
  assert.match(await guest.sh('ping -c 3 -W 3 172.24.4.1'), /3 packets received/)
  await eventually('step 42 is lit', 30_000, async () => {
    await guest.sh('ping -c 1 -W 3 172.24.4.1')
    return (await step(42)).status === 'done'
  })
})

test('the default group lets nothing else in; a packet with a borrowed address goes nowhere', async () => {
  const { code } = await run('bash', ['-c', `exec 3<>/dev/tcp/${guest.address}/23`], {}, 4_000)
  assert.notEqual(code, 0)
  const foreign =
    'sudo ip addr add 192.168.0.200/24 dev eth0; ping -c 1 -W 2 -I 192.168.0.200 192.168.0.1; sudo ip addr del 192.168.0.200/24 dev eth0'
  assert.match(await guest.sh(foreign).catch((error: Error) => error.message), /100% packet loss/)
})

test('kill -9: the guest goes on, the next start finds everything', async () => {
  const uptime = async () => Number((await guest.sh('cat /proc/uptime')).split('.')[0])
  const before = await uptime()
  process.kill(cloud.pid, 'SIGKILL')
  assert.ok((await uptime()) >= before)
  await cloud.up()
  assert.equal((await os('server', 'show', 'hello')).status, 'ACTIVE')
  assert.ok((await uptime()) >= before)
  assert.equal((await os('volume', 'show', 'data')).status, 'in-use')
  assert.match((await cloud.yun('doctor', 'leaks')).stdout, /no leaks/)
})

test('a second cloud on the same state directory is refused, and told who has it', async () => {
  const { code, stderr } = await run('bin/yun', ['up', '--no-demo', '--state', cloud.stateDir, '--port', '5999'])
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`already runs on ${cloud.stateDir} \\(pid ${cloud.pid}`))
})

test('step 50: what was written outlives the guest and is read by another', async () => {
  await guest.sh('echo outlives | sudo dd of=/dev/vdb bs=512 count=1 conv=sync,fsync 2>/dev/null')
  await cloud.client('openstack', 'server', 'delete', '--wait', 'hello')
  await eventually('the volume is available', 60_000, async () => (await os('volume', 'show', 'data')).status === 'available')
  await os('server', 'create', 'second', '--image', 'tiny', '--flavor', 'tiny', '--network', 'private', '--key-name', 'demo')
  await becomes(cloud, 'second', 'ACTIVE')
  await cloud.client('openstack', 'server', 'add', 'floating', 'ip', 'second', guest.address)
  await cloud.client('openstack', 'server', 'add', 'volume', 'second', 'data')
  await guest.answers()
  const read = await eventually('the disk is there', 60_000, async () => guest.sh('sudo head -c 8 /dev/vdb').catch(() => null))
  assert.equal(read, 'outlives')
  assert.equal((await step(50, 'second')).status, 'done')
})

test('nothing is left when everything is deleted', async () => {
  await cloud.client('openstack', 'server', 'delete', '--wait', 'second')
  await eventually('the volume is available', 60_000, async () => (await os('volume', 'show', 'data')).status === 'available')
  await cloud.client('openstack', 'volume', 'delete', 'data')
  await eventually('the volume is gone', 60_000, async () => (await os('volume', 'list')).length === 0)
  const { leaks, examined } = JSON.parse((await cloud.yun('doctor', 'leaks', '--json')).stdout)
  assert.deepEqual(leaks, [])
  for (const kind of ['domain', 'directory', 'claim', 'secret', 'volume', 'iscsi-target', 'allocation'])
    assert.equal(examined[kind] ?? 0, 0, kind)
})
