import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, test } from 'node:test'
import { WebSocket } from 'ws'
import { until } from '../../src/cli/api.ts'
import { LAB_STATE } from '../../src/host/machine/lab.ts'
import { LabUnderTest } from './lab.ts'

/** A guest with a floating IP and a volume goes from machine to machine: standing still and back, then live, while who talks to it goes on talking. */

let lab: LabUnderTest
let volumeId: string

const ssh = (command: string) => lab.ssh(command)
const says = async (command: string) => (await ssh(command)).stdout.trim()
const act = (body: object) => lab.api.post(`/compute/v2.1/servers/${lab.serverId}/action`, body)
const hostOf = async () => (await lab.server())['OS-EXT-SRV-ATTR:host'] as string
const otherThan = (name: string) => lab.cloud.hosts.find((host) => host.name !== name)!.name
const answers = () => until('it answers', 120_000, async () => (await ssh('true')).code === 0, 500)
const lastMigration = async () => (await lab.api.get(`/compute/v2.1/os-migrations?instance_uuid=${lab.serverId}`)).migrations[0]
const guestsOn = async (name: string) => {
  const { machine } = lab.cloud.hosts.find((host) => host.name === name)!
  return (await machine.machine.run('virsh', ['list', '--all', '--name'])).stdout.trim()
}

