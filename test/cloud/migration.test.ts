import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, test } from 'node:test'
import { WebSocket } from 'ws'
import { Api, until } from '../../src/cli/api.ts'
import { demo } from '../../src/cli/demo.ts'
import { guestImage } from '../../src/cloud/guest-image.ts'
import { loadSecrets } from '../../src/cloud/secrets.ts'
import { LAB_STATE } from '../../src/host/machine/lab.ts'
import { type LabCloud, startLabCloud } from '../../src/lab/lab-cloud.ts'
import { run } from '../cloud-under-test.ts'

/** A guest with a floating IP and a volume goes from machine to machine: standing still and back, then live, while who talks to it goes on talking. */

const PORT = 5050
let folder: string
let cloud: LabCloud
let api: Api
let id: string
let address: string
let volumeId: string

const outside = (...command: string[]) => run(join(folder, 'lab', 'outside'), command, {}, 60_000)
const sshCommand = (command: string) => {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'ConnectTimeout=3', 'BatchMode=yes']
  return ['ssh', '-i', join(cloud.stateDir, 'demo_ed25519'), ...options.flatMap((one) => ['-o', one]), `cirros@${address}`, command]
}
const ssh = (command: string) => outside(...sshCommand(command))
const says = async (command: string) => (await ssh(command)).stdout.trim()
const server = async () => (await api.get(`/compute/v2.1/servers/${id}`)).server
const act = (body: object) => api.post(`/compute/v2.1/servers/${id}/action`, body)
const hostOf = async () => (await server())['OS-EXT-SRV-ATTR:host'] as string
const otherThan = (name: string) => cloud.hosts.find((host) => host.name !== name)!.name
const becomes = (status: string) =>
  until(`the server is ${status}`, 180_000, async () => {
    const now = await server()
    if (now.status === 'ERROR') throw new Error(JSON.stringify(now.fault))
    return now.status === status && now['OS-EXT-STS:task_state'] === null && now
  })
const answers = () => until('it answers', 120_000, async () => (await ssh('true')).code === 0, 500)
const lastMigration = async () => (await api.get(`/compute/v2.1/os-migrations?instance_uuid=${id}`)).migrations[0]
const noLeaks = () => until('nothing is left over', 60_000, async () => (await api.get('/doctor/v1/leaks')).leaks.length === 0, 500)
const guestsOn = async (name: string) => {
  const { machine } = cloud.hosts.find((host) => host.name === name)!
  return (await machine.machine.run('virsh', ['list', '--all', '--name'])).stdout.trim()
}

/** What a program outside writes until it is stopped: when each line came (ms). */
function listen(command: string[]): { stop(): Promise<number[]> } {
  const times: number[] = []
  const child = spawn(join(folder, 'lab', 'outside'), command, { stdio: ['ignore', 'pipe', 'ignore'] })
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
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  folder = mkdtempSync(join(tmpdir(), 'migration-'))
  const image = await guestImage(() => {})
  cloud = await startLabCloud({ dir: join(folder, 'lab'), hosts: 2, port: PORT, settings: { development: true } })
  api = new Api({ url: cloud.url, username: 'admin', password: loadSecrets(cloud.sharedDir).adminPassword, project: 'demo' })
  const made = await demo({
    api,
    stateDir: cloud.stateDir,
    imageFile: image,
    external: { cidr: '172.24.4.0/24', gateway: '172.24.4.1', start: '172.24.4.10', end: '172.24.4.250' },
    enter: [join(folder, 'lab', 'outside')],
    screen: { tty: false, columns: 100, rows: 50, write: () => {} },
  })
  id = made.server.id
  address = made.floatingIp
  volumeId = (await server())['os-extended-volumes:volumes_attached'][0].id
  await answers()
  await ssh('echo before > ~/kept; sync; echo volume | sudo dd of=/dev/vdb bs=512 count=1 conv=sync,fsync 2>/dev/null')
})
after(async () => {
  await cloud?.stop()
  rmSync(folder, { recursive: true, force: true })
})

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
  await becomes('VERIFY_RESIZE')
  assert.equal(await hostOf(), other)
  await answers()
  await intact()
  await act({ revertResize: null })
  await becomes('ACTIVE')
  assert.equal(await hostOf(), source)
  await answers()
  await intact()
  assert.equal(await guestsOn(other), '')

  await act({ migrate: null })
  await becomes('VERIFY_RESIZE')
  await act({ confirmResize: null })
  await becomes('ACTIVE')
  assert.equal(await hostOf(), other)
  await answers()
  await intact()
  assert.equal(await guestsOn(source), '')
  await noLeaks()
})

