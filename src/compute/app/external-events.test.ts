import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExternalEvents } from './external-events.ts'

const LONG = 60_000

test('an event wakes who waits for its port, also who waits for several', async () => {
  const events = new ExternalEvents()
  const { signal } = new AbortController()
  const waiting = Promise.all([events.next(['a', 'b'], LONG, signal), events.next(['b'], LONG, signal)])
  events.seen('b')
  await waiting
})

test('one that came before anybody waited counts once', async () => {
  const events = new ExternalEvents()
  const patience = new AbortController()
  events.seen('a')
  await events.next(['a'], LONG, patience.signal)
  let woken = false
  const again = events.next(['a'], LONG, patience.signal).then(() => (woken = true))
  await new Promise(setImmediate)
  assert.equal(woken, false)
  patience.abort()
  await again
})
