import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { conflict } from '../errors/errors.ts'
import { collecting, noteCommand } from '../trace/trace.ts'
import { type Bus, message } from './bus.ts'

const add = message<{ a: number; b: number }, number>('add')
const happened = message<{ what: string }, void>('happened')

/** A bus as two processes see it: what one does the other must notice. */
export interface Ends {
  near: Bus
  far: Bus
  close(): Promise<void>
}

let topics = 0

/** What every bus keeps. `open` makes the two ends anew; a bus of one process gives the same twice. */
export function busContract(open: () => Promise<Ends>): void {
  let ends: Promise<Ends> | undefined
  const both = () => (ends ??= open())
  const fresh = () => `maths-${process.pid}-${++topics}.control`
  after(async () => (await ends)?.close())

  test('a call is answered, and a fault keeps its status, code and words', async () => {
    const { near, far } = await both()
    const topic = fresh()
    far.serve(topic, add, ({ a, b }) => {
      if (b < 0) throw conflict('b is negative', 'Negative', { b })
      return a + b
    })
    assert.equal(await near.call(topic, add, { a: 1, b: 2 }), 3)
    await assert.rejects(near.call(topic, add, { a: 1, b: -2 }), {
      status: 409,
      code: 'Negative',
      message: 'b is negative',
      details: { b: -2 },
    })
  })

  test('both ends may ask', async () => {
    const { near, far } = await both()
    const topic = fresh()
    near.serve(topic, add, ({ a, b }) => a * b)
    assert.equal(await far.call(topic, add, { a: 3, b: 2 }), 6)
  })

  test('the same key is done once; after a failure it may be tried again', async () => {
    const { near, far } = await both()
    const topic = fresh()
    let runs = 0
    far.serve(topic, add, ({ a, b }) => {
      if (++runs === 1) throw conflict('not yet')
      return a + b + runs
    })
    const ask = () => near.call(topic, add, { a: 1, b: 1 }, { key: 'k' })
    await assert.rejects(ask())
    assert.deepEqual(await Promise.all([ask(), ask()]), [4, 4])
  })

  test('nobody there and no answer in time say so', async () => {
    const { near, far } = await both()
    const topic = fresh()
    await assert.rejects(near.call(topic, add, { a: 1, b: 1 }), { status: 503, code: 'NoReceiver' })
    far.serve(topic, add, () => new Promise<number>(() => {}))
    await assert.rejects(near.call(topic, add, { a: 1, b: 1 }, { timeoutMs: 600 }), { status: 504, code: 'MessagingTimeout' })
  })

  test('a receiver may leave', async () => {
    const { near, far } = await both()
    const topic = fresh()
    const leave = far.serve(topic, add, ({ a, b }) => a + b)
    assert.equal(await near.call(topic, add, { a: 1, b: 1 }), 2)
    leave()
    // a broker that saw it a moment ago may still take the message, which then goes as unread as it came
    const code = await near.call(topic, add, { a: 1, b: 1 }, { timeoutMs: 1_000 }).then(String, (error) => error.code)
    assert.ok(['NoReceiver', 'MessagingTimeout'].includes(code), code)
  })

  test('what is cast arrives, with the request it belongs to', async () => {
    const { near, far } = await both()
    const topic = fresh()
    const arrived = new Promise((resolve) =>
      far.serve(topic, add, ({ a, b }, { requestId }) => {
        resolve([a, b, requestId])
        return 0
      }),
    )
    await near.cast(topic, add, { a: 1, b: 2 }, { requestId: 'req-1' })
    assert.deepEqual(await arrived, [1, 2, 'req-1'])
  })

  test('sender and receiver share nothing', async () => {
    const { near, far } = await both()
    const topic = fresh()
    const payload = { a: 1, b: 1 }
    far.serve(topic, add, (got) => {
      got.a = 99
      return got.a
    })
    await near.call(topic, add, payload)
    assert.equal(payload.a, 1)
  })

  test('what the receiver did to the world is evidence of the sender’s step', async () => {
    const { near, far } = await both()
    const topic = fresh()
    far.serve(topic, add, ({ a, b }) => {
      noteCommand({ what: 'ip link add', ms: 1 })
      return a + b
    })
    const { commands } = await collecting(() => near.call(topic, add, { a: 1, b: 1 }))
    assert.deepEqual(
      commands.map(({ what }) => what),
      ['ip link add'],
    )
  })

  test('an event reaches all who subscribed and nobody who left', async () => {
    const { near, far } = await both()
    const heard: string[] = []
    const all = Promise.all(
      [near, far].map(
        (bus, i) =>
          new Promise<void>((resolve) =>
            bus.subscribe(happened, ({ what }) => {
              if (what === 'try') return resolve()
              heard.push(`${i} ${what}`)
            }),
          ),
      ),
    )
    far.subscribe(happened, ({ what }) => void heard.push(`gone ${what}`))()
    const knocking = setInterval(() => near.publish(happened, { what: 'try' }), 10) // a subscription takes its way
    await all
    clearInterval(knocking)
    near.publish(happened, { what: 'x' })
    far.publish(happened, { what: 'y' })
    const end = Date.now() + 10_000
    while (heard.length < 4 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepEqual(heard.filter((one) => !one.includes('try')).sort(), ['0 x', '0 y', '1 x', '1 y'])
  })

  test('who hears of one thing hears of no other; who hears of all hears once; what is asked after a subscription finds it counting', async () => {
    const { near, far } = await both()
    const topic = fresh()
    const [mine, other] = [`${topic}-mine`, `${topic}-other`]
    const heard: string[] = []
    const hears = (who: string) => (payload: { what: string }) =>
      void (payload.what.startsWith(topic) && heard.push(`${who} ${payload.what}`))
    near.serve(topic, add, ({ a, b }) => {
      near.publish(happened, { what: `${topic} early` }, [mine])
      return a + b
    })
    far.subscribe(happened, hears('mine'), mine)
    far.subscribe(happened, hears('all'))
    const stop = far.subscribe(happened, hears('gone'), mine)
    await far.call(topic, add, { a: 1, b: 1 })
    const soon = async (count: number) => {
      const end = Date.now() + 10_000
      while (heard.length < count && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await soon(3)
    stop()
    await far.call(topic, add, { a: 1, b: 1 })
    await soon(5)
    near.publish(happened, { what: `${topic} other` }, [other])
    near.publish(happened, { what: `${topic} both` }, [other, mine])
    near.publish(happened, { what: `${topic} none` })
    await soon(9)
    const say = (who: string, ...what: string[]) => what.map((one) => `${who} ${topic} ${one}`)
    const expected = [
      ...say('mine', 'early', 'early', 'both'),
      ...say('all', 'early', 'early', 'other', 'both', 'none'),
      ...say('gone', 'early'),
    ]
    assert.deepEqual(heard.sort(), expected.sort())
  })

  test('two hundred calls at once are all answered', async () => {
    const { near, far } = await both()
    const topic = fresh()
    far.serve(topic, add, ({ a, b }) => a + b)
    const answers = await Promise.all(Array.from({ length: 200 }, (_, a) => near.call(topic, add, { a, b: 1 })))
    assert.deepEqual(
      answers,
      Array.from({ length: 200 }, (_, a) => a + 1),
    )
  })
}
