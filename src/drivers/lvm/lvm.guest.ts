import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { open } from 'node:fs/promises'
import { before, test } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { throughPath, volumeBackendContract } from '../volume-backend/contract.ts'
import { lvmBackend } from './lvm.ts'
import { ensureVolumeGroup, lvmObstacle } from './volume-group.ts'

/** Run by lvm.real.test.ts where the kernel has device mapper: the contract on a linear and on a thin back end. */
const GROUP = 'yun-volumes'
const thin = process.argv[2] === 'thin'
const bytes = async (path: string) => Number((await exec('blockdev', ['--getsize64', path])).stdout)

before(async () => {
  assert.equal(await lvmObstacle(), null)
  await exec('pvcreate', ['--yes', '/dev/vda'])
  await exec('vgcreate', ['--yes', GROUP, '/dev/vda'])
  for (const again of [1, 2]) await ensureVolumeGroup({ group: GROUP, file: `/run/unused-${again}`, sizeGiB: 1, thin })
})

volumeBackendContract(async () => {
  const backend = await lvmBackend(GROUP, { thin })
  return { backend, access: throughPath(backend), bytes: (id) => bytes(backend.path(id)) }
})

test('a volume that somebody has open is not removed; a copy of it is made all the same', async () => {
  const backend = await lvmBackend(GROUP, { thin })
  const [id, copy] = [randomUUID(), randomUUID()]
  await backend.create(id, 1)
  const user = await open(backend.path(id), 'r+')
  await user.write('busy', 0)
  await user.sync()
  await assert.rejects(backend.remove(id), { status: 409, code: 'VolumeInUse' })
  await backend.createFromVolume(copy, 1, id)
  assert.equal(await throughPath(backend).read(copy, 0, 4), 'busy')
  await user.close()
  for (const one of [copy, id]) await backend.remove(one)
  assert.deepEqual(await backend.list(), [])
})

test('a full group and a volume with snapshots are refused in words', async () => {
  const backend = await lvmBackend(GROUP, { thin })
  const [id, snapshot] = [randomUUID(), randomUUID()]
  if (!thin) {
    await assert.rejects(backend.create(id, 1000), { status: 507, code: 'NoSpace' })
    await backend.create(id, 1)
    await backend.createSnapshot(snapshot, id)
    await assert.rejects(backend.remove(id), { status: 409, message: new RegExp(`_snapshot-${snapshot}`) })
    await backend.removeSnapshot(snapshot)
    await backend.remove(id)
  }
  const { totalGiB, freeGiB } = await backend.space()
  assert.ok(totalGiB > 10 && freeGiB > 10 && freeGiB <= totalGiB, `${freeGiB} of ${totalGiB}`)
})
