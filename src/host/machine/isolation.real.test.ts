import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { hierarchies } from './cgroups.ts'
import { adopt, createIsolation, sweep } from './isolation.ts'
import { childrenOf } from './processes.ts'
import { waitUntil } from './wait.ts'

const CLI = join(import.meta.dirname, 'isolated.ts')
let parent: string

before(() => {
  parent = mkdtempSync(join(tmpdir(), 'isolation-'))
})
after(() => rmSync(parent, { recursive: true, force: true }))

/** The control groups whose name begins with `yun-<name>`, in every hierarchy. */
const groupsOf = (name: string) => hierarchies().flatMap(({ own }) => readdirSync(own).filter((entry) => entry.startsWith(`yun-${name}`)))

/** The processes that live in a namespace. */
const membersOf = (kind: string, namespace: string) =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/ns/${kind}`) === namespace
    } catch {
      return false
    }
  })

test('an isolation has its own network, processes, /run, /sys and control groups', async () => {
  const isolation = await createIsolation({ name: 'own', dir: join(parent, 'own'), hostname: 'compute7' })
  try {
    assert.equal((await isolation.run('hostname', [])).stdout.trim(), 'compute7')
    assert.match((await isolation.run('cat', ['/etc/hosts'])).stdout, /^127\.0\.1\.1 compute7$/m)
    assert.match((await isolation.run('ip', ['-brief', 'link'])).stdout, /^lo +UNKNOWN[^\n]*\n$/)
    assert.deepEqual((await isolation.run('ls', ['/sys/class/net'])).stdout.trim().split('\n'), ['lo'])
    assert.equal((await isolation.run('cat', ['/proc/1/comm'])).stdout.trim(), 'sleep')
    const groups = (await isolation.run('cat', ['/proc/self/cgroup'])).stdout.trim().split('\n')
    assert.deepEqual(
      groups.map((line) => line.split(':')[2]).filter((path) => path !== '/' && path !== '/processes' && !path!.includes('..')).length,
      0,
    )
    await isolation.run('ip', ['netns', 'add', 'qrouter-1'])
    assert.ok(existsSync(isolation.path('/run/netns/qrouter-1')))
    assert.ok(!existsSync('/run/netns/qrouter-1'))
  } finally {
    await isolation.destroy()
  }
})

test('destroying leaves no process, link, mount, control group or file, and can be repeated', async () => {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  const dir = join(parent, 'tidy')
  const isolation = await createIsolation({ name: 'tidy', dir })
  const network = readlinkSync(`/proc/${isolation.pid}/ns/net`)
  // A link with one end outside, a process that detached itself, a namespace inside.
  await isolation.run('ip', ['netns', 'add', 'inner'])
  await exec('ip', ['link', 'add', 'tidy-out', 'type', 'veth', 'peer', 'name', 'tidy-in', 'netns', String(isolation.pid)])
  await isolation.run('sh', ['-c', 'setsid sleep 7000 < /dev/null > /dev/null 2>&1 &'])
  assert.ok(membersOf('net', network).length >= 2)
  assert.notEqual(groupsOf('tidy').length, 0)
  await isolation.destroy()
  await isolation.destroy()
  assert.deepEqual(membersOf('net', network), [])
  assert.deepEqual(groupsOf('tidy'), [])
  assert.ok(!existsSync('/sys/class/net/tidy-out'))
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), mounts)
  assert.ok(!existsSync(dir))
})

test('orphans are reaped', async () => {
  const isolation = await createIsolation({ name: 'reap', dir: join(parent, 'reap') })
  try {
    await isolation.run('setsid', ['--fork', 'true'])
    await waitUntil('the orphan is reaped', async () => childrenOf(isolation.pid).length === 0)
  } finally {
    await isolation.destroy()
  }
})

test('a second isolation cannot take the directory of the first; a stranger’s files are not touched', async () => {
  const dir = join(parent, 'taken')
  const first = await createIsolation({ name: 'taken', dir })
  try {
    await assert.rejects(createIsolation({ name: 'other', dir }), { status: 409 })
    assert.equal(adopt('taken', dir)?.pid, first.pid)
    assert.equal(adopt('other', dir), undefined)
  } finally {
    await first.destroy()
  }
  assert.equal(adopt('taken', dir), undefined)
  writeFileSync(join(parent, 'note'), 'mine')
  await assert.rejects(createIsolation({ name: 'taken', dir: parent }), { status: 409 })
  assert.equal(readFileSync(join(parent, 'note'), 'utf8'), 'mine')
  await assert.rejects(createIsolation({ name: '../x', dir }), { status: 400 })
})

test('after a power-off the files are there again', async () => {
  const dir = join(parent, 'power')
  const first = await createIsolation({ name: 'power', dir })
  await first.run('touch', ['/var/lib/libvirt/kept'])
  await first.powerOff()
  const second = await createIsolation({ name: 'power', dir })
  try {
    assert.equal((await second.run('ls', ['/var/lib/libvirt/kept'])).code, 0)
  } finally {
    await second.destroy()
  }
})

test('a bound isolation ends with its maker and is swept up later', async () => {
  const dir = join(parent, 'bound', 'one')
  const script = `const { createIsolation } = await import(${JSON.stringify(join(import.meta.dirname, 'isolation.ts'))})
    await (await import('node:fs/promises')).mkdir(${JSON.stringify(join(parent, 'bound'))})
    const { pid } = await createIsolation({ name: 'bound', dir: ${JSON.stringify(dir)}, bound: true })
    console.log(pid); setInterval(() => {}, 1000)`
  const maker = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const pid = await new Promise<string>((resolve) => maker.stdout.once('data', (chunk) => resolve(String(chunk).trim())))
  assert.ok(existsSync(`/proc/${pid}`))
  maker.kill('SIGKILL')
  await waitUntil('the isolation ends', () => adopt('bound', dir) === undefined)
  await sweep(join(parent, 'bound'))
  assert.ok(!existsSync(dir))
  assert.deepEqual(groupsOf('bound'), [])
})

const runCli = (args: string[]) =>
  new Promise<{ code: number | null; stdout: string }>((resolve) => {
    const child = execFile(process.execPath, [CLI, ...args], { encoding: 'utf8' }, (_error, stdout) =>
      resolve({ code: child.exitCode, stdout }),
    )
  })

test('the command line passes output, directory and exit code on, and two run at once', async () => {
  const script = 'ip link add v0 type veth peer name v1 && ip netns add x && pwd && exit 7'
  const results = await Promise.all([runCli(['--', 'sh', '-c', script]), runCli(['--', 'sh', '-c', script])])
  for (const { code, stdout } of results) assert.deepEqual({ code, stdout }, { code: 7, stdout: `${process.cwd()}\n` })
  assert.equal((await runCli([])).code, 2)
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} reaches the command, and everything is removed`, async () => {
    const child = spawn(
      process.execPath,
      [CLI, '--', 'sh', '-c', 'trap "echo told; exit 0" INT TERM; readlink /proc/self/ns/net; sleep 7000 & wait'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let said = ''
    child.stdout.on('data', (chunk) => {
      said += chunk
    })
    const network = await waitUntil('the command starts', () => /net:\[\d+\]/.exec(said)?.[0])
    assert.notEqual(membersOf('net', network).length, 0)
    child.kill(signal)
    const code = await new Promise((resolve) => child.on('exit', resolve))
    assert.equal(code, signal === 'SIGINT' ? 130 : 143)
    assert.match(said, /told/)
    assert.deepEqual(membersOf('net', network), [])
  })
}
