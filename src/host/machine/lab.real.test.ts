import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { createLab, LAB_STATE, type Lab, sweepLabs } from './lab.ts'
import { waitUntil } from './wait.ts'

let parent: string
let lab: Lab
const traces = async () => ({
  links: (await exec('ip', ['-brief', 'link'])).stdout.replaceAll(/@\S+/g, ''),
  mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
})
let earlier: Awaited<ReturnType<typeof traces>>

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  parent = mkdtempSync(join(tmpdir(), 'lab-'))
  earlier = await traces()
  lab = await createLab({ parent: join(parent, 'labs'), count: 2, controls: 2 })
})
after(async () => {
  await lab.destroy()
  rmSync(parent, { recursive: true, force: true })
})

const pings = (from: { run: Lab['outside']['run'] }, address: string) =>
  from.run('ping', ['-c', '1', '-W', '1', address], { ok: [0, 1] }).then(({ code }) => code === 0)

test('each host has its name, switch, libvirt and target of its own, and reaches the others by name', async () => {
  const [first, second] = lab.hosts
  for (const host of lab.hosts) {
    const { machine } = host
    assert.equal((await machine.run('hostname', [])).stdout.trim(), host.name)
    assert.deepEqual((await machine.run('ovs-vsctl', ['list-br'])).stdout.trim().split('\n'), ['br-ex', 'br-phy'])
    assert.equal((await machine.run('virsh', ['-c', 'qemu:///system', 'hostname'])).stdout.trim(), host.name)
    const portals = await machine.run('tgtadm', ['-C', '7', '--lld', 'iscsi', '--mode', 'portal', '--op', 'show'])
    assert.match(portals.stdout, new RegExp(`${host.address}:3260`))
  }
  await waitUntil('node2 answers', () => pings(first!.machine, 'node2'))
  await waitUntil('node1 answers the outside', () => pings(lab.outside, first!.address))
  assert.notEqual(
    (await first!.machine.run('ovs-vsctl', ['get', 'open', '.', 'external_ids:system-id'])).stdout,
    (await second!.machine.run('ovs-vsctl', ['get', 'open', '.', 'external_ids:system-id'])).stdout,
  )
})

test('the state directory is each host’s own under one path', async () => {
  const [first, second] = lab.hosts
  await first!.machine.run('touch', [`${LAB_STATE}/mine`])
  assert.equal((await second!.machine.run('ls', [LAB_STATE])).stdout.includes('mine'), false)
})

test('a cut host is not reached until the cables are back; a host without power comes up with its files', async () => {
  const second = lab.hosts[1]!
  await second.cut(true)
  assert.equal(await pings(lab.outside, second.address), false)
  await second.cut(false)
  await waitUntil('node2 answers again', () => pings(lab.outside, second.address))
  await second.machine.run('touch', [`${LAB_STATE}/kept`])
  await second.powerOff()
  assert.equal(await pings(lab.outside, second.address), false)
  await second.powerOn()
  await waitUntil('node2 answers after power-on', () => pings(lab.outside, second.address))
  await second.machine.run('ls', [`${LAB_STATE}/kept`])
})

test('machines that are parted do not reach each other, and everybody else', async () => {
  const [first, second] = lab.controls
  await waitUntil('control2 answers', () => pings(first!.machine, second!.name))
  await lab.part(lab.controls, true)
  assert.equal(await pings(first!.machine, second!.address), false)
  assert.equal(await pings(second!.machine, first!.address), false)
  for (const control of lab.controls) {
    assert.ok(await pings(control.machine, 'node1'))
    assert.ok(await pings(control.machine, lab.hereAddress))
    assert.ok(await pings(lab.hosts[0]!.machine, control.address))
  }
  await lab.part(lab.controls, false)
  await waitUntil('control2 answers again', () => pings(first!.machine, second!.name))
})

test('a lab whose process was killed is found and removed by the next; nothing is left of either', async () => {
  const labs = join(parent, 'killed')
  const script = `const { createLab } = await import(${JSON.stringify(join(import.meta.dirname, 'lab.ts'))})
    const lab = await createLab({ parent: ${JSON.stringify(labs)}, count: 1 })
    console.log(lab.hosts[0].machine.pid); setInterval(() => {}, 1000)`
  const maker = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const pid = await new Promise<string>((resolve) => maker.stdout.once('data', (chunk) => resolve(String(chunk).trim())))
  maker.kill('SIGKILL')
  await waitUntil('its host ends', () => !existsSync(`/proc/${pid}`))
  assert.equal(readdirSync(labs).length, 1)
  await sweepLabs(labs)
  assert.equal(readdirSync(labs).length, 0)
  await lab.destroy()
  await lab.destroy()
  assert.deepEqual(await traces(), earlier)
  assert.equal(existsSync(join(parent, 'labs')), false)
})
