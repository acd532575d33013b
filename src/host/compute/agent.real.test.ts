import assert from 'node:assert/strict'
import {
  chmodSync,
  copyFileSync,
  createReadStream,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { COMPUTE_CONTROL, computeTopic, control, host as messages, type VolumeSwap } from '../../compute/rpc.ts'
import { until } from '../../drivers/daemon.ts'
import { realGuestFiles } from '../../drivers/guest-files/real.ts'
import { realIso } from '../../drivers/iso/real.ts'
import { realLibvirt } from '../../drivers/libvirt/real.ts'
import { realNetNs } from '../../drivers/netns/real.ts'
import { OvsdbOvs } from '../../drivers/ovs/real.ts'
import { realQemuImg } from '../../drivers/qemu-img/real.ts'
import { tgt } from '../../drivers/tgt/real.ts'
import { privateTgtd } from '../../drivers/tgt/testing.ts'
import { buildTinyGuest } from '../../guest/build-tiny.ts'
import type { Message } from '../../kernel/bus/bus.ts'
import { MemoryBus } from '../../kernel/bus/memory.ts'
import type { Fault } from '../../kernel/errors/errors.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { silent } from '../../kernel/log/log.ts'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { ensureDaemons, stopDaemons } from '../machine/daemons.ts'
import { type ComputeHost, createComputeHost } from './agent.ts'
import { build, connection, FakeImages, flavor, imageOf, instance, PICTURE, unwind, uuidOf, vif } from './testing.ts'

/** The tiny guest from image to picture, with a plugged card and no network behind it: everything real but control and the image service. */
const uuid = uuidOf(1)
const BOOT_MS = 180_000
/** Counts on the first sector of a volume while it has one. */
const USER_DATA = `#!/bin/sh
echo user data ran > /dev/ttyS0
( n=0; while sleep 1; do [ -b /dev/vdb ] && n=$((n + 1)) && echo "count $n." | dd of=/dev/vdb conv=notrunc 2> /dev/null; done ) &
`
let stateDir: string
let directory: string
let host: ComputeHost
let spec: ReturnType<typeof instance>
const bus = new MemoryBus()
const images = new FakeImages()
const libvirt = realLibvirt()
const ovs = new OvsdbOvs()
const powers: string[] = []
const tell = <In, Out>(message: Message<In, Out>, payload: In) => bus.call(computeTopic('one'), message, payload, { timeoutMs: 600_000 })

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  stateDir = mkdtempSync(join(tmpdir(), 'compute-real-'))
  chmodSync(stateDir, 0o755) // QEMU runs as a user of its own
  directory = join(stateDir, 'instances')
  await ensureDaemons({ stateDir, parts: ['openvswitch', 'libvirt'] })
  await ovs.ensureBridge('br-int', { datapathType: 'netdev', failMode: 'secure' })
  const guest = await buildTinyGuest()
  const data = readFileSync(guest.path)
  const image = imageOf(data)
  images.data.set(image.id, data)
  images.download = async () => createReadStream(guest.path)
  spec = instance(1, {
    image,
    flavor: flavor({ ramMiB: 192, rootGiB: 1, extraSpecs: { 'quota:disk_read_iops_sec': '5000' } }),
    configDrive: true,
    files: [{ path: '/root/motd', contents: Buffer.from('hello').toString('base64') }],
    userData: Buffer.from(USER_DATA).toString('base64'),
  })
  bus.serve(COMPUTE_CONTROL, control.hostReport, () => {})
  bus.serve(COMPUTE_CONTROL, control.powerChanged, ({ event }) => void powers.push(event))
  host = createComputeHost({
    bus,
    log: silent(),
    host: 'one',
    hostIp: '127.0.0.1',
    directory,
    machine: { libvirt, qemuImg: realQemuImg(), iso: realIso(), guestFiles: realGuestFiles(), ovs, netns: realNetNs() },
    images,
    simulated: false,
    kvm: { works: false, reason: 'not tried' },
  })
  await host.start()
})

after(async () => {
  await host?.stop()
  libvirt.close()
  ovs.close()
  await stopDaemons({ stateDir })
  rmSync(stateDir, { recursive: true, force: true })
})

