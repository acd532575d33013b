import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

/** Microversions without a test that shows a difference, and why. */
const NO_DIFFERENCE: Record<string, string> = {
  '2.4': 'of addresses that compute itself kept: nobody has them any more',
  '2.12': 'of addresses that compute itself kept: nobody has them any more',
  '2.18': 'a project in the path is heard at any microversion',
  '2.27': 'both headers are heard at any microversion: src/kernel/http/microversion.test.ts',
  '2.46': 'the id of a request has both its headers at any microversion',
  '2.69': 'of cells that are down: there are no cells',
  '2.72': 'of ports with a guaranteed bandwidth: there are none',
}

test('each microversion has a test of the difference it makes, or a reason why there is none', () => {
  const files = globSync('*.test.ts', { cwd: import.meta.dirname }).map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
  const tested = new Set(files.flatMap((text) => [...text.matchAll(/^microversion\('(2\.\d+)'/gm)].map((match) => match[1]!)))
  const missing = Array.from({ length: 92 }, (_, i) => `2.${i + 2}`).filter((one) => !tested.has(one) && !Object.hasOwn(NO_DIFFERENCE, one))
  assert.deepEqual(missing, [])
})
