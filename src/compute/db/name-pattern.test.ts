import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fitting } from './name-pattern.ts'

test('a pattern that backtracks for ever is broken off: 400, and the next one is answered', { timeout: 20_000 }, () => {
  const name = `${'a'.repeat(40)}!`
  for (const pattern of ['^(a+)+$', '^(a|aa)+$', '^([a-z]*)*$'])
    assert.throws(() => fitting(pattern, [name]), { status: 400, message: /takes too long/ }, pattern)
  assert.deepEqual(fitting('^a+!$', [name, 'b']), [true, false])
})
