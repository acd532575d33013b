import { createHash, randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { id, integer } from '../db/columns.ts'
import type { Database } from '../db/database.ts'
import type { Log } from '../log/log.ts'
import { type Limiter, overLimit, type RateDecision, type RateLimit, SECONDS } from './rate-limit.ts'

/** The table that {@link SharedRateLimiter} keeps its buckets in. */
export async function createRateBuckets(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('rate_buckets')
    .addColumn('bucket', id, (c) => c.primaryKey())
    // µs since 1970 by the database's clock: when the bucket would be empty
    .addColumn('empty_at', integer, (c) => c.notNull())
    // whose request was let in last
    .addColumn('taker', id, (c) => c.notNull())
    .execute()
}

const FORGET_EVERY_MS = 600_000

/** The leaky buckets of a RateLimiter for all processes that work on one MariaDB: one statement for each limit that a request is about. */
export class SharedRateLimiter implements Limiter {
  readonly limits: RateLimit[]
  private readonly database: Database<any>
  private readonly log: Log
  private forgotAt = Date.now()

  constructor(limits: RateLimit[], database: Database<any>, log: Log) {
    this.limits = limits
    this.database = database
    this.log = log
  }

  async take(user: string, verb: string, path: string): Promise<RateDecision | null> {
    let tightest: RateDecision | null = null
    for (const limit of this.limits) {
      if (limit.verb !== verb || !limit.regex.test(path)) continue
      const taken = await this.takeOne(user, limit)
      if (!taken) continue
      const [unit, cost] = [SECONDS[limit.unit], SECONDS[limit.unit] / limit.value]
      if (!taken.let) throw overLimit(limit, taken.filled + cost - unit)
      const remaining = Math.floor((unit - taken.filled) / cost + 1e-6)
      if (!tightest || remaining < tightest.remaining) tightest = { limit, remaining }
    }
    if (Date.now() > this.forgotAt + FORGET_EVERY_MS) this.forgetEmpty()
    return tightest
  }

  /** How full the bucket is now (s), and whether the request fits; null when nobody can count: then it is let in. */
  private async takeOne(user: string, limit: RateLimit): Promise<{ let: boolean; filled: number } | null> {
    const bucket = createHash('sha256').update(`${user} ${limit.verb} ${limit.uri}`).digest('base64url')
    const taker = randomUUID()
    const unit = SECONDS[limit.unit] * 1e6
    const cost = Math.max(1, Math.round(unit / limit.value))
    const now = sql`cast(unix_timestamp(now(6)) * 1000000 as signed)`
    try {
      // assignments go from left to right: the second sees what the first decided
      const { rows } = await sql<{ taker: string; filled: number }>`
        insert into rate_buckets (bucket, empty_at, taker) values (${bucket}, ${now} + ${cost}, ${taker})
        on duplicate key update
          taker = if(greatest(empty_at, ${now}) + ${cost} - ${now} <= ${unit}, ${taker}, taker),
          empty_at = if(taker = ${taker}, greatest(empty_at, ${now}) + ${cost}, empty_at)
        returning taker, empty_at - ${now} as filled`.execute(this.database.db)
      return { let: rows[0]!.taker === taker, filled: Number(rows[0]!.filled) / 1e6 }
    } catch (error) {
      this.log.warn({ err: error }, 'a request was not counted for its rate limit')
      return null
    }
  }

  private forgetEmpty(): void {
    this.forgotAt = Date.now()
    sql`delete from rate_buckets where empty_at < unix_timestamp(now(6)) * 1000000`
      .execute(this.database.db)
      .catch((error) => this.log.warn({ err: error }, 'empty rate buckets were not forgotten'))
  }
}
