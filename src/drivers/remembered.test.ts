import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { remembered } from './remembered.ts'

const folder = mkdtempSync(join(tmpdir(), 'yun-remembered-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

test('every change is in the file when it is saved, and the file stays small', () => {
  const file = join(folder, 'many', 'state.json')
  const memory = remembered(file, { n: 0, filler: 'x'.repeat(1_000) })
  for (let n = 1; n <= 300; n++) {
    memory.state.n = n
    memory.save()
    assert.equal(remembered(file, { n: -1 }).state.n, n)
  }
  assert.ok(statSync(file).size < 100_000)
})

test('a line that a kill cut off does not count, and is not written behind', () => {
  const file = join(folder, 'cut.json')
  const first = remembered(file, { n: 1 })
  first.save()
  first.state.n = 2
  first.save()
  appendFileSync(file, '{"n":')
  const second = remembered(file, { n: 0 })
  assert.equal(second.state.n, 2)
  second.state.n = 3
  second.save()
  assert.equal(remembered(file, { n: 0 }).state.n, 3)
  assert.equal(readFileSync(file, 'utf8'), '{"n":3}\n')
})

test('what was removed meanwhile is written again', () => {
  const file = join(folder, 'gone', 'state.json')
  const memory = remembered(file, { n: 1 })
  memory.save()
  rmSync(join(folder, 'gone'), { recursive: true })
  memory.state.n = 2
  memory.save()
  assert.equal(remembered(file, { n: 0 }).state.n, 2)
})
