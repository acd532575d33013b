import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { snapshotName, type VolumeBackend, volumeName } from './driver.ts'

/** How a test reads and writes a volume: through its path, unless the back end has no disks. */
export interface Access {
  write(volumeId: string, offset: number, text: string): Promise<void> | void
  read(volumeId: string, offset: number, length: number): Promise<string> | string
}

export const throughPath = (backend: VolumeBackend): Access => ({
  async write(id, offset, text) {
    const file = await open(backend.path(id), 'r+')
    await file.write(text, offset)
    await file.sync()
    await file.close()
  },
  async read(id, offset, length) {
    const file = await open(backend.path(id), 'r')
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, offset)
    await file.close()
    return buffer.toString()
  },
})

/** What LVM, files and the twin keep to. `make` gives a back end with room for 8 GiB or more; `sizes` in bytes of a volume's device where there is one. */
export function volumeBackendContract(
  make: () => Promise<{ backend: VolumeBackend; access: Access; bytes?: (volumeId: string) => Promise<number> }>,
): void {
  test('a volume is made once, has its size, is listed, grows, never shrinks, and goes', async () => {
    const { backend, bytes } = await make()
    const id = randomUUID()
    const before = (await backend.space()).provisionedGiB
    await backend.create(id, 1)
    await backend.create(id, 1)
    assert.deepEqual(await own(backend, id), [{ kind: 'volume', id, name: volumeName(id), sizeGiB: 1 }])
    assert.equal((await backend.space()).provisionedGiB, before + 1)
    await backend.extend(id, 2)
    await backend.extend(id, 2)
    await backend.extend(id, 1)
    assert.equal((await own(backend, id))[0]?.sizeGiB, 2)
    if (bytes) assert.equal(await bytes(id), 2 * GiB)
    await backend.remove(id)
    await backend.remove(id)
    assert.deepEqual(await own(backend, id), [])
    assert.equal((await backend.space()).provisionedGiB, before)
  })

  test('a fresh volume is all zeros, also where one before it was written', async () => {
    const { backend, access } = await make()
    const [first, second] = [randomUUID(), randomUUID()]
    await backend.create(first, 1)
    await access.write(first, 16 * MiB, 'a secret of the tenant before')
    await backend.remove(first)
    await backend.create(second, 1)
    assert.equal(await access.read(second, 16 * MiB, 29), '\0'.repeat(29))
    await backend.remove(second)
  })

  test('a snapshot keeps a moment; a volume made from it has its data and may be larger', async () => {
    const { backend, access } = await make()
    const [volume, snapshot, copy] = [randomUUID(), randomUUID(), randomUUID()]
    await backend.create(volume, 1)
    await access.write(volume, 0, 'before')
    await access.write(volume, 512 * MiB, 'in the middle')
    await backend.createSnapshot(snapshot, volume)
    await backend.createSnapshot(snapshot, volume)
    assert.deepEqual(await own(backend, snapshot), [{ kind: 'snapshot', id: snapshot, name: snapshotName(snapshot), sizeGiB: 1 }])
    await access.write(volume, 0, 'after!')
    await backend.createFromSnapshot(copy, 2, snapshot)
    await backend.createFromSnapshot(copy, 2, snapshot)
    assert.equal((await own(backend, copy))[0]?.sizeGiB, 2)
    assert.equal(await access.read(copy, 0, 6), 'before')
    assert.equal(await access.read(copy, 512 * MiB, 13), 'in the middle')
    assert.equal(await access.read(volume, 0, 6), 'after!')
    await backend.removeSnapshot(snapshot)
    await backend.removeSnapshot(snapshot)
    assert.equal(await access.read(copy, 0, 6), 'before')
    for (const id of [copy, volume]) await backend.remove(id)
    assert.deepEqual(await own(backend, volume, snapshot, copy), [])
  })

  test('a reverted volume is as it was then, and can be reverted again', async () => {
    const { backend, access } = await make()
    const [volume, snapshot] = [randomUUID(), randomUUID()]
    await backend.create(volume, 1)
    await access.write(volume, MiB, 'then')
    await backend.createSnapshot(snapshot, volume)
    for (const change of ['now!', 'and!']) {
      await access.write(volume, MiB, change)
      await access.write(volume, 700 * MiB, change)
      await backend.revert(volume, snapshot)
      assert.equal(await access.read(volume, MiB, 4), 'then')
      assert.equal(await access.read(volume, 700 * MiB, 4), '\0\0\0\0')
    }
    assert.deepEqual((await own(backend, volume, snapshot)).map((one) => one.kind).sort(), ['snapshot', 'volume'])
    await backend.removeSnapshot(snapshot)
    await backend.remove(volume)
  })

  test('a volume is copied from another', async () => {
    const { backend, access } = await make()
    const [source, copy] = [randomUUID(), randomUUID()]
    await backend.create(source, 1)
    await access.write(source, 300 * MiB, 'shared past')
    await backend.createFromVolume(copy, 1, source)
    await access.write(source, 300 * MiB, 'own present')
    assert.equal(await access.read(copy, 300 * MiB, 11), 'shared past')
    assert.deepEqual(
      (await own(backend, source, copy)).map((one) => one.kind),
      ['volume', 'volume'],
    )
    for (const id of [copy, source]) await backend.remove(id)
  })

  test('an image is written onto a volume and read from it', async () => {
    const { backend, access } = await make()
    const directory = mkdtempSync(join(tmpdir(), 'yun-image-'))
    const id = randomUUID()
    writeFileSync(join(directory, 'in'), 'boot sector'.padEnd(65_536, '\0'))
    await backend.create(id, 1)
    await backend.fill(id, { path: join(directory, 'in'), format: 'raw' })
    assert.equal(await access.read(id, 0, 11), 'boot sector')
    await backend.drain(id, { path: join(directory, 'out'), format: 'raw' })
    const out = await open(join(directory, 'out'))
    assert.equal((await out.read(Buffer.alloc(11), 0, 11, 0)).buffer.toString(), 'boot sector')
    assert.equal((await out.stat()).size, GiB)
    await out.close()
    for await (const chunk of backend.stream(id)) {
      assert.equal(chunk.subarray(0, 11).toString(), 'boot sector')
      break
    }
    await backend.remove(id)
    rmSync(directory, { recursive: true })
  })

  test('another image replaces all that a volume held; its snapshots keep what they have', async () => {
    const { backend, access } = await make()
    const directory = mkdtempSync(join(tmpdir(), 'yun-image-'))
    const [volume, snapshot, copy] = [randomUUID(), randomUUID(), randomUUID()]
    const image = (data: string) => {
      writeFileSync(join(directory, 'in'), data.padEnd(65_536, '\0'))
      return { path: join(directory, 'in'), format: 'raw' }
    }
    await backend.create(volume, 1)
    await backend.fill(volume, image('first system'))
    await access.write(volume, 512 * MiB, 'kept by its user')
    await backend.createSnapshot(snapshot, volume)
    for (const data of ['other system', 'third system']) {
      await backend.reimage(volume, image(data))
      assert.equal(await access.read(volume, 0, 12), data)
      assert.equal(await access.read(volume, 512 * MiB, 16), '\0'.repeat(16))
    }
    await backend.createFromSnapshot(copy, 1, snapshot)
    assert.equal(await access.read(copy, 0, 12), 'first system')
    assert.equal(await access.read(copy, 512 * MiB, 16), 'kept by its user')
    const present = await own(backend, volume, snapshot, copy)
    assert.deepEqual(present.map((one) => `${one.kind} ${one.sizeGiB}`).sort(), ['snapshot 1', 'volume 1', 'volume 1'])
    await assert.rejects(backend.reimage(randomUUID(), image('x')), { status: 404, code: 'NoSuchVolume' })
    await backend.removeSnapshot(snapshot)
    for (const id of [copy, volume]) await backend.remove(id)
    rmSync(directory, { recursive: true })
  })

  test('what is not there is named', async () => {
    const { backend } = await make()
    const [volume, nothing] = [randomUUID(), randomUUID()]
    await assert.rejects(backend.createSnapshot(randomUUID(), nothing), { status: 404, message: new RegExp(nothing) })
    await assert.rejects(backend.createFromVolume(volume, 1, nothing), { status: 404, message: new RegExp(nothing) })
    await assert.rejects(backend.createFromSnapshot(volume, 1, nothing), { status: 404, message: new RegExp(nothing) })
    await assert.rejects(backend.extend(nothing, 2), { status: 404, message: new RegExp(nothing) })
    assert.deepEqual(await own(backend, volume, nothing), [])
  })
}

const own = async (backend: VolumeBackend, ...ids: string[]) => (await backend.list()).filter((one) => ids.includes(one.id))
