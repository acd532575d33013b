import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { KeyRing, seal, unseal } from './fernet.ts'

test('the example of the Fernet specification is understood', () => {
  const key = Buffer.from('cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=', 'base64url')
  const token = 'gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=='
  const opened = unseal([key], token)!
  assert.equal(opened.message.toString(), 'hello')
  assert.equal(opened.at, Date.parse('1985-10-26T08:20:00Z'))
})

test('what is sealed opens with the same key only, and not when a byte was changed', () => {
  const [key, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  const token = seal(key, Buffer.from('secret'))
  assert.equal(unseal([other, key], token)!.message.toString(), 'secret')
  assert.equal(unseal([other], token), null)
  const raw = Buffer.from(token, 'base64url')
  for (let i = 0; i < raw.length; i++) {
    const forged = Buffer.from(raw)
    forged[i]! ^= 1
    assert.equal(unseal([key], forged.toString('base64url')), null, `byte ${i}`)
  }
  for (const text of ['', 'x', 'gAAAAA', token.slice(0, 40)]) assert.equal(unseal([key], text), null)
})

test('processes that start at once on an empty directory have one ring', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'yun-keys-'))
  const COUNT = 4
  const ROUNDS = 20
  const barrier = new SharedArrayBuffer(4 * ROUNDS)
  const code = `
    const { parentPort, workerData: { barrier, dir, count, rounds, file } } = require('node:worker_threads')
    import(file).then(({ KeyRing }) => {
      const arrived = new Int32Array(barrier)
      const seen = []
      for (let round = 0; round < rounds; round++) {
        Atomics.add(arrived, round, 1)
        while (Atomics.load(arrived, round) < count);
        seen.push(new KeyRing(dir + '/' + round).all.map((key) => key.toString('hex')))
      }
      parentPort.postMessage(seen)
    })`
  const workerData = { barrier, dir, count: COUNT, rounds: ROUNDS, file: new URL('./fernet.ts', import.meta.url).href }
  const workers = Array.from({ length: COUNT }, () => new Worker(code, { eval: true, workerData }))
  const ringsOf = (worker: Worker) => new Promise<string[][]>((resolve, reject) => worker.once('message', resolve).once('error', reject))
  const rings = await Promise.all(workers.map(ringsOf)).finally(() => Promise.all(workers.map((worker) => worker.terminate())))
  for (const ring of rings) assert.deepEqual(ring, rings[0])
  for (let round = 0; round < ROUNDS; round++) assert.deepEqual(readdirSync(join(dir, String(round))).sort(), ['0', '1'])
  assert.equal(readdirSync(dir).length, ROUNDS)
  rmSync(dir, { recursive: true })
})

test('a ring is made once for its owner alone; rotation keeps old tokens good for a while', () => {
  const dir = mkdtempSync(join(tmpdir(), 'yun-keys-'))
  const ring = new KeyRing(join(dir, 'keys'))
  assert.equal(statSync(join(dir, 'keys', '1')).mode & 0o777, 0o600)
  const token = seal(ring.primary, Buffer.from('x'))
  assert.ok(unseal(new KeyRing(join(dir, 'keys')).all, token))
  for (let i = 0; i < 2; i++) ring.rotate()
  assert.ok(unseal(ring.all, token))
  for (let i = 0; i < 2; i++) ring.rotate()
  assert.equal(unseal(ring.all, token), null)
  assert.deepEqual(readdirSync(join(dir, 'keys')).length, 4)
  rmSync(dir, { recursive: true })
})
