import assert from 'node:assert/strict'
import { test } from 'node:test'
import { outcomes, reasonOf } from './outcome.ts'
import type { Reported } from './tempest.ts'

const reported = (id: string, status: Reported['status'], more: Partial<Reported> = {}): Reported => ({
  id,
  status,
  seconds: 0,
  reason: '',
  traceback: '',
  ...more,
})

const TRACEBACK = `Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/tempest/api/x.py", line 1, in test_y
    raise exceptions.NotFound(body)
tempest.lib.exceptions.NotFound: Object not found
Details: {'message': 'Volume 0af3271e-73ba-4c0f-aa0e-808e29fe38a6 | is gone'}
`

test('a test has its own outcome, or that of its class; one that nobody spoke of has failed', () => {
  const names = ['passes', 'fails', 'skips'].map((name) => `tempest.api.image.x.A.test_${name}`)
  const found = outcomes(
    [...names, 'tempest.api.image.x.B.test_b', 'tempest.api.image.x.C.test_c'],
    [
      reported('setUpClass (tempest.api.image.x.A)', 'success'),
      reported(`${names[0]}[id-1,smoke]`, 'success'),
      reported(`${names[1]}[id-2]`, 'fail', { traceback: TRACEBACK }),
      reported(`${names[2]}[id-3]`, 'skip', { reason: 'no such\nfeature' }),
      reported('setUpClass (tempest.api.image.x.B)', 'skip', { reason: 'not available' }),
    ],
  )
  assert.deepEqual(
    [...found.values()].map(({ status }) => status),
    ['passed', 'failed', 'skipped', 'skipped', 'failed'],
  )
  assert.equal(found.get(names[2]!)?.why, 'no such feature')
})

test('of a traceback remains the exception in one line, without ids', () => {
  assert.equal(reasonOf(TRACEBACK), "tempest.lib.exceptions.NotFound: Object not found Details: {'message': 'Volume … | is gone'}")
  assert.equal(reasonOf('Traceback:\n  File "x"\nKeyError: 1\n\nDuring handling of the above exception\nTypeError: no'), 'KeyError: 1')
  assert.equal(reasonOf(''), '')
})
