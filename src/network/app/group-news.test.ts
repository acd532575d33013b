import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryBus } from '../../kernel/bus/memory.ts'
import { events } from '../rpc.ts'
import { GroupNews } from './group-news.ts'

const settled = () => new Promise((heard) => setImmediate(() => setImmediate(heard)))

/** A host that has group `a`, and control's process beside it. */
function scene(context: { mock: { timers: { enable(of: { apis: ['setTimeout'] }): void } } }) {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const bus = new MemoryBus()
  const heard: (string | undefined)[] = []
  bus.subscribe(events.groupMembersChanged, ({ joined }) => void heard.push(joined?.join(' ')), 'a')
  const news = new GroupNews(bus)
  return { bus, heard, news, stop: news.start() }
}

test('who comes first is told at once, who comes then together, and each group hears of its own', async (context) => {
  const { heard, news } = scene(context)
  news.changed(['a', 'b'], ['1'])
  for (const one of ['2', '3']) news.changed(['a'], [one])
  news.changed(['b'], ['4'])
  await settled()
  assert.deepEqual(heard, ['1'])
  context.mock.timers.tick(200)
  await settled()
  assert.deepEqual(heard, ['1', '2 3'])
  context.mock.timers.tick(400)
  news.changed(['a'], ['5'])
  await settled()
  assert.deepEqual(heard, ['1', '2 3', '5'])
})

test('that somebody left is told at once, and nobody who came before is told of after it', async (context) => {
  const { heard, news } = scene(context)
  news.changed(['a'], ['1'])
  news.changed(['a'], ['2'])
  news.changed(['a'])
  context.mock.timers.tick(1_000)
  await settled()
  assert.deepEqual(heard, ['1', undefined])
})

test('when another process says that somebody left, hosts are to ask who waits to be told of', async (context) => {
  const { bus, heard, news } = scene(context)
  const elsewhere = new GroupNews(bus)
  news.changed(['a'], ['1'])
  news.changed(['a'], ['2'])
  elsewhere.changed(['a'])
  await settled()
  news.changed(['a'], ['3'])
  context.mock.timers.tick(200)
  await settled()
  assert.deepEqual(heard, ['1', undefined, undefined])
  news.changed(['a'], ['4'])
  context.mock.timers.tick(200)
  await settled()
  assert.deepEqual(heard.slice(3), ['4'])
})

test('who waits is told of when the process stops', async (context) => {
  const { heard, news, stop } = scene(context)
  news.changed(['a'], ['1'])
  news.changed(['a'], ['2'])
  stop()
  await settled()
  assert.deepEqual(heard, ['1', '2'])
})
