import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Fault } from '../../kernel/errors/errors.ts'
import { MiB } from '../../kernel/units/units.ts'
import type { QemuImg } from './driver.ts'
import { inspectImage } from './inspect.ts'

/** What both qemu-img and its twin keep to. */
export function qemuImgContract(make: () => QemuImg): void {
  const inFolder = (name: string, body: (images: QemuImg, at: (name: string) => string) => Promise<void>) =>
    test(name, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'yun-qemu-img-'))
      try {
        await body(make(), (file) => join(folder, file))
      } finally {
        rmSync(folder, { recursive: true })
      }
    })

  for (const format of ['raw', 'qcow2'] as const)
    inFolder(`an empty ${format} disk is as large as asked and takes no room`, async (images, at) => {
      const disk = { path: at('disk'), format }
      await images.create(disk, 10 * MiB)
      const info = await images.info(disk)
      assert.equal(info.format, format)
      assert.equal(info.virtualSizeBytes, 10 * MiB)
      assert.ok(info.allocatedBytes < MiB)
      assert.deepEqual([info.backingFile, info.backingFormat, info.encrypted, info.corrupt], [null, null, false, false])
      assert.deepEqual(await images.check(disk), { corruptions: 0, leaks: 0 })
      assert.equal(existsSync(at('disk.part')), false)
    })

  inFolder('an overlay names its base and format, and is at least as large', async (images, at) => {
    const base = { path: at('base'), format: 'raw' } as const
    await images.create(base, 4 * MiB)
    await images.createOverlay(at('same'), base)
    await images.createOverlay(at('larger'), base, 8 * MiB)
    const same = await images.info({ path: at('same'), format: 'qcow2' })
    assert.deepEqual([same.virtualSizeBytes, same.backingFile, same.backingFormat], [4 * MiB, at('base'), 'raw'])
    assert.equal((await images.info({ path: at('larger'), format: 'qcow2' })).virtualSizeBytes, 8 * MiB)
    assert.match((await inspectImage(at('same'))).problems.join(), /names a backing file/)
  })

  inFolder('an overlay of an overlay is possible; making one again replaces it', async (images, at) => {
    await images.create({ path: at('base'), format: 'qcow2' }, 4 * MiB)
    await images.createOverlay(at('one'), { path: at('base'), format: 'qcow2' }, 6 * MiB)
    await images.createOverlay(at('two'), { path: at('one'), format: 'qcow2' })
    await images.createOverlay(at('two'), { path: at('one'), format: 'qcow2' })
    const two = await images.info({ path: at('two'), format: 'qcow2' })
    assert.deepEqual([two.virtualSizeBytes, two.backingFile, two.backingFormat], [6 * MiB, at('one'), 'qcow2'])
  })

  for (const format of ['raw', 'qcow2'] as const)
    inFolder(`a ${format} disk grows, and shrinks only when told that data may go`, async (images, at) => {
      const disk = { path: at('disk'), format }
      await images.create(disk, 4 * MiB)
      await images.resize(disk, 9 * MiB)
      await images.resize(disk, 9 * MiB)
      assert.equal((await images.info(disk)).virtualSizeBytes, 9 * MiB)
      await assert.rejects(images.resize(disk, 2 * MiB), faultWith(400, 'ShrinkRefused'))
      await images.resize(disk, 2 * MiB, { shrink: true })
      assert.equal((await images.info(disk)).virtualSizeBytes, 2 * MiB)
    })

  inFolder('a copy in another format is as large and stands alone', async (images, at) => {
    writeFileSync(at('base'), Buffer.alloc(64 * 1024, 7))
    truncateSync(at('base'), 4 * MiB)
    await images.createOverlay(at('overlay'), { path: at('base'), format: 'raw' }, 5 * MiB)
    const overlay = { path: at('overlay'), format: 'qcow2' } as const
    await images.convert(overlay, { path: at('flat'), format: 'raw' })
    await images.convert(overlay, { path: at('packed'), format: 'qcow2' }, { compress: true })
    assert.equal(statSync(at('flat')).size, 5 * MiB)
    assert.ok(statSync(at('flat')).blocks * 512 < MiB, 'holes stay holes')
    assert.deepEqual(await inspectImage(at('packed')), {
      format: 'qcow2',
      virtualSizeBytes: 5 * MiB,
      partitionTable: null,
      problems: [],
    })
    const { requiredBytes, fullyAllocatedBytes } = await images.measure(overlay, 'raw')
    assert.ok(requiredBytes <= fullyAllocatedBytes)
    assert.ok(fullyAllocatedBytes >= 5 * MiB)
  })

  inFolder('an overlay is put on another base, then on none', async (images, at) => {
    const [one, two] = [at('one'), at('two')].map((path) => ({ path, format: 'raw' }) as const)
    await images.create(one!, 4 * MiB)
    await images.create(two!, 4 * MiB)
    await images.createOverlay(at('overlay'), one!)
    const backing = async () => (await images.info({ path: at('overlay'), format: 'qcow2' })).backingFile
    await images.rebase(at('overlay'), two!)
    assert.equal(await backing(), two!.path)
    await images.rebase(at('overlay'), null)
    assert.equal(await backing(), null)
    await images.createOverlay(at('overlay'), one!)
    rmSync(one!.path)
    await assert.rejects(images.rebase(at('overlay'), one!))
    await images.rebase(at('overlay'), two!, { moved: true })
    assert.equal(await backing(), two!.path)
  })

  inFolder('what an overlay holds moves into its base', async (images, at) => {
    await images.create({ path: at('base'), format: 'qcow2' }, 4 * MiB)
    await images.createOverlay(at('overlay'), { path: at('base'), format: 'qcow2' }, 6 * MiB)
    await images.commit(at('overlay'))
    assert.equal((await images.info({ path: at('base'), format: 'qcow2' })).virtualSizeBytes, 6 * MiB)
    await assert.rejects(images.commit(at('base')), faultWith(400, 'ImageInvalid'))
  })

  inFolder(
    'a file that is not there is said to be missing, one of another format to be damaged, and nothing is left behind',
    async (images, at) => {
      const nowhere = { path: at('nowhere'), format: 'qcow2' } as const
      const missing = faultWith(404, 'ImageNotFound')
      await assert.rejects(images.info(nowhere), missing)
      await assert.rejects(images.resize(nowhere, MiB), missing)
      await assert.rejects(images.check({ ...nowhere, format: 'raw' }), missing)
      await assert.rejects(images.createOverlay(at('overlay'), nowhere), missing)
      await assert.rejects(images.convert(nowhere, { path: at('copy'), format: 'raw' }), missing)
      writeFileSync(at('text'), 'no disk at all')
      await assert.rejects(images.info({ path: at('text'), format: 'qcow2' }), faultWith(400, 'ImageInvalid'))
      await assert.rejects(
        images.convert({ path: at('text'), format: 'qcow2' }, { path: at('copy'), format: 'raw' }),
        faultWith(400, 'ImageInvalid'),
      )
      for (const name of ['overlay', 'overlay.part', 'copy', 'copy.part']) assert.equal(existsSync(at(name)), false, name)
    },
  )

  inFolder('what qemu-img would take for an option, a protocol or a description is no image', async (images, at) => {
    for (const path of ['-f', 'disk', './disk', 'json:{"driver":"nbd"}', 'nbd:unix:/run/x', '', `${at('a')}\nb`, `${at('a')}\0`]) {
      const wrong = { path, format: 'qcow2' } as const
      const right = { path: at('right'), format: 'qcow2' } as const
      for (const work of [
        images.info(wrong),
        images.create(wrong, MiB),
        images.createOverlay(path, right),
        images.createOverlay(at('right'), wrong),
        images.convert(right, wrong),
        images.rebase(at('right'), wrong),
        images.commit(path),
      ])
        await assert.rejects(work, faultWith(400, 'BadImage'))
    }
    await assert.rejects(images.info({ path: at('right'), format: '--help' as 'raw' }), faultWith(400, 'BadImage'))
  })
}

const faultWith = (status: number, code: string) => (error: Fault) => {
  assert.deepEqual([error.status, error.code], [status, code], error.message)
  return true
}
