import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MiB } from '../units/units.ts'
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

describe('a program under limits', () => {
  const limits = { bytes: 256 * MiB, cpuSeconds: 1 }

  test('works like any other', async () => {
    assert.deepEqual(await exec('cat', ['-'], { input: 'hello', limits }), { stdout: 'hello', stderr: '', code: 0 })
    await assert.rejects(exec('ls', ['/not/there'], { limits }), { message: /^ls \/not\/there: exit 2: .*No such file/, exitCode: 2 })
    await assert.rejects(exec('no-such-program', [], { limits }), {
      message: 'no-such-program: not found; install the package that has no-such-program',
    })
    assert.equal((await exec('env', ['no-such-program'], { limits, ok: [127] })).code, 127)
  })

  test('is stopped when it takes more of the processor, and the error says so', async () => {
    await assert.rejects(exec('sha256sum', ['/dev/zero'], { limits, timeoutMs: 30_000 }), {
      code: 'CommandFailed',
      message: /: stopped: it took more than 1 s of processor time \(ended by SIGXCPU: \)/,
    })
  })

  test('gets no more memory, and the error says so', async () => {
    await assert.rejects(exec('dd', ['if=/dev/zero', 'of=/dev/null', 'bs=512M', 'count=1'], { limits }), {
      message: /: stopped: 256 MiB of memory, which is all that it may take, were not enough \(exit 1: /,
    })
  })
})

test('a program that says too much is killed', async () => {
  await assert.rejects(exec('yes', [], { mostOutputBytes: 4 * MiB }), { message: 'yes: more than 4 MiB of output; killed' })
})
