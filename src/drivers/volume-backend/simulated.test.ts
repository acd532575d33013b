import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { volumeBackendContract } from './contract.ts'
import { simulatedBackend } from './simulated.ts'

volumeBackendContract(async () => {
  const backend = simulatedBackend()
  return { backend, access: backend }
})

test('a full back end says how much is free', async () => {
  const backend = simulatedBackend({ totalGiB: 3 })
  await backend.create('11111111-1111-4111-8111-111111111111', 2)
  await assert.rejects(backend.create('22222222-2222-4222-8222-222222222222', 2), {
    status: 507,
    message: '2 GiB are asked, 1 GiB of 3 are free',
  })
})

test('volumes outlive the process where a file is given', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'yun-volumes-'))
  const file = join(folder, 'volumes.json')
  const before = simulatedBackend({ file })
  await before.create('11111111-1111-4111-8111-111111111111', 1)
  before.write('11111111-1111-4111-8111-111111111111', 8, 'kept')
  assert.equal(simulatedBackend({ file }).read('11111111-1111-4111-8111-111111111111', 8, 4), 'kept')
  rmSync(folder, { recursive: true })
})
