import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { throughPath, volumeBackendContract } from '../volume-backend/contract.ts'
import { fileBackend } from './files.ts'

const directory = mkdtempSync(join(tmpdir(), 'yun-volume-file-'))
after(() => rmSync(directory, { recursive: true }))

volumeBackendContract(async () => {
  const backend = await fileBackend(directory)
  return { backend, access: throughPath(backend), bytes: async (id) => (await stat(backend.path(id))).size }
})

test('files take no more room than is written, and only the owner reads them', async () => {
  const backend = await fileBackend(directory)
  const id = '11111111-1111-4111-8111-111111111111'
  await backend.create(id, 100)
  const { blocks, mode, size } = statSync(backend.path(id))
  assert.ok(blocks < 100 && size === 100 * 1024 ** 3)
  assert.equal(mode & 0o077, 0)
  await backend.remove(id)
  assert.deepEqual(readdirSync(directory), [])
})

test('a copy that was cut off is listed as one, never as a volume, and goes with its volume', async () => {
  const backend = await fileBackend(directory)
  const id = '22222222-2222-4222-8222-222222222222'
  writeFileSync(join(directory, `copy-${id}`), 'half')
  writeFileSync(join(directory, 'a stranger'), '')
  assert.deepEqual(await backend.list(), [{ kind: 'copy', id, name: `copy-${id}`, sizeGiB: 0 }])
  await backend.remove(id)
  assert.deepEqual(await backend.list(), [])
})
