import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { apiCoverage } from './api-coverage.ts'

test('docs/api-coverage.md is what the routes say', async () => {
  const file = join(import.meta.dirname, '../../docs/api-coverage.md')
  assert.equal(readFileSync(file, 'utf8').trim(), (await apiCoverage()).trim(), 'run: npx yun api-coverage > docs/api-coverage.md')
})
