import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { unauthorized } from '../errors/errors.ts'
import { takeUpgrades } from '../http/upgrades.ts'
import { silent } from '../log/log.ts'
import { type Bus, message } from './bus.ts'
import { busContract } from './contract-testing.ts'
import type { Leave } from './hub.ts'
import { MemoryBus } from './memory.ts'
import { BUS_PATH, BusDoor, connectHub } from './socket.ts'

const add = message<{ a: number; b: number }, number>('add')
const happened = message<{ what: string }, void>('happened')
const ALL: Leave = { serve: () => true, call: () => true, publish: () => true }

interface Hub {
  bus: MemoryBus
  url: string
  close(): Promise<void>
}

async function hub({ patienceMs = 0, leave = ALL, port = 0 } = {}): Promise<Hub> {
  const bus = new MemoryBus(() => {}, { patienceMs })
  const door = new BusDoor(bus, async (request) => {
    if (request.headers.authorization !== 'Bearer right') throw unauthorized()
    return leave
  })
  const server: Server = createServer()
  takeUpgrades(server, { [BUS_PATH]: (...at) => door.upgrade(...at) })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    bus,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      door.close()
      await new Promise((resolve) => server.close(resolve))
      await bus.close()
    },
  }
}

const join = (url: string, token = 'right'): Promise<Bus> =>
  connectHub({ url, headers: { authorization: `Bearer ${token}` } }, silent(), () => {}, 5_000)

describe('the hub and a process that joined', () =>
  busContract(async () => {
    const one = await hub({ patienceMs: 300 })
    const far = await join(one.url)
    return { near: one.bus, far, close: async () => void (await Promise.all([far.close(), one.close()])) }
  }))

describe('two processes that joined', () =>
  busContract(async () => {
    const one = await hub({ patienceMs: 300 })
    const [near, far] = await Promise.all([join(one.url), join(one.url)])
    return { near: near!, far: far!, close: async () => void (await Promise.all([near!.close(), far!.close(), one.close()])) }
  }))

test('who does not belong here stays outside', async () => {
  const one = await hub()
  await assert.rejects(join(one.url, 'wrong'), { status: 503, code: 'BusUnreachable', message: /401/ })
  await one.close()
})

test('a process that joined may only do what it has leave to', async () => {
  const leave = { serve: (topic: string) => topic === 'mine', call: () => false, publish: () => false }
  const one = await hub({ leave, patienceMs: 300 })
  const far = await join(one.url)
  one.bus.serve('control', add, () => 1)
  let heard = 0
  one.bus.subscribe(happened, () => heard++)
  far.serve('theirs', add, () => 2)
  far.serve('mine', add, () => 3)
  far.publish(happened, { what: 'x' })
  await assert.rejects(far.call('control', add, { a: 1, b: 1 }, { timeoutMs: 200 }), { code: 'Forbidden' })
  assert.equal(await one.bus.call('mine', add, { a: 1, b: 1 }), 3)
  await assert.rejects(one.bus.call('theirs', add, { a: 1, b: 1 }), { code: 'NoReceiver' })
  assert.equal(heard, 0)
  await Promise.all([far.close(), one.close()])
})

test('a hub that was restarted has its processes back; what they asked meanwhile is answered, and what was asked of them too', async () => {
  const first = await hub({ patienceMs: 10_000 })
  const port = Number(new URL(first.url).port)
  const far = await join(first.url)
  far.serve('far', add, ({ a, b }) => a + b)
  assert.equal(await first.bus.call('far', add, { a: 1, b: 1 }), 2)
  await first.close()
  const asked = far.call('near', add, { a: 2, b: 2 })
  const second = await hub({ patienceMs: 10_000, port })
  second.bus.serve('near', add, ({ a, b }) => a * b)
  assert.equal(await asked, 4)
  assert.equal(await second.bus.call('far', add, { a: 1, b: 5 }), 6)
  await Promise.all([far.close(), second.close()])
})