test('live, with its disk: pings and a TCP stream to the floating IP go on', async (t) => {
  const source = await hostOf()
  const boot = await bootOf()
  const ping = listen(['ping', '-n', '-i', '0.02', address])
  const stream = listen(sshCommand('while :; do echo tick; usleep 20000; done'))
  await act({ 'os-migrateLive': { host: null, block_migration: 'auto' } })
  const seen = new Set<string>()
  await until('it has moved', 180_000, async () => {
    seen.add((await lastMigration()).status)
    return (await server())['OS-EXT-STS:task_state'] === null
  })
  const migration = await lastMigration()
  assert.equal(
    migration.status,
    'completed',
    JSON.stringify((await api.get(`/compute/v2.1/servers/${id}/os-instance-actions`)).instanceActions[0]),
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
  assert.equal((await api.get(`/volume/v3/volumes/${volumeId}`)).volume.attachments[0].host_name, await hostOf())
  await noLeaks()
})

test('its screen is shown from wherever it is', async () => {
  const asked = { remote_console: { protocol: 'vnc', type: 'novnc' } }
  const { remote_console: shown } = await api.post(`/compute/v2.1/servers/${id}/remote-consoles`, asked)
  const token = /token(?:=|%3D)([\w-]+)/.exec(shown.url)![1]!
  const socket = new WebSocket(`${cloud.url.replace(/^http/, 'ws')}/console/websockify?token=${token}`, 'binary')
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
    const { migrations } = await api.get(`/compute/v2.1/servers/${id}/migrations`)
    return migrations[0]?.status === 'running' && migrations[0]
  })
  await api
    .remove(`/compute/v2.1/servers/${id}/migrations/${running.id}`)
    .catch((error) => assert.match(error.message, /no job|not in progress|post-migrating/i))
  const now = await becomes('ACTIVE')
  const { status } = await lastMigration()
  assert.equal(now['OS-EXT-SRV-ATTR:host'], status === 'cancelled' ? source : otherThan(source), status)
  await intact()
  assert.equal(await bootOf(), boot)
  await noLeaks()
})

test('live between machines that share their storage: no disk is carried, and it stays when the guest has left', async () => {
  const [source, other] = [await hostOf(), otherThan(await hostOf())]
  const [here, there] = [source, other].map((name) => cloud.hosts.find((host) => host.name === name)!)
  const instances = join(LAB_STATE, 'instances')
  await there!.stop()
  // a machine's own directory lies on the file system that all of them see
  const [shared] = globSync(join(folder, 'lab', 'machines', '*', here!.name, basename(LAB_STATE), 'instances'))
  await there!.machine.machine.run('mount', ['--bind', shared!, instances])
  await there!.start()
  const boot = await bootOf()
  const live = async (block_migration: boolean) => {
    await act({ 'os-migrateLive': { host: null, block_migration } })
    await becomes('ACTIVE')
  }
  await live(true)
  const { instanceActions } = await api.get(`/compute/v2.1/servers/${id}/os-instance-actions`)
  assert.match(instanceActions[0].message, /share their storage/)
  for (const host of [other, source]) {
    await live(false)
    assert.equal(await hostOf(), host)
    assert.equal(await bootOf(), boot)
    await intact()
    await noLeaks()
  }
  await act({ migrate: null })
  await becomes('VERIFY_RESIZE')
  await act({ confirmResize: null })
  await becomes('ACTIVE')
  await answers()
  await intact()
})
