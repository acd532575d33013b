import assert from 'node:assert/strict'
import { existsSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { host as messages } from '../../compute/rpc.ts'
import { encodeQcow2Header } from '../../drivers/qemu-img/formats/qcow2-header.ts'
import { simulatedQemuImg } from '../../drivers/qemu-img/simulated.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { MiB } from '../../kernel/units/units.ts'
import { removeOldBases } from './base-ageing.ts'
import { placesIn } from './places.ts'
import { build, DATA, IMAGE, imageOf, onHost, unwind, uuidOf } from './testing.ts'

test('an image is downloaded once, however many ask, and again when its base is gone', () =>
  onHost(async ({ tell, images, restart }) => {
    const image = imageOf(DATA)
    const bases = await Promise.all(Array.from({ length: 5 }, () => tell(messages.fetchBase, { image })))
    assert.equal(images.downloads, 1)
    assert.deepEqual(new Set(bases.map(({ path }) => path)).size, 1)
    assert.equal(bases[0]!.virtualSizeBytes, 112 * MiB)
    await restart()
    const again = await tell(messages.fetchBase, { image: { ...image, id: IMAGE.replace('d9', 'e9') } })
    assert.deepEqual([again.cached, again.bytes, again.virtualSizeBytes], [true, DATA.length, 112 * MiB], 'the same data is the same base')
    rmSync(again.path)
    assert.equal((await tell(messages.fetchBase, { image })).cached, false)
    assert.equal(images.downloads, 2)
  }))

test('the same bytes under another format are not the same base', () =>
  onHost(async ({ tell }) => {
    await tell(messages.fetchBase, { image: imageOf(DATA) })
    await assert.rejects(tell(messages.fetchBase, { image: imageOf(DATA, { diskFormat: 'raw' }) }), { status: 400, code: 'ImageNotSafe' })
  }))

const backed = encodeQcow2Header({ virtualSizeBytes: MiB, backing: { path: '/etc/shadow', format: 'raw' } })
const hostile: [name: string, data: Uint8Array, over: Parameters<typeof imageOf>[1], code: string][] = [
  ['reads a file of the host', backed, {}, 'ImageNotSafe'],
  ['is not what it claims', Buffer.from('x'.repeat(2048)), {}, 'ImageNotSafe'],
  ['is empty', Buffer.alloc(0), {}, 'ImageNotSafe'],
  ['has a format that nobody knows', DATA, { diskFormat: 'docker' }, 'ImageNotSafe'],
  ['is shorter than it should be', DATA, { sizeBytes: DATA.length + 1 }, 'ImageCorrupt'],
  ['is longer than it should be', DATA, { sizeBytes: DATA.length - 1 }, 'ImageCorrupt'],
  ['was changed on its way', DATA, { hashValue: '00' }, 'ImageCorrupt'],
  ['was changed on its way, as md5 shows', DATA, { hashValue: null, checksum: '00' }, 'ImageCorrupt'],
  ['is larger than the disk', DATA, { sizeBytes: Number.MAX_SAFE_INTEGER }, 'NoSpace'],
]
for (const [name, data, over, code] of hostile)
  test(`an image that ${name} is refused, and nothing of it stays`, () =>
    onHost(async ({ tell, images, directory }) => {
      images.data.set(IMAGE, data)
      await assert.rejects(tell(messages.fetchBase, { image: imageOf(data, over) }), { code })
      assert.deepEqual(existsSync(join(directory, '_base')) ? readdirSync(join(directory, '_base')) : [], [])
    }))

test('an image that would unpack into more than the disk has is refused before it is unpacked, and nothing of it stays', async () => {
  const data = Buffer.alloc(512)
  data.writeUInt32LE(0xbeda107f, 64)
  data.writeUInt32LE(1, 76)
  data.writeBigUInt64LE(BigInt(MiB), 368)
  const qemuImg = simulatedQemuImg()
  qemuImg.measure = async () => ({ requiredBytes: 2 ** 60, fullyAllocatedBytes: 2 ** 60 })
  qemuImg.convert = () => assert.fail('it is unpacked')
  await onHost(
    async ({ tell, images, directory }) => {
      images.data.set(IMAGE, data)
      await assert.rejects(tell(messages.fetchBase, { image: imageOf(data, { diskFormat: 'vdi' }) }), {
        code: 'NoSpace',
        message: /unpacked \(1048576 TiB wanted/,
      })
      assert.deepEqual(readdirSync(join(directory, '_base')), [])
    },
    { machine: { qemuImg } },
  )
})

test('a download that breaks off can be tried again', () =>
  onHost(async ({ tell, images, directory }) => {
    const download = images.download.bind(images)
    images.download = async () =>
      Readable.from(
        (async function* () {
          yield DATA.subarray(0, 10)
          throw new Fault(503, 'EndpointUnreachable', 'the image service went away')
        })(),
      )
    await assert.rejects(tell(messages.fetchBase, { image: imageOf(DATA) }), { status: 503 })
    assert.deepEqual(readdirSync(join(directory, '_base')), [])
    images.download = download
    assert.equal((await tell(messages.fetchBase, { image: imageOf(DATA) })).cached, false)
  }))

test('an overlay stands on a base of this host and on nothing else', () =>
  onHost(async ({ tell }) => {
    for (const basePath of ['/etc/shadow', '_base/x', '/tmp/_base/../x'])
      await assert.rejects(tell(messages.createOverlay, { uuid: '73b896bb-7c7d-447e-ab6a-000000000001', basePath, baseFormat: 'raw' }), {
        status: 400,
        code: 'BadBase',
      })
  }))

test('a base goes when nothing stands on it and nobody wanted it for a day', () =>
  onHost(async ({ tell, directory }) => {
    const world = () => ({ places: placesIn(directory, 'node1') })
    const uuid = uuidOf(1)
    const { base } = await build(tell)
    const other = await tell(messages.fetchBase, { image: imageOf(DATA, { hashValue: null, checksum: null }) })
    const tomorrow = Date.now() + 25 * 3_600_000
    assert.deepEqual(await removeOldBases(world()), [])
    assert.deepEqual((await removeOldBases(world(), tomorrow)).length, 1)
    assert.deepEqual([existsSync(base!.path), existsSync(other.path)], [true, false])
    await tell(messages.keepDisk, { uuid, name: 'rebuild' })
    assert.deepEqual(await removeOldBases(world(), tomorrow), [])
    await unwind(tell)
    assert.deepEqual((await removeOldBases(world(), tomorrow)).length, 1)
  }))

test('a base that lost its end is fetched again', () =>
  onHost(async ({ tell, images }) => {
    const { path } = await tell(messages.fetchBase, { image: imageOf(DATA) })
    truncateSync(path, 10)
    assert.equal((await tell(messages.fetchBase, { image: imageOf(DATA) })).cached, false)
    assert.deepEqual([statSync(path).size, images.downloads], [DATA.length, 2])
  }))
