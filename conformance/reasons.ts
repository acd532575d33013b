import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listed } from './tests.ts'

const REASONS = listed(readFileSync(join(import.meta.dirname, 'reasons.txt'), 'utf8')).map((line) => {
  const [pattern, reason] = line.split('\t')
  return { pattern: new RegExp(pattern!), reason: reason! }
})

/** What the cloud lacks for this test; empty where nobody has said. */
export const reasonFor = (name: string): string => REASONS.find(({ pattern }) => pattern.test(name))?.reason ?? ''
