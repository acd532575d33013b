import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exec } from './exec.ts'

test('output, exit codes, input', async () => {
  assert.deepEqual(await exec('cat', [], { input: 'hello' }), { stdout: 'hello', stderr: '', code: 0 })
  assert.equal((await exec('sh', ['-c', 'exit 3'], { ok: [3] })).code, 3)
  await assert.rejects(exec('sh', ['-c', 'echo why >&2; exit 4']), { code: 'CommandFailed', message: /exit 4: why/, exitCode: 4 })
})

test('secret arguments are not shown', async () => {
  await assert.rejects(exec('false', ['--password', 'tiger'], { secretArgs: [1] }), { message: 'false --password ***: exit 1: ' })
})

test('a missing program is named', async () => {
  await assert.rejects(exec('no-such-program', []), { message: /not found; install the package that has no-such-program/ })
})

test('the time limit holds even if a process left behind keeps the output open', async () => {
  const started = performance.now()
  await assert.rejects(exec('sh', ['-c', 'sleep 5 & wait'], { timeoutMs: 100 }), { message: /no end after 100 ms; killed/ })
  assert.ok(performance.now() - started < 3_000)
})
