import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { message } from '../kernel/bus/bus.ts'
import { busContract } from '../kernel/bus/contract-testing.ts'
import { connectRabbit } from '../kernel/bus/rabbitmq.ts'
import { type Brokers, startBrokers } from './brokers.ts'
import { cut } from './cut-testing.ts'

const add = message<{ a: number; b: number }, number>('add')
let dir: string
let brokers: Brokers

before(async () => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
  dir = mkdtempSync(join(tmpdir(), 'brokers-'))
  brokers = await startBrokers({ dir: join(dir, 'rabbitmq'), count: 3, address: '127.0.0.1' })
})
after(async () => {
  await brokers?.stop()
  rmSync(dir, { recursive: true, force: true })
})

const join_ = (urls = brokers.urls) => connectRabbit(urls, () => {}, 3_000)

describe('RabbitMQ', () =>
  busContract(async () => {
    const [near, far] = await Promise.all([join_(), join_()])
    return { near: near!, far: far!, close: async () => void (await Promise.all([near!.close(), far!.close()])) }
  }))

test('nobody listens there: it says so', async () => {
  await assert.rejects(
    connectRabbit(['amqp://127.0.0.1:9/'], () => {}, 500),
    { status: 503, code: 'BusUnreachable' },
  )
})

test('several receivers share a topic; the work of one that leaves is done by the other', async () => {
  const [asker, one, two] = await Promise.all([join_(), join_(), join_()])
  const did = { one: 0, two: 0 }
  one!.serve('shared', add, ({ a, b }) => {
    did.one++
    return a + b
  })
  two!.serve('shared', add, ({ a, b }) => {
    did.two++
    return a + b
  })
  await Promise.all(Array.from({ length: 50 }, (_, a) => asker!.call('shared', add, { a, b: 0 })))
  assert.ok(did.one > 0 && did.two > 0, JSON.stringify(did))
  await two!.close()
  assert.equal(await asker!.call('shared', add, { a: 1, b: 1 }), 2)
  await Promise.all([asker!.close(), one!.close()])
})

test('what was given to a receiver whose network is cut goes to another before a caller has to ask again, and it comes back', {
  timeout: 60_000,
}, async (t) => {
  const [asker, near, cutOff] = await Promise.all([join_(), join_(), join_()])
  t.after(() => Promise.all([asker!.close(), near!.close(), cutOff!.close()]))
  const did = { near: 0, cutOff: 0 }
  near!.serve('cut', add, ({ a, b }) => {
    did.near++
    return a + b
  })
  cutOff!.serve('cut', add, ({ a, b }) => {
    did.cutOff++
    return a + b
  })
  const both = async () => {
    const before = { ...did }
    while (did.near === before.near || did.cutOff === before.cutOff) assert.equal(await asker!.call('cut', add, { a: 1, b: 1 }), 2)
  }
  await both()
  const { localPort } = (cutOff as unknown as { connection: { _socket: Socket } }).connection._socket
  const network = await cut(localPort!)
  t.after(network.heal)
  const asked = performance.now()
  const took = await Promise.all(
    Array.from({ length: 20 }, async (_, a) => {
      assert.equal(await asker!.call('cut', add, { a, b: 1 }), a + 1)
      return performance.now() - asked
    }),
  )
  t.diagnostic(`all answered after ${Math.max(...took).toFixed(0)} ms`)
  assert.ok(Math.max(...took) < 5_000)
  await network.heal()
  await both()
})

test('a broker node that is killed costs time and no message', async (t) => {
  const order = (first: number) => [...brokers.urls.slice(first), ...brokers.urls.slice(0, first)]
  const [near, far] = await Promise.all([join_(order(1)), join_(order(2))])
  t.after(() => Promise.all([near!.close(), far!.close()]))
  far!.serve('steady', add, ({ a, b }) => a + b)
  assert.equal(await near!.call('steady', add, { a: 1, b: 1 }), 2)
  const stats = await near!.stats()
  assert.deepEqual(
    stats.nodes.map(({ state }) => state),
    ['answers', 'answers', 'answers'],
  )
  const victim = 2 // the one that the caller uses
  const started = performance.now()
  let answered = 0
  let slowest = 0
  const stream = Array.from({ length: 100 }, async (_, a) => {
    await new Promise((resolve) => setTimeout(resolve, a * 20))
    const asked = performance.now()
    assert.equal(await near!.call('steady', add, { a, b: 1 }, { timeoutMs: 30_000 }), a + 1)
    slowest = Math.max(slowest, performance.now() - asked)
    answered++
  })
  setTimeout(() => brokers.kill(victim), 500)
  await Promise.all(stream)
  assert.equal(answered, 100)
  t.diagnostic(
    `node ${victim} killed: all 100 answered, the slowest after ${slowest.toFixed(0)} ms; ${(performance.now() - started).toFixed(0)} ms in all`,
  )
  await brokers.start(victim)
  assert.equal(await near!.call('steady', add, { a: 2, b: 2 }), 4)
})