const log = async () => (await tell(messages.consoleLog, { uuid, lines: null })).output
const virsh = async (...args: string[]) => (await exec('virsh', ['--connect', 'qemu:///system', ...args])).stdout

test('the host says what it is', async () => {
  const state = await host.state()
  assert.ok(state.vcpus > 0 && state.memoryMiB > 256 && state.diskGiB > 0 && state.hypervisorVersion > 5_000_000, JSON.stringify(state))
  assert.ok(state.supportedInstances.some(([arch, hypervisor, mode]) => `${arch} ${hypervisor} ${mode}` === 'x86_64 qemu hvm'))
})

test('the tiny guest boots, with its name, its file and its user data', async (t) => {
  const made = await build(tell, { spec, vifs: [vif()], times: 2 })
  assert.equal(made.started.powerState, 'running')
  assert.equal(made.resized!.virtualSizeBytes, GiB)
  const dump = await virsh('dumpxml', 'instance-00000001')
  for (const line of [
    /<backingStore type='file'[\s\S]*_base/,
    /<source bridge='qbrc51a3401-87'\/>/,
    /<target dev='tapc51a3401-87'\/>/,
    /<entry name='product'>OpenStack Nova<\/entry>/,
    /<graphics type='vnc' port='59\d\d' autoport='yes' listen='127\.0\.0\.1' keymap='en-us'>/,
  ])
    assert.match(dump, line)
  assert.match((await exec('ovs-vsctl', ['get', 'Interface', 'qvoc51a3401-87', 'external_ids'])).stdout, new RegExp(`vm-uuid="${uuid}"`))
  assert.match((await exec('ip', ['-o', 'link', 'show', 'master', 'qbrc51a3401-87'])).stdout, /qvb[\s\S]*tap|tap[\s\S]*qvb/)
  const from = performance.now()
  await until('the boot is seen', async () => /hostname server-1/.test(await log()), BOOT_MS).catch(async (error) => {
    t.diagnostic((await log()).slice(-3_000))
    throw error
  })
  await until('the file is put in place', async () => /file \/root\/motd written/.test(await log()), BOOT_MS)
  await until('user data ran', async () => /user data ran/.test(await log()), BOOT_MS)
  t.diagnostic(`booted in ${Math.round(performance.now() - from)} ms`)
  const screen = await tell(messages.screenshot, { uuid })
  assert.ok(Buffer.from(screen.base64, 'base64').length > 1_000)
  const { num_nics, state } = await tell(messages.diagnostics, { uuid })
  assert.deepEqual([num_nics, state], [1, 'running'])
})

test('a second card comes and goes while it runs', async () => {
  const second = vif(2)
  for (const message of [messages.createBridge, messages.createVeth, messages.joinBridge, messages.joinIntegration])
    await tell(message as typeof messages.createBridge, { uuid, vif: second, flavor: flavor() })
  for (let n = 0; n < 2; n++) await tell(messages.attachInterface, { uuid, vif: second, live: true })
  assert.match(await virsh('domiflist', 'instance-00000001'), /tapc51a3402-87/)
  for (let n = 0; n < 2; n++) await tell(messages.detachInterface, { uuid, vif: second, live: true })
  assert.doesNotMatch(await virsh('domiflist', 'instance-00000001'), /tapc51a3402-87/)
  await tell(messages.unplug, { vifs: [second] })
})

