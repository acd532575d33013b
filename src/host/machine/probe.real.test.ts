import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { probeKvm } from './kvm.ts'
import { probeMachine } from './probe.ts'

test('the facts agree with what other programs say, and a second look is quick', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'probe-'))
  try {
    const facts = await probeMachine({ stateDir })
    assert.equal(String(facts.cpus), (await exec('nproc', [])).stdout.trim())
    assert.ok(Math.abs(facts.memoryMib - Number((await exec('free', ['--mebi'])).stdout.split('\n')[1]!.split(/\s+/)[1])) <= 1)
    assert.ok(facts.diskFreeGib >= 0)
    assert.equal(facts.missing.includes(facts.kvm.why), !facts.kvm.usable)
    const started = performance.now()
    assert.deepEqual(await probeMachine({ stateDir }), { ...facts, diskFreeGib: facts.diskFreeGib })
    assert.ok(performance.now() - started < 1_000)
  } finally {
    rmSync(stateDir, { recursive: true })
  }
})

test('the tiny guest says that it has started when it is emulated', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'probe-'))
  try {
    const emulated = await probeKvm({ cacheFile: join(stateDir, 'kvm.json'), device: '/dev/null', accelerator: 'tcg', timeoutMs: 10_000 })
    assert.deepEqual(emulated, { usable: true, why: 'A guest starts under KVM.' })
  } finally {
    rmSync(stateDir, { recursive: true })
  }
})
