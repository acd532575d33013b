import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { message } from '../kernel/bus/bus.ts'
import { busContract } from '../kernel/bus/contract-testing.ts'
import { connectRabbit } from '../kernel/bus/rabbitmq.ts'
import { type Brokers, startBrokers } from './brokers.ts'

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