test('a volume comes over iSCSI with its password, twice the same, and goes again', async () => {
  const path = join(stateDir, 'volume')
  writeFileSync(path, '')
  truncateSync(path, 64 * MiB)
  const daemon = await privateTgtd()
  const iqn = 'iqn.2010-10.org.openstack:volume-1'
  const targets = tgt(daemon)
  const { username, lun } = await targets.ensure({ iqn, path, secret: 'abcdefghijklmnop', readOnly: false })
  const qos = {
    total_bytes_sec: '20971520',
    read_iops_sec: '200',
    read_iops_sec_max: '500',
    read_iops_sec_max_length: '10',
    size_iops_sec: '4096',
  }
  const volume = connection(1, { portal: daemon.portal, iqn, lun, auth: { username, password: 'abcdefghijklmnop' }, qos })
  const wrong = { ...volume, auth: { username, password: 'ponmlkjihgfedcba' } }
  await assert.rejects(tell(messages.attachVolume, { uuid, connection: wrong, live: true }), (error: Fault) => error.status >= 400)
  assert.deepEqual(await libvirt.listSecrets(), [])
  for (let n = 0; n < 2; n++) {
    const { device, address } = await tell(messages.attachVolume, { uuid, connection: volume, live: true })
    assert.equal(device, '/dev/vdb')
    assert.match(address ?? '', /^0000:00:[0-9a-f]{2}\.0$/)
  }
  assert.doesNotMatch(await virsh('dumpxml', '--security-info', 'instance-00000001'), /abcdefghijklmnop/)
  for (const side of ['--live', '--config'])
    for (const [name, value] of Object.entries(qos))
      assert.match(await virsh('blkdeviotune', 'instance-00000001', 'vdb', side), new RegExp(`^${name} *: ${value}$`, 'm'), side)
  const former = { ...volume, portal: '', iqn: '', auth: null }
  for (let n = 0; n < 2; n++) await tell(messages.detachVolume, { uuid, connection: former, live: true })
  assert.doesNotMatch(await virsh('domblklist', 'instance-00000001'), /vdb/)
  assert.deepEqual(await libvirt.listSecrets(), [])
  await targets.remove(iqn)
  await daemon.stop()
})

/** Two volumes, the first with something on it, at a target of the test's own. */
async function twoVolumes() {
  const daemon = await privateTgtd()
  const targets = tgt(daemon)
  const secret = 'abcdefghijklmnop'
  const make = async (n: number, bytes: number) => {
    const path = join(stateDir, `volume-${n}`)
    writeFileSync(path, '')
    truncateSync(path, bytes)
    const iqn = `iqn.2010-10.org.openstack:swapped-${n}`
    const { username, lun } = await targets.ensure({ iqn, path, secret, readOnly: false })
    const reached = connection(n, {
      portal: daemon.portal,
      iqn,
      lun,
      auth: { username, password: secret },
      sizeGiB: bytes / GiB,
      qos: { [n === 11 ? 'total_iops_sec' : 'read_iops_sec']: `${n}00` },
    })
    return { path, iqn, reached, former: { ...reached, portal: '', iqn: '', auth: null } }
  }
  const [one, two] = [await make(11, 64 * MiB), await make(12, 128 * MiB)]
  writeFileSync(one.path, Buffer.alloc(MiB, 'data'), { flag: 'r+' })
  truncateSync(one.path, 64 * MiB)
  return {
    one,
    two,
    async away() {
      for (const { iqn } of [one, two]) await targets.remove(iqn)
      await daemon.stop()
    },
  }
}
async function copied(swap: VolumeSwap): Promise<void> {
  await tell(messages.copyVolume, { ...swap, begun: false })
  await until('it is copied', async () => (await tell(messages.copyVolume, { ...swap, begun: true })).ready, 60_000)
}
const pivoted = (swap: VolumeSwap) => until('it is swapped', async () => (await tell(messages.pivotVolume, swap)).swapped, 60_000)
const countOn = (path: string) => Number(/^count (\d+)\./.exec(readFileSync(path).subarray(0, 32).toString())?.[1] ?? 0)

test('one volume takes the place of another while the guest writes', async () => {
  const { one, two, away } = await twoVolumes()
  await tell(messages.attachVolume, { uuid, connection: one.reached, live: true })
  await until('the guest counts', () => countOn(one.path) > 0, 30_000)
  const swap = { uuid, former: one.former, connection: two.reached }
  await copied(swap)
  await tell(messages.breakOffCopy, swap)
  assert.doesNotMatch(await virsh('dumpxml', 'instance-00000001'), /<mirror|swapped-12/)
  await copied(swap)
  await pivoted(swap)
  const last = countOn(one.path)
  await until('the guest counts on', () => countOn(two.path) > last + 1, 30_000)
  assert.equal(countOn(one.path), last)
  assert.ok(readFileSync(two.path).subarray(4096, MiB).equals(readFileSync(one.path).subarray(4096, MiB)))
  assert.match(await virsh('domblkinfo', 'instance-00000001', 'vdb'), new RegExp(`Capacity: +${64 * MiB}`))
  assert.match(await virsh('blkdeviotune', 'instance-00000001', 'vdb', '--live'), /^total_iops_sec *: 0\n(.*\n)*?read_iops_sec *: 1200\n/m)
  for (const side of [[], ['--inactive']]) assert.match(await virsh('dumpxml', 'instance-00000001', ...side), /swapped-12\/1/)
  await tell(messages.detachVolume, { uuid, connection: one.former, live: true })
  assert.deepEqual(
    (await libvirt.listSecrets()).map((secret) => secret.uuid),
    [two.reached.attachmentId],
  )
  await tell(messages.detachVolume, { uuid, connection: two.former, live: true })
  assert.doesNotMatch(await virsh('domblklist', 'instance-00000001'), /vdb/)
  await away()
})

