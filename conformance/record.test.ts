import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Outcome } from './outcome.ts'
import { type Book, enter, keepBook, readBook, rows, showBook } from './record.ts'
import { chosen, interop } from './tests.ts'

const marked = interop()[0]!
const names = [marked, 'tempest.api.volume.x.A.test_a', 'tempest.api.volume.x.A.test_b', 'tempest.api.volume.x.A.test_c']
const failed: Outcome = { status: 'failed', why: 'a | b' }

test('what a later run did not run is kept, and what never ran has not passed', () => {
  const dir = mkdtempSync(join(tmpdir(), 'yun-record-'))
  const book = readBook(dir, names)
  const ran: [string, Outcome][] = [
    [names[0]!, { status: 'passed', why: '' }],
    [names[1]!, failed],
    [names[2]!, { status: 'skipped', why: 'off' }],
  ]
  enter(book, 'simulated', new Map(ran))
  keepBook(dir, book)
  const again = readBook(dir, names)
  assert.deepEqual(again, book)
  enter(again, 'simulated', new Map([[names[2]!, { status: 'passed', why: '' }]]))
  const text = showBook(again, names)
  assert.match(text, /\| volume \| 1 \| 1 \| 0 \| 1 \|/)
  assert.match(text, /`tempest.api.volume.x.A.test_a` \| failed \| a \\\| b \|/)
  assert.doesNotMatch(text, /test_[bc]`|Real components/)
  const [first] = rows(again.get('simulated')!, names)
  assert.deepEqual(first, { what: 'OpenStack Powered Compute', passed: 1, failed: 0, skipped: 0, notRun: 0 })
  assert.deepEqual([...readBook(dir, names.slice(0, 1)).get('simulated')!.keys()], names.slice(0, 1), 'a test that is gone is forgotten')
  rmSync(dir, { recursive: true })
})

test('each guests have their chapter', () => {
  const book: Book = new Map()
  enter(book, 'real', new Map([[names[1]!, failed]]))
  enter(book, 'simulated', new Map([[names[2]!, failed]]))
  const [, real, simulated] = showBook(book, names).split('\n## ')
  assert.match(real!, /^Real.*`tempest.api.volume.x.A.test_a`/s)
  assert.doesNotMatch(real!, /test_b/)
  assert.match(simulated!, /^Simulated.*`tempest.api.volume.x.A.test_b`/s)
})

test('what the cloud lacks is said before what tempest says', () => {
  const name = 'tempest.scenario.test_dashboard_basic_ops.TestDashboardBasicOps.test_basic_scenario'
  const text = showBook(new Map([['real', new Map([[name, { status: 'skipped', why: 'Horizon support is required' }]])]]), [name])
  assert.ok(text.includes(`| \`${name}\` | skipped | There is no dashboard. Horizon support is required |`))
})

test('filters choose by list, group and expression', () => {
  assert.deepEqual(chosen(names, []), names)
  assert.deepEqual(chosen(names, ['interop']), [marked])
  assert.deepEqual(chosen(names, ['volume']), names.slice(1))
  assert.deepEqual(chosen(names, ['A\\.test_[ab]$', 'interop']), names.slice(0, 3))
})