/** Stands before a broker; from `deafen` on the connections that stand hear nothing but heartbeats. */
async function startMuffle(url: string): Promise<{ url: string; deafen(): void; stop(): void }> {
  const HEARTBEAT = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce])
  const standing = new Set<{ near: Socket; deaf: boolean }>()
  const server = createServer((near) => {
    const far = connect(Number(new URL(url).port), new URL(url).hostname)
    const one = { near, deaf: false }
    standing.add(one)
    near.on('data', (data) => far.write(data)).on('error', () => {})
    far.on('data', (data) => one.deaf || near.write(data)).on('error', () => {})
    near.once('close', () => far.destroy() && standing.delete(one))
    far.once('close', () => near.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const beat = setInterval(() => {
    for (const { near, deaf } of standing) if (deaf) near.write(HEARTBEAT)
  }, 500)
  const through = new URL(url)
  through.port = String((server.address() as AddressInfo).port)
  return {
    url: through.href,
    deafen() {
      for (const one of standing) one.deaf = true
    },
    stop() {
      clearInterval(beat)
      for (const { near } of standing) near.destroy()
      server.close()
    },
  }
}

test('a broker that keeps a connection and answers nothing on it is left', { timeout: 60_000 }, async (t) => {
  const muffle = await startMuffle(brokers.urls[0]!)
  const [far, near] = await Promise.all([join_([muffle.url]), join_()])
  t.after(async () => {
    await Promise.all([far!.close(), near!.close()])
    muffle.stop()
  })
  far!.serve('deaf', add, ({ a, b }) => a + b)
  assert.equal(await near!.call('deaf', add, { a: 1, b: 1 }), 2)
  muffle.deafen()
  const asked = performance.now()
  assert.equal(await near!.call('deaf', add, { a: 2, b: 2 }, { timeoutMs: 50_000 }), 4)
  t.diagnostic(`answered after ${(performance.now() - asked).toFixed(0)} ms`)
})

test('a node that dies while it makes queues: all of them are served, those as well that it left half-made', {
  timeout: 180_000,
}, async (t) => {
  const [maker, asker] = await Promise.all([join_(), join_([...brokers.urls.slice(1), brokers.urls[0]!])])
  t.after(() => Promise.all([maker!.close(), asker!.close()]))
  const topics = Array.from({ length: 30 }, (_, i) => `half-made ${i}`)
  for (const topic of topics) maker!.serve(topic, add, ({ a, b }) => a + b)
  await Promise.any(topics.map((topic) => asker!.call(topic, add, { a: 1, b: 1 }))) // the first of them is made
  brokers.kill(1)
  const restarted = brokers.start(1)
  const asked = performance.now()
  const served = async (topic: string) => {
    for (;;)
      try {
        assert.equal(await asker!.call(topic, add, { a: 1, b: 1 }, { timeoutMs: 30_000 }), 2)
        return performance.now() - asked
      } catch (error) {
        if (performance.now() - asked > 120_000) throw error
      }
  }
  const after = await Promise.all(topics.map(served))
  t.diagnostic(
    `served after ${Math.max(...after).toFixed(0)} ms at most, ${after.filter((ms) => ms > 10_000).length} after more than ten seconds`,
  )
  await restarted
})

test('nodes that are killed one after the other, each as soon as the one before is back: no call waits for a broker’s own patience', async (t) => {
  const buses = await Promise.all([0, 1, 2].map((first) => join_([...brokers.urls.slice(first), ...brokers.urls.slice(0, first)])))
  t.after(() => Promise.all(buses.map((bus) => bus!.close())))
  for (const [i, bus] of buses.entries()) bus!.serve(`rolling ${i}`, add, ({ a, b }) => a + b)
  let over = false
  let slowest = 0
  let answered = 0
  const asks = async (from: number, to: number) => {
    for (let a = 0; !over; a++) {
      const asked = performance.now()
      // RabbitMQ itself sends again after ten seconds what a queue lost while its leader changed
      assert.equal(await buses[from]!.call(`rolling ${to}`, add, { a, b: 1 }, { timeoutMs: 9_500 }), a + 1)
      slowest = Math.max(slowest, performance.now() - asked)
      answered++
    }
  }
  const asking = Promise.all([0, 1, 2].flatMap((from) => [0, 1, 2].filter((to) => to !== from).map((to) => asks(from, to))))
  const killing = async () => {
    for (const node of [1, 2, 3]) {
      const before = answered
      brokers.kill(node)
      await brokers.start(node)
      assert.ok(answered > before)
    }
    over = true
  }
  await Promise.all([asking, killing()])
  t.diagnostic(`${answered} calls answered, the slowest after ${slowest.toFixed(0)} ms`)
})