test('its picture is taken while it runs on, and is a disk of its own', async () => {
  const { bytes } = await tell(messages.snapshot, { uuid, imageId: PICTURE, running: true })
  assert.ok(bytes > MiB)
  const path = join(stateDir, 'picture.qcow2')
  writeFileSync(path, images.uploaded.get(PICTURE)!)
  const info = await realQemuImg().info({ path, format: 'qcow2' })
  assert.deepEqual([info.backingFile, info.virtualSizeBytes], [null, GiB])
  assert.equal((await realQemuImg().check({ path, format: 'qcow2' })).corruptions, 0)
  assert.equal((await tell(messages.powerState, { uuid })).powerState, 'running')
  assert.match(await virsh('domblklist', 'instance-00000001'), new RegExp(`vda +${join(directory, uuid, 'disk')}\n`))
  assert.deepEqual(readdirSync(join(directory, uuid)).sort(), ['console.log', 'disk', 'disk.config'])
})

test('it is suspended with its memory and goes on from there', async () => {
  await tell(messages.suspend, { uuid })
  assert.equal((await tell(messages.powerState, { uuid })).powerState, 'suspended')
  await tell(messages.resume, { uuid })
  assert.equal((await tell(messages.powerState, { uuid })).powerState, 'running')
})

test('its disk is kept for a resize and comes back', async () => {
  assert.deepEqual(await tell(messages.stop, { uuid, timeoutMs: 60_000 }), { clean: true })
  assert.ok(
    powers.some((event) => event.startsWith('stopped')),
    powers.join(),
  )
  const before = await stat(join(directory, uuid, 'disk'))
  await tell(messages.keepDisk, { uuid, name: 'resize' })
  assert.equal((await tell(messages.resizeDisk, { uuid, rootGiB: 2 })).grown, true)
  copyFileSync(join(directory, uuid, 'disk.resize'), join(stateDir, 'kept'))
  await tell(messages.restoreDisk, { uuid, name: 'resize' })
  assert.equal((await stat(join(directory, uuid, 'disk'))).size, before.size)
  assert.equal((await tell(messages.start, { uuid })).powerState, 'running')
  assert.deepEqual(await tell(messages.stop, { uuid, timeoutMs: 0 }), { clean: false })
})

test('a guest that goes off in the moment of a swap is woken for the copy, and off again', async () => {
  const { one, two, away } = await twoVolumes()
  await tell(messages.attachVolume, { uuid, connection: one.reached, live: false })
  await tell(messages.start, { uuid })
  const swap = { uuid, former: one.former, connection: two.reached }
  await copied(swap)
  await tell(messages.destroy, { uuid })
  writeFileSync(two.path, '')
  truncateSync(two.path, 128 * MiB)
  await pivoted(swap)
  assert.equal((await tell(messages.powerState, { uuid })).powerState, 'shutdown')
  assert.ok(readFileSync(two.path).subarray(4096, MiB).equals(readFileSync(one.path).subarray(4096, MiB)))
  assert.match(await virsh('dumpxml', 'instance-00000001'), /swapped-12\/1/)
  for (const each of [one, two]) await tell(messages.detachVolume, { uuid, connection: each.former, live: false })
  await away()
})

test('nothing is left when it is deleted', async () => {
  assert.ok((await tell(messages.audit, {})).length > 4)
  await unwind(tell, { spec, vifs: [vif()], times: 2 })
  assert.deepEqual(await tell(messages.audit, {}), [])
  assert.equal((await virsh('list', '--all', '--name')).trim(), '')
  assert.deepEqual(readdirSync(directory).sort(), ['_base', '_claims', '_holders'])
})
