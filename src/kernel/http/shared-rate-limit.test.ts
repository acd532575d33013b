import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { type Database, openDatabase } from '../db/database.ts'
import { onMariaDb, throughAnotherNode } from '../db/testing.ts'
import { silent } from '../log/log.ts'
import type { RateLimit } from './rate-limit.ts'
import { createRateBuckets, SharedRateLimiter } from './shared-rate-limit.ts'

const posts: RateLimit = { verb: 'POST', uri: '*servers*', regex: /\/servers/, value: 30, unit: 'HOUR' }
const all: RateLimit = { verb: 'POST', uri: '*', regex: /.*/, value: 1000, unit: 'DAY' }

onMariaDb((fresh) => {
  const opened: Database<any>[] = []
  after(async () => void (await Promise.all(opened.map((one) => one.close()))))
  /** Two processes on one database. */
  const pair = async (limits: RateLimit[]) => {
    const url = await fresh()
    const databases = await Promise.all(
      [url, throughAnotherNode(url)].map((one) => openDatabase<any>(one, { '001-rate-buckets': { up: createRateBuckets } })),
    )
    opened.push(...databases)
    await databases[0]!.migrate()
    return { databases, limiters: databases.map((database) => new SharedRateLimiter(limits, database, silent())) }
  }
  const storm = async (limiters: SharedRateLimiter[], count: number, user = 'u') => {
    const results = await Promise.allSettled(
      Array.from({ length: count }, (_, n) => limiters[n % limiters.length]!.take(user, 'POST', '/v2.1/servers')),
    )
    const refused = results.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
    for (const reason of refused) assert.deepEqual([reason.status, reason.code], [429, 'OverLimit'], reason.stack)
    return { done: count - refused.length, refused }
  }
  const pass = (database: Database<any>, seconds: number) =>
    sql`update rate_buckets set empty_at = empty_at - ${seconds * 1e6}`.execute(database.db)

  test('two processes let in as many as one would, then say how long to wait, then let in one as time passes', async () => {
    const { databases, limiters } = await pair([posts])
    const first = await limiters[0]!.take('u', 'POST', '/v2.1/servers')
    assert.deepEqual(first, { limit: posts, remaining: 29 })
    assert.equal((await limiters[1]!.take('u', 'POST', '/v2.1/servers'))!.remaining, 28)
    const { done, refused } = await storm(limiters, 60)
    assert.equal(done, 28)
    assert.ok(Number(refused[0].headers['Retry-After']) <= 120 && Number(refused[0].headers['Retry-After']) > 100)
    await pass(databases[1]!, 120)
    assert.equal((await storm(limiters, 10)).done, 1)
    await pass(databases[1]!, 90_000)
    assert.equal((await limiters[0]!.take('u', 'POST', '/v2.1/servers'))!.remaining, 29)
  })

  test('users, verbs and addresses count apart; of several limits the tightest is told', async () => {
    const { limiters } = await pair([all, posts])
    await storm(limiters, 40)
    assert.equal((await limiters[0]!.take('v', 'POST', '/servers'))!.limit, posts)
    assert.equal(await limiters[0]!.take('u', 'GET', '/servers'), null)
    assert.equal((await limiters[1]!.take('u', 'POST', '/images'))!.limit, all)
  })

  test('who cannot count lets in', async () => {
    const { databases, limiters } = await pair([posts])
    await sql`drop table rate_buckets`.execute(databases[0]!.db)
    assert.equal(await limiters[0]!.take('u', 'POST', '/servers'), null)
  })
})
