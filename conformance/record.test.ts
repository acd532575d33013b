import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Outcome } from './outcome.ts'
import { enter, readBook, rows, writeBook } from './record.ts'
import { chosen, interop } from './tests.ts'

const marked = interop()[0]!
const names = [marked, 'tempest.api.volume.x.A.test_a', 'tempest.api.volume.x.A.test_b', 'tempest.api.volume.x.A.test_c']
const failed: Outcome = { status: 'failed', why: 'a | b' }

test('what a later run did not run is kept from the text', () => {
  const book = readBook('', names)
  enter(
    book,
    'simulated',
    names,
    new Map([
      [names[0]!, { status: 'passed', why: '' }],
      [names[1]!, failed],
      [names[2]!, { status: 'skipped', why: 'off' }],
    ]),
  )
  const again = readBook(writeBook(book), names)
  assert.deepEqual(again, book)
  enter(again, 'simulated', names, new Map([[names[2]!, { status: 'passed', why: '' }]]))
  const text = writeBook(readBook(writeBook(again), names))
  assert.match(text, /\| volume \| 1 \| 1 \| 0 \| 1 \|/)
  assert.match(text, /\| OpenStack Powered Compute \| 1 \| 0 \| 0 \| 0 \|/)
  assert.deepEqual(rows(again.get('simulated')!)[0], { what: 'OpenStack Powered Compute', passed: 1, failed: 0, skipped: 0, notRun: 0 })
})

test('each guests have their chapter', () => {
  const book = readBook('', names)
  enter(book, 'real', names, new Map([[names[1]!, failed]]))
  enter(book, 'simulated', names, new Map([[names[2]!, failed]]))
  const again = readBook(writeBook(book), names)
  assert.deepEqual(again.get('real')?.get(names[1]!), failed)
  assert.equal(again.get('real')?.get(names[2]!), null)
})

test('filters choose by list, group and expression', () => {
  assert.deepEqual(chosen(names, []), names)
  assert.deepEqual(chosen(names, ['interop']), [marked])
  assert.deepEqual(chosen(names, ['volume']), names.slice(1))
  assert.deepEqual(chosen(names, ['A\\.test_[ab]$', 'interop']), names.slice(0, 3))
})
