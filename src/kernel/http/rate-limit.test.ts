import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RateLimit, RateLimiter } from './rate-limit.ts'

const posts: RateLimit = { verb: 'POST', uri: '*servers*', regex: /\/servers/, value: 3, unit: 'MINUTE' }
const all: RateLimit = { verb: 'POST', uri: '*', regex: /.*/, value: 10, unit: 'MINUTE' }

function limiter(limits: RateLimit[]) {
  const clock = { at: 1000 }
  return { clock, limiter: new RateLimiter(limits, () => clock.at) }
}

test('as many as the limit at once, then 429 with the seconds to wait, then one as time passes', () => {
  const { clock, limiter: limits } = limiter([posts])
  assert.deepEqual(
    [1, 2, 3].map(() => limits.take('u', 'POST', '/v2.1/servers')!.remaining),
    [2, 1, 0],
  )
  assert.throws(() => limits.take('u', 'POST', '/v2.1/servers'), { status: 429, code: 'OverLimit', headers: { 'Retry-After': '20' } })
  clock.at += 19
  assert.throws(() => limits.take('u', 'POST', '/v2.1/servers'), { headers: { 'Retry-After': '1' } })
  clock.at += 1
  assert.equal(limits.take('u', 'POST', '/v2.1/servers')!.remaining, 0)
  clock.at += 3600
  assert.equal(limits.take('u', 'POST', '/v2.1/servers')!.remaining, 2)
})

test('users, verbs and addresses count apart', () => {
  const { limiter: limits } = limiter([posts])
  for (let i = 0; i < 3; i++) limits.take('u', 'POST', '/servers')
  assert.equal(limits.take('v', 'POST', '/servers')!.remaining, 2)
  assert.equal(limits.take('u', 'GET', '/servers'), null)
  assert.equal(limits.take('u', 'POST', '/images'), null)
})

test('of several limits the tightest is told', () => {
  const { limiter: limits } = limiter([all, posts])
  assert.equal(limits.take('u', 'POST', '/servers')!.limit, posts)
  assert.equal(limits.take('u', 'POST', '/images')!.limit, all)
})

test('a refused request uses nothing up of the limit that refused it', () => {
  const { clock, limiter: limits } = limiter([posts])
  for (let i = 0; i < 3; i++) limits.take('u', 'POST', '/servers')
  for (let i = 0; i < 50; i++) assert.throws(() => limits.take('u', 'POST', '/servers'), { status: 429 })
  clock.at += 20
  limits.take('u', 'POST', '/servers')
})
