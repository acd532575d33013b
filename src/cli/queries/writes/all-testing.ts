import type { Writes } from './writes-testing.ts'

/** By service. */
export const WRITES: Record<string, Writes> = {}
