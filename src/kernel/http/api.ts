import type { Fault } from '../errors/errors.ts'
import type { Decision, Policy } from '../policy/policy.ts'
import type { Microversions } from './microversion.ts'
import type { Limiter, RateDecision } from './rate-limit.ts'
import type { Route } from './route.ts'

/** One service's API at one prefix. */
export interface Api {
  /** compute, network, ... */
  name: string
  /** `/compute/v2.1`: what the catalog names. */
  prefix: string
  /** The prefix that says the same in newer words: this one is for older clients, and no document lists it. */
  alias?: string
  /** Routes also answer below `<prefix>/<project id>`, as older clients write them. */
  projectInPath?: boolean
  /** An address that ends in a slash, as one does whose id is empty, is unknown here instead of that of the collection. */
  strictSlashes?: boolean
  microversions?: Microversions
  routes: Route[]
  policy: Policy
  limiter?: Limiter
  /** The fault body of this service. */
  fault: (fault: Fault, requestId: string) => unknown
  /** Bytes of JSON accepted (default 112 KiB, as in compute); more is 413. */
  bodyLimit?: number
}

/** What the edge did before the handler ran; compute makes steps 3 to 5 of the trace from it. Times in ms, `at` since the epoch. */
export interface Passage {
  arrived: number
  rate: { at: number; ms: number; decision: RateDecision | null }
  token: { at: number; ms: number; cached: boolean } | null
  policy: { at: number; ms: number; decision: Decision | null }
}
