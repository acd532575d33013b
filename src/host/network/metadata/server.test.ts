import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { MemoryBus } from '../../../kernel/bus/memory.ts'
import { silent } from '../../../kernel/log/log.ts'
import { onStep, type StepRecord } from '../../../kernel/trace/trace.ts'
import { control, NETWORK_CONTROL } from '../../../network/rpc.ts'
import { type MetadataRequest, MetadataServer } from './server.ts'
import { isSignedBy } from './signature.ts'

const ROUTER = '22222222-aaaa-4bbb-8ccc-000000000001'
const SECRET = 'between the two of us'

async function serving(
  body: (lab: {
    ask: (
      path: string,
      headers: Record<string, string | string[]>,
      options?: { method?: string; body?: string },
    ) => Promise<{ status: number; text: string }>
    seen: MetadataRequest[]
    server: MetadataServer
    socket: string
  }) => Promise<void>,
) {
  const folder = mkdtempSync(join(tmpdir(), 'metadata-'))
  const socket = join(folder, 'metadata.sock')
  const bus = new MemoryBus()
  bus.serve(NETWORK_CONTROL, control.portByAddress, ({ address, routerId }) =>
    address === '10.1.0.11' && routerId === ROUTER ? { portId: 'p', instanceId: 'i-1', projectId: 't-1' } : null,
  )
  const seen: MetadataRequest[] = []
  const server = new MetadataServer({
    bus,
    log: silent(),
    secret: SECRET,
    socket,
    api: async (asked) => {
      seen.push(asked)
      if (asked.path === '/broken') throw new Error('the database is on fire, password hunter2')
      return { status: asked.path === '/none' ? 404 : 200, headers: { 'content-type': 'application/json' }, body: '{"uuid":"i-1"}' }
    },
  })
  await server.listen()
  const ask = (path: string, headers: Record<string, string | string[]>, options: { method?: string; body?: string } = {}) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const sent = request({ socketPath: socket, path, headers, method: options.method ?? 'GET' }, (response) => {
        let text = ''
        response.on('data', (chunk) => (text += chunk)).on('end', () => resolve({ status: response.statusCode!, text }))
      })
      sent.on('error', reject).end(options.body)
    })
  try {
    await body({ ask, seen, server, socket })
  } finally {
    await server.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const proxied = { 'X-Forwarded-For': '10.1.0.11', 'X-Neutron-Router-ID': ROUTER }

test('the instance is found by its address behind the router and vouched for', () =>
  serving(async ({ ask, seen }) => {
    assert.deepEqual(
      await ask('/openstack/latest/meta_data.json?x=1', {
        ...proxied,
        'X-Instance-ID': 'i-9',
        'X-Instance-ID-Signature': 'f00',
        'X-Tenant-ID': 't-9',
        'X-Auth-Token': 'of another',
        'X-Forwarded-Host': 'elsewhere',
        Forwarded: 'for=10.9.9.9',
        'User-Agent': 'Cloud-Init',
      }),
      { status: 200, text: '{"uuid":"i-1"}' },
    )
    const { headers, path, method } = seen[0]!
    assert.deepEqual([method, path], ['GET', '/openstack/latest/meta_data.json?x=1'])
    assert.deepEqual(
      [headers['x-instance-id'], headers['x-tenant-id'], headers['x-forwarded-for'], headers['user-agent']],
      ['i-1', 't-1', '10.1.0.11', 'Cloud-Init'],
    )
    const own = ['x-forwarded-for', 'x-instance-id', 'x-instance-id-signature', 'x-tenant-id']
    assert.deepEqual(Object.keys(headers).sort(), ['user-agent', ...own], 'nothing else that a guest sends is passed on')
    assert.ok(isSignedBy(SECRET, 'i-1', headers['x-instance-id-signature']!))
    assert.ok(!isSignedBy('another secret', 'i-1', headers['x-instance-id-signature']!))
  }))

test('step 39 is lit once, by the answer that holds the key', () =>
  serving(async ({ ask }) => {
    const steps: StepRecord[] = []
    const off = onStep((step) => steps.push(step))
    for (const path of ['/openstack', '/openstack/latest/meta_data.json', '/latest/meta-data/public-keys/0/openssh-key'])
      await ask(path, proxied)
    off()
    assert.deepEqual(
      steps.map(({ subject, step, name, outcome }) => [subject, step, name, outcome]),
      [['server:i-1', 39, 'metadata', 'done']],
    )
    assert.match(steps[0]!.evidence.text, /meta_data\.json from 10\.1\.0\.11/)
  }))

test('a request that no proxy can have made is refused and goes no further', () =>
  serving(async ({ ask, seen }) => {
    const wrong: Record<string, string | string[]>[] = [
      {},
      { 'X-Forwarded-For': '10.1.0.11' },
      { 'X-Neutron-Router-ID': ROUTER },
      { ...proxied, 'X-Neutron-Network-ID': 'n' },
      { ...proxied, 'X-Forwarded-For': '10.9.9.9, 10.1.0.11' },
      { ...proxied, 'X-Forwarded-For': ['10.1.0.12', '10.1.0.11'] },
      { ...proxied, 'X-Forwarded-For': 'localhost' },
    ]
    for (const headers of wrong) assert.equal((await ask('/openstack', headers)).status, 400, JSON.stringify(headers))
    assert.equal((await ask('/openstack', { ...proxied, 'X-Forwarded-For': '10.1.0.77' })).status, 404, 'an address that nobody has')
    assert.equal(
      (await ask('/openstack', { ...proxied, 'X-Neutron-Router-ID': 'another' })).status,
      404,
      'the same address behind another router',
    )
    assert.equal(seen.length, 0)
  }))

test('what compute answers comes through; what breaks is not told to the guest', () =>
  serving(async ({ ask, server }) => {
    assert.equal((await ask('/none', proxied)).status, 404)
    const { status, text } = await ask('/broken', proxied)
    assert.equal(status, 500)
    assert.doesNotMatch(text, /hunter2/)
    assert.equal((await ask('/openstack/latest/password', proxied, { method: 'POST', body: 'x'.repeat(70_000) })).status, 413)
    assert.equal((await ask('/openstack/latest/password', proxied, { method: 'POST', body: 'abc' })).status, 200)
    assert.deepEqual(
      server.requests().map((each) => [each.status, each.instanceId]),
      [
        [404, 'i-1'],
        [500, 'i-1'],
        [413, 'i-1'],
        [200, 'i-1'],
      ],
    )
  }))

test('a socket left behind is taken over, one in use is not', () =>
  serving(async ({ socket, server }) => {
    const second = new MetadataServer({
      bus: new MemoryBus(),
      log: silent(),
      secret: SECRET,
      socket,
      api: async () => ({ status: 200, headers: {}, body: '' }),
    })
    await assert.rejects(second.listen(), { status: 409 })
    assert.equal(server.requests().length, 0)
  }))
