import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { runInGuest } from './guest-testing.ts'

const NODE = process.execPath
const INNER = join(import.meta.dirname, 'lvm.guest.ts')

for (const kind of ['linear', 'thin']) {
  test(`LVM, ${kind}, under Debian's kernel`, { timeout: 1_200_000 }, async (t) => {
    const { output, code } = await runInGuest({
      command: `${NODE} --test-reporter=tap ${INNER} ${kind}`,
      diskGiB: 20,
      timeoutMs: 1_190_000,
    })
    const results = [...output.matchAll(/^(not )?ok \d+ - (.*)$/gm)]
    assert.ok(results.length >= 9, output.slice(-4000))
    for (const [, failed, name] of results) await t.test(name!, () => assert.ok(!failed, output))
    assert.equal(code, 0, output.slice(-4000))
  })
}
