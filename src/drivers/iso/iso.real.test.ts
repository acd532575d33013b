import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspectImage } from '../qemu-img/inspect.ts'
import { isoContract } from './contract.ts'
import { realIso } from './real.ts'

isoContract(realIso)

test('a guest would find the label where ISO 9660 has it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'yun-iso-'))
  try {
    const path = join(folder, 'disc')
    await realIso().create(path, { label: 'config-2', files: new Map([['f', Buffer.from('x')]]) })
    assert.equal((await inspectImage(path)).format, 'iso')
    mkdirSync(join(folder, 'taken'))
    await assert.rejects(realIso().create(join(folder, 'taken'), { label: 'l', files: new Map() }), { status: 503, code: 'IsoFailed' })
    assert.deepEqual(readdirSync(folder).sort(), ['disc', 'taken'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
