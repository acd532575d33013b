import { Fault } from '../errors/errors.ts'

/** At most `value` requests of `verb` to addresses that match `regex`, per user, in a sliding `unit`. */
export interface RateLimit {
  verb: string
  /** As shown to the user, e.g. `*servers*`. */
  uri: string
  regex: RegExp
  value: number
  unit: 'SECOND' | 'MINUTE' | 'HOUR' | 'DAY'
}

export interface RateDecision {
  limit: RateLimit
  remaining: number
}

/** Whoever counts requests: {@link RateLimiter} in the memory of one process, {@link SharedRateLimiter} for several. */
export interface Limiter {
  readonly limits: RateLimit[]
  /**
   * Counts one request; answers the tightest limit that is about it.
   * @throws Fault 429 with Retry-After (s) when a bucket is full
   */
  take(user: string, verb: string, path: string): RateDecision | null | Promise<RateDecision | null>
}

export const SECONDS = { SECOND: 1, MINUTE: 60, HOUR: 3600, DAY: 86_400 }

/** Leaky buckets, one for each user and limit: the time at which the bucket would be empty is all that is kept. */
export class RateLimiter implements Limiter {
  readonly limits: RateLimit[]
  private readonly emptyAt = new Map<string, number>()
  private readonly clock: () => number

  constructor(limits: RateLimit[], clock: () => number = () => performance.now() / 1000) {
    this.limits = limits
    this.clock = clock
  }

  /**
   * Counts one request.
   * @throws Fault 429 with Retry-After (s) when the bucket is full
   */
  take(user: string, verb: string, path: string): RateDecision | null {
    let tightest: RateDecision | null = null
    for (const limit of this.limits) {
      if (limit.verb !== verb || !limit.regex.test(path)) continue
      const at = this.clock()
      const cost = SECONDS[limit.unit] / limit.value
      const key = `${user} ${limit.verb} ${limit.uri}`
      const empty = Math.max(at, this.emptyAt.get(key) ?? 0) + cost
      const wait = empty - at - SECONDS[limit.unit]
      if (wait > 1e-9) throw overLimit(limit, wait)
      this.emptyAt.set(key, empty)
      const remaining = Math.floor((SECONDS[limit.unit] - (empty - at)) / cost + 1e-9)
      if (!tightest || remaining < tightest.remaining) tightest = { limit, remaining }
    }
    if (this.emptyAt.size > 100_000) this.forgetEmpty()
    return tightest
  }

  private forgetEmpty(): void {
    const at = this.clock()
    for (const [key, empty] of this.emptyAt) if (empty <= at) this.emptyAt.delete(key)
  }
}

export function overLimit(limit: RateLimit, waitSeconds: number): Fault {
  const wait = Math.max(1, Math.ceil(waitSeconds))
  return new Fault(
    429,
    'OverLimit',
    `Only ${limit.value} ${limit.verb} request(s) can be made to ${limit.uri} every ${limit.unit.toLowerCase()}. Retry after ${wait} s.`,
    { headers: { 'Retry-After': String(wait) } },
  )
}
