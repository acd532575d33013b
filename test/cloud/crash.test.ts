import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test } from 'node:test'
import { createServer } from '../../src/compute/sagas/create-server.ts'
import { deleteServer } from '../../src/compute/sagas/delete-server.ts'
import { CloudUnderTest, eventually } from '../cloud-under-test.ts'
import { becomes, Guest } from './guest.ts'

/** On real components: kill -9 of the cloud after each step of creating and of deleting a server, started again each time, until it is done. Then nothing is over. */

let cloud: CloudUnderTest
const os = (...args: string[]) => cloud.json('openstack', ...args)

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  cloud = await CloudUnderTest.start(['--hypervisor', 'libvirt'], { demo: true })
})
after(() => cloud?.stop())

/** Starts a cloud that dies after each record of this saga, again and again; says how often it died before it stayed. `begin` runs when it is up for the first time. */
async function killedUntilDone(saga: string, begin: () => Promise<void>): Promise<number> {
  await cloud.yun('stop')
  for (let deaths = 0; deaths < 100; deaths++) {
    const flags = ['--state', cloud.stateDir, '--port', String(cloud.port), '--hypervisor', 'libvirt']
    const child = spawn(process.execPath, [resolve(import.meta.dirname, '../killed-cloud.ts'), ...flags], {
      env: { ...process.env, KILLED_SAGA: saga },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const died = new Promise<'died'>((done) => child.once('exit', () => done('died')))
    const up = new Promise<'up'>((done) => child.stdout.once('data', () => done('up')))
    if ((await Promise.race([died, up])) === 'up' && deaths === 0) await begin()
    if ((await Promise.race([died, atRest(cloud)])) === 'died') continue
    child.kill('SIGTERM')
    await died
    await cloud.up()
    return deaths
  }
  throw new Error(`${saga} does not come to an end`)
}

/** Resolves when no saga of compute is under way. */
async function atRest(of: CloudUnderTest): Promise<'at rest'> {
  const database = new DatabaseSync(join(of.stateDir, 'db', 'compute.sqlite'), { readOnly: true })
  const open = database.prepare("select count(*) as n from sagas where state in ('running', 'unwinding')")
  await eventually('every saga has ended', 300_000, async () => open.get()!.n === 0)
  database.close()
  return 'at rest'
}

/** The request is answered or not; the process dies in either case. */
async function ask(method: string, path: string, body?: unknown): Promise<void> {
  const auth = {
    identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' }, password: cloud.env.OS_PASSWORD } } },
    scope: { project: { name: 'demo', domain: { id: 'default' } } },
  }
  const url = `http://127.0.0.1:${cloud.port}`
  const headers = { 'content-type': 'application/json' }
  const login = await fetch(`${url}/identity/v3/auth/tokens`, { method: 'POST', headers, body: JSON.stringify({ auth }) })
  const token = login.headers.get('x-subject-token')!
  await fetch(`${url}${path}`, { method, headers: { ...headers, 'x-auth-token': token }, body: JSON.stringify(body) }).catch(() => {})
}

test('create-server, killed after each of its steps, arrives: the guest boots and answers', async () => {
  const image = (await os('image', 'show', 'tiny')).id
  const flavor = (await os('flavor', 'show', 'tiny')).id
  const network = (await os('network', 'show', 'private')).id
  const server = {
    name: 'survivor',
    imageRef: image,
    flavorRef: flavor,
    key_name: 'demo',
    networks: [{ uuid: network }],
    config_drive: true,
  }
  const deaths = await killedUntilDone('create-server', () => ask('POST', '/compute/v2.1/servers', { server }))
  assert.ok(deaths >= createServer.steps.filter((step) => !step.looks).length, `it died ${deaths} times`)
  await becomes(cloud, 'survivor', 'ACTIVE')
  const floating = (await os('floating', 'ip', 'create', 'public')).floating_ip_address
  await cloud.client('openstack', 'server', 'add', 'floating', 'ip', 'survivor', floating)
  assert.equal(await new Guest(cloud, floating).answers(), 'survivor')
  assert.deepEqual(JSON.parse((await cloud.yun('doctor', 'leaks', '--json')).stdout).leaks, [])
})

test('delete-server, killed after each of its steps, arrives: nothing is left', async () => {
  const { id } = await os('server', 'show', 'survivor')
  const deaths = await killedUntilDone('delete-server', () => ask('DELETE', `/compute/v2.1/servers/${id}`))
  assert.ok(deaths >= deleteServer.steps.length, `it died ${deaths} times`)
  assert.deepEqual(
    (await os('server', 'list')).map((one: any) => one.Name),
    ['hello'],
  )
  const { leaks, examined } = JSON.parse((await cloud.yun('doctor', 'leaks', '--json')).stdout)
  assert.deepEqual(leaks, [])
  assert.equal(examined.domain, 1)
})
