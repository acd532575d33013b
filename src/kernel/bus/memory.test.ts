import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { message } from './bus.ts'
import { busContract } from './contract-testing.ts'
import { MemoryBus } from './memory.ts'

const add = message<{ a: number; b: number }, number>('add')

describe('in memory', () =>
  busContract(async () => {
    const bus = new MemoryBus()
    return { near: bus, far: bus, close: () => bus.close() }
  }))

test('a bus with patience waits for a receiver that is being started', async () => {
  const bus = new MemoryBus(() => {}, { patienceMs: 10_000 })
  const asked = bus.call('maths', add, { a: 1, b: 2 })
  bus.serve('maths', add, ({ a, b }) => a + b)
  assert.equal(await asked, 3)
})

test('and not for ever', async () => {
  const bus = new MemoryBus(() => {}, { patienceMs: 10 })
  await assert.rejects(bus.call('maths', add, { a: 1, b: 2 }), { code: 'NoReceiver' })
})

test('nor after it was closed', async () => {
  const bus = new MemoryBus(() => {}, { patienceMs: 600_000 })
  const asked = bus.call('maths', add, { a: 1, b: 2 })
  await bus.close()
  await assert.rejects(asked, { code: 'NoReceiver' })
  await assert.rejects(bus.call('maths', add, { a: 1, b: 2 }), { code: 'NoReceiver' })
})
