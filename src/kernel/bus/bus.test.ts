import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conflict } from '../errors/errors.ts'
import { MemoryBus, message } from './bus.ts'

const add = message<{ a: number; b: number }, number>('add')
const happened = message<{ what: string }, void>('happened')

test('a call is answered, and a fault keeps its status, code and words', async () => {
  const bus = new MemoryBus()
  bus.serve('maths', add, ({ a, b }) => {
    if (b < 0) throw conflict('b is negative', 'Negative')
    return a + b
  })
  assert.equal(await bus.call('maths', add, { a: 1, b: 2 }), 3)
  await assert.rejects(bus.call('maths', add, { a: 1, b: -2 }), { status: 409, code: 'Negative', message: 'b is negative' })
})

test('the same key is done once; after a failure it may be tried again', async () => {
  const bus = new MemoryBus()
  let runs = 0
  bus.serve('maths', add, ({ a, b }) => {
    if (++runs === 1) throw conflict('not yet')
    return a + b + runs
  })
  await assert.rejects(bus.call('maths', add, { a: 1, b: 1 }, { key: 'k' }))
  assert.deepEqual(
    await Promise.all([bus.call('maths', add, { a: 1, b: 1 }, { key: 'k' }), bus.call('maths', add, { a: 1, b: 1 }, { key: 'k' })]),
    [4, 4],
  )
})

test('nobody there and no answer in time say so', async () => {
  const bus = new MemoryBus()
  await assert.rejects(bus.call('maths', add, { a: 1, b: 1 }), { status: 503, code: 'NoReceiver' })
  bus.serve('maths', add, () => new Promise<number>(() => {}))
  await assert.rejects(bus.call('maths', add, { a: 1, b: 1 }, { timeoutMs: 5 }), { status: 504, code: 'MessagingTimeout' })
})

test('sender and receiver share nothing', async () => {
  const bus = new MemoryBus()
  const payload = { a: 1, b: 1 }
  bus.serve('maths', add, (got) => {
    got.a = 99
    return got.a
  })
  await bus.call('maths', add, payload)
  assert.equal(payload.a, 1)
})

test('an event reaches all who subscribed and nobody who left', async () => {
  const bus = new MemoryBus()
  const heard: string[] = []
  const done = new Promise<void>((resolve) =>
    bus.subscribe(happened, ({ what }) => {
      heard.push(`a ${what}`)
      resolve()
    }),
  )
  bus.subscribe(happened, ({ what }) => void heard.push(`b ${what}`))()
  bus.publish(happened, { what: 'x' })
  await done
  assert.deepEqual(heard, ['a x'])
})
