import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { probeKvm } from './kvm.ts'
import { sentences } from './probe.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'probe-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A QEMU that tells its version, counts its starts, and otherwise does what `script` says. */
function fakeQemu(script: string, version = '7.2') {
  const qemu = join(folder, 'qemu')
  const starts = join(folder, 'starts')
  writeFileSync(qemu, `#!/bin/sh\n[ "$1" = --version ] && { echo "QEMU ${version}"; exit 0; }\necho x >> ${starts}\n${script}\n`)
  chmodSync(qemu, 0o755)
  return {
    options: { cacheFile: join(folder, 'state', 'kvm.json'), device: '/dev/null', qemu, timeoutMs: 2_000 },
    starts: () => (existsSync(starts) ? readFileSync(starts, 'utf8').length / 2 : 0),
  }
}

test('a guest that starts makes KVM usable; the answer is remembered until QEMU changes', async () => {
  const { options, starts } = fakeQemu('exit 33')
  assert.deepEqual(await probeKvm(options), { usable: true, why: 'A guest starts under KVM.' })
  assert.equal((await probeKvm(options)).usable, true)
  assert.equal(starts(), 1)
  fakeQemu('echo "failed to set MSR" >&2; exit 134', '8.0')
  const after = await probeKvm(options)
  assert.equal(after.usable, false)
  assert.match(after.why, /ended by QEMU: failed to set MSR/)
  assert.equal(starts(), 2)
})

test('a guest that hangs is given up', async () => {
  const { options } = fakeQemu('exec sleep 60')
  const { usable, why } = await probeKvm({ ...options, timeoutMs: 100 })
  assert.equal(usable, false)
  assert.match(why, /had not started after 0\.1 s/)
})

test('a broken memory of the answer is written anew', async () => {
  const { options } = fakeQemu('exit 33')
  await probeKvm(options)
  writeFileSync(options.cacheFile, '{"key"')
  assert.equal((await probeKvm(options)).usable, true)
  assert.equal(JSON.parse(readFileSync(options.cacheFile, 'utf8')).usable, true)
})

test('without the device nothing is started', async () => {
  const { options, starts } = fakeQemu('exit 33')
  assert.equal((await probeKvm({ ...options, device: join(folder, 'none') })).usable, false)
  assert.equal(starts(), 0)
})

test('each thing that is missing has its sentence, and a machine that has all has none', () => {
  const all = {
    kvm: { usable: true, why: '' },
    datapath: 'system',
    deviceMapper: true,
    iscsiInitiator: true,
    nbd: true,
    loop: true,
    cgroups: 2,
    cpus: 2,
    memoryMib: 1,
    diskFreeGib: 1,
  } as const
  assert.deepEqual(sentences(all), [])
  const none = {
    ...all,
    kvm: { usable: false, why: 'No KVM.' },
    datapath: 'netdev',
    deviceMapper: false,
    iscsiInitiator: false,
    nbd: false,
    loop: false,
    cgroups: 0,
  } as const
  const said = sentences(none)
  assert.equal(said.length, 7)
  for (const sentence of said) assert.match(sentence, /^[A-Z].*\.$/)
})
