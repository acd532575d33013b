import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ensureDaemons, stopDaemons } from './daemons.ts'

test('a missing program names its package; stopping what was never started does nothing', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'daemons-'))
  const path = process.env.PATH
  process.env.PATH = '/nonexistent'
  try {
    await assert.rejects(ensureDaemons({ stateDir, parts: ['tgt'] }), {
      status: 503,
      code: 'PackageMissing',
      message: /^tgtd is not found; install the package tgt,/,
    })
    assert.deepEqual(await stopDaemons({ stateDir }), [])
  } finally {
    process.env.PATH = path
    rmSync(stateDir, { recursive: true, force: true })
  }
})