/** What a program outside writes until it is stopped: when each line came (ms). */
function listen(command: string[]): { stop(): Promise<number[]> } {
  const times: number[] = []
  const child = spawn(lab.outside, command, { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let rest = ''
  child.stdout.on('data', (data: Buffer) => {
    const lines = (rest + data).split('\n')
    rest = lines.pop()!
    for (const _ of lines) times.push(performance.now())
  })
  return {
    async stop() {
      child.kill('SIGINT')
      child.stdout.destroy()
      await ended
      return times
    },
  }
}

const longestGap = (times: number[]) => Math.max(...times.slice(1).map((time, i) => time - times[i]!))

before(async () => {
  lab = await LabUnderTest.start()
  volumeId = (await lab.server())['os-extended-volumes:volumes_attached'][0].id
  await answers()
  await ssh('echo before > ~/kept; sync; echo volume | sudo dd of=/dev/vdb bs=512 count=1 conv=sync,fsync 2>/dev/null')
})
after(() => lab?.stop())

/** Another one each time a guest starts. */
const bootOf = () => says('cat /proc/sys/kernel/random/boot_id')
const intact = async () => {
  assert.equal(await says('cat ~/kept'), 'before')
  assert.match(await says('sudo dd if=/dev/vdb bs=512 count=1 2>/dev/null'), /^volume/)
}

test('standing still: it goes with its disk, its address and its volume, comes back, and goes for good', async () => {
  const source = await hostOf()
  const other = otherThan(source)
  await act({ migrate: null })
  await lab.becomes('VERIFY_RESIZE')
  assert.equal(await hostOf(), other)
  await answers()
  await intact()
  await act({ revertResize: null })
  await lab.becomes('ACTIVE')
  assert.equal(await hostOf(), source)
  await answers()
  await intact()
  assert.equal(await guestsOn(other), '')

  await act({ migrate: null })
  await lab.becomes('VERIFY_RESIZE')
  await act({ confirmResize: null })
  await lab.becomes('ACTIVE')
  assert.equal(await hostOf(), other)
  await answers()
  await intact()
  assert.equal(await guestsOn(source), '')
  await lab.noLeaks()
})

test('live, with its disk: pings and a TCP stream to the floating IP go on', async (t) => {
  const source = await hostOf()
  const boot = await bootOf()
  const ping = listen(['ping', '-n', '-i', '0.02', lab.address])
  const stream = listen(lab.sshCommand('while :; do echo tick; usleep 20000; done'))
  await act({ 'os-migrateLive': { host: null, block_migration: 'auto' } })
  const seen = new Set<string>()
  await until('it has moved', 180_000, async () => {
    seen.add((await lastMigration()).status)
    return (await lab.server())['OS-EXT-STS:task_state'] === null
  })
  const migration = await lastMigration()
  assert.equal(
    migration.status,
    'completed',
    JSON.stringify((await lab.api.get(`/compute/v2.1/servers/${lab.serverId}/os-instance-actions`)).instanceActions[0]),
  )
  assert.notEqual(await hostOf(), source)
  await answers() // a new connection, too
  const [pings, ticks] = [await ping.stop(), await stream.stop()]
  const moved = [longestGap(pings), longestGap(ticks)] as const
  t.diagnostic(
    `longest silence: ${moved[0].toFixed(0)} ms of pings, ${moved[1].toFixed(0)} ms of the stream; statuses ${[...seen].join(', ')}`,
  )
  assert.ok(ticks.length > 10 && pings.length > 10)
  assert.ok(moved[0] < 5_000)
  assert.equal(await bootOf(), boot, 'it was not started again')
  await intact()
  assert.equal(await guestsOn(source), '')
  assert.equal((await lab.api.get(`/volume/v3/volumes/${volumeId}`)).volume.attachments[0].host_name, await hostOf())
  await lab.noLeaks()
})

test('its screen is shown from wherever it is', async () => {
  const asked = { remote_console: { protocol: 'vnc', type: 'novnc' } }
  const { remote_console: shown } = await lab.api.post(`/compute/v2.1/servers/${lab.serverId}/remote-consoles`, asked)
  const token = /token(?:=|%3D)([\w-]+)/.exec(shown.url)![1]!
  const socket = new WebSocket(`${lab.cloud.url.replace(/^http/, 'ws')}/console/websockify?token=${token}`, 'binary')
  try {
    const [greeting] = (await once(socket, 'message')) as [Buffer]
    assert.match(greeting.toString('latin1'), /^RFB 003\./)
  } finally {
    socket.close()
  }
})

test('live again, called off on the way: it stays, and goes on', async () => {
  const source = await hostOf()
  const boot = await bootOf()
  await act({ 'os-migrateLive': { host: null, block_migration: 'auto' } })
  const running = await until('its memory is on its way', 60_000, async () => {
    const { migrations } = await lab.api.get(`/compute/v2.1/servers/${lab.serverId}/migrations`)
    return migrations[0]?.status === 'running' && migrations[0]
  })
  await lab.api
    .remove(`/compute/v2.1/servers/${lab.serverId}/migrations/${running.id}`)
    .catch((error) => assert.match(error.message, /no job|not in progress|post-migrating/i))
  const now = await lab.becomes('ACTIVE')
  const { status } = await lastMigration()
  assert.equal(now['OS-EXT-SRV-ATTR:host'], status === 'cancelled' ? source : otherThan(source), status)
  await intact()
  assert.equal(await bootOf(), boot)
  await lab.noLeaks()
})

test('live, though what its disk stands on is on no other machine since it was shelved: the whole disk goes, and comes back', async () => {
  await act({ shelve: null })
  await lab.becomes('SHELVED_OFFLOADED')
  await act({ unshelve: null })
  await lab.becomes('ACTIVE')
  await answers()
  await intact()
  const boot = await bootOf()
  const sums = 'echo 3 | sudo tee /proc/sys/vm/drop_caches >/dev/null; md5sum ~/after /bin/busybox /sbin/init'
  await ssh('dd if=/dev/urandom of=~/after bs=1M count=4 2>/dev/null; sync')
  const before = await says(sums)
  assert.match(before, /busybox/)
  for (let times = 0; times < 2; times++) {
    const source = await hostOf()
    await act({ 'os-migrateLive': { host: null, block_migration: 'auto' } })
    await lab.becomes('ACTIVE')
    const name = await hostOf()
    const { status } = await lastMigration()
    assert.deepEqual([status, name === source], ['completed', false])
    const { machine } = lab.cloud.hosts.find((host) => host.name === name)!
    const disk = join(LAB_STATE, 'instances', lab.serverId, 'disk')
    const info = JSON.parse((await machine.machine.run('qemu-img', ['info', '-U', '--output=json', disk])).stdout)
    assert.equal(info['backing-filename'], undefined)
    assert.equal(await bootOf(), boot)
    assert.equal(await says(sums), before)
    await intact()
  }
  await lab.noLeaks()
})

test('live between machines that share their storage: no disk is carried, and it stays when the guest has left', async () => {
  const [source, other] = [await hostOf(), otherThan(await hostOf())]
  const [here, there] = [source, other].map((name) => lab.cloud.hosts.find((host) => host.name === name)!)
  const instances = join(LAB_STATE, 'instances')
  await there!.stop()
  // a machine's own directory lies on the file system that all of them see
  const [shared] = globSync(join(lab.folder, 'lab', 'machines', '*', here!.name, basename(LAB_STATE), 'instances'))
  await there!.machine.machine.run('mount', ['--bind', shared!, instances])
  await there!.start()
  const boot = await bootOf()
  const live = async (block_migration: boolean) => {
    await act({ 'os-migrateLive': { host: null, block_migration } })
    await lab.becomes('ACTIVE')
  }
  await live(true)
  const { instanceActions } = await lab.api.get(`/compute/v2.1/servers/${lab.serverId}/os-instance-actions`)
  assert.match(instanceActions[0].message, /share their storage/)
  for (const host of [other, source]) {
    await live(false)
    assert.equal(await hostOf(), host)
    assert.equal(await bootOf(), boot)
    await intact()
    await lab.noLeaks()
  }
  await act({ migrate: null })
  await lab.becomes('VERIFY_RESIZE')
  await act({ confirmResize: null })
  await lab.becomes('ACTIVE')
  await answers()
  await intact()
})
