import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { Fault } from '../../kernel/errors/errors.ts'
import { GiB } from '../../kernel/units/units.ts'
import { encodeQcow2Header, type Qcow2Header } from './formats/qcow2-header.ts'
import { assertSafe, boundedReader, inspectBytes, inspectImage, MOST_BYTES_READ } from './inspect.ts'

const folder = mkdtempSync(join(tmpdir(), 'yun-inspect-'))
after(() => rmSync(folder, { recursive: true }))

const write = (name: string, content: Buffer | string) => {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}
const inspect = (content: Buffer) => inspectBytes(reader(content))
const reader = (content: Buffer) => boundedReader(content.length, async (buffer, offset) => void content.copy(buffer, 0, offset))
const qcow2 = (header: Partial<Qcow2Header> = {}) => encodeQcow2Header({ virtualSizeBytes: GiB, ...header })

test('a plain qcow2 is what it says', async () => {
  assert.deepEqual(await inspect(qcow2()), { format: 'qcow2', virtualSizeBytes: GiB, partitionTable: null, problems: [] })
})

const HOSTILE: [string, Partial<Qcow2Header>, RegExp][] = [
  ['a backing file', { backing: { path: '/etc/shadow', format: 'raw' } }, /names a backing file \(\/etc\/shadow\)/],
  ['a backing file given as JSON', { backing: { path: 'json:{"driver":"nbd"}', format: 'raw' } }, /backing file \(json:/],
  ['an external data file', { incompatibleFeatures: 4n }, /keeps its data in another file/],
  ['the name of a data file', { extensions: [{ kind: 0x44415441, data: Buffer.from('/dev/sda') }] }, /names a data file \(\/dev\/sda\)/],
  ['unknown features', { incompatibleFeatures: 1n << 40n }, /unknown features \(0x10000000000\)/],
  ['the mark of corruption', { incompatibleFeatures: 2n }, /marked corrupt/],
  ['encryption', { encryption: 2 }, /encrypted/],
  ['version 1', { version: 1 }, /version 1/],
  ['a huge L1 table', { l1Entries: 0x7fffffff }, /L1 table of 17179869176 bytes/],
  ['a huge refcount table', { refcountTableClusters: 0xffff }, /refcount table of/],
  ['too many snapshots', { snapshots: 0xffffffff }, /4294967295 internal snapshots/],
  ['tables beyond its end', { l1Entries: 2, l1Offset: 2n ** 60n }, /L1 table beyond the end/],
  ['absurd clusters', { clusterBits: 63 }, /clusters of 2\^63/],
  ['an absurd size', { virtualSizeBytes: 2n ** 63n }, /size of 9223372036854775808 bytes, more than 64 TiB/],
  ['an absurd header length', { headerLength: 0xfffffff8 }, /header of 4294967288 bytes/],
  [
    'the name of a data file behind what is looked at',
    {
      clusterBits: 21,
      extensions: [
        { kind: 1, data: Buffer.alloc(65_536 - 104 - 8) },
        { kind: 0x44415441, data: Buffer.from('/dev/sda') },
      ],
    },
    /header extensions beyond its first 65536 bytes/,
  ],
  ['an endless header extension', { extensions: [{ kind: 1, data: Buffer.alloc(70_000) }] }, /header extension of 70000 bytes/],
]
for (const [what, header, expected] of HOSTILE)
  test(`a qcow2 with ${what} is refused`, async () => {
    assert.match((await inspect(qcow2(header))).problems.join('; '), expected)
  })

test('the name of a backing file far behind the header is not looked for there', async () => {
  const image = qcow2({ backing: { path: 'x', format: 'raw' } })
  image.writeBigUInt64BE(2n ** 63n, 8)
  assert.match((await inspect(image)).problems.join(), /backing file \(its name lies outside/)
})

test('features that today’s tools understand are fine: dirty, compression type, extended L2', async () => {
  assert.deepEqual((await inspect(qcow2({ incompatibleFeatures: 0b11001n }))).problems, [])
})

function vmdkFile(description: string, change: (header: Buffer) => void = () => {}): Buffer {
  const header = Buffer.alloc(512)
  header.write('KDMV')
  header.writeUInt32LE(1, 4)
  header.writeBigUInt64LE(2048n, 12)
  header.writeBigUInt64LE(1n, 28)
  header.writeBigUInt64LE(20n, 36)
  change(header)
  const text = Buffer.alloc(20 * 512)
  text.write(description)
  return Buffer.concat([header, text])
}
const GOOD_VMDK = '# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType="monolithicSparse"\nRW 2048 SPARSE "disk.vmdk"\n'

test('a vmdk of one file is fine', async () => {
  assert.deepEqual(await inspect(vmdkFile(GOOD_VMDK)), { format: 'vmdk', virtualSizeBytes: 1024 ** 2, partitionTable: null, problems: [] })
})

const HOSTILE_VMDK: [string, Buffer, RegExp][] = [
  [
    'flat extents',
    vmdkFile('createType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'),
    /monolithicFlat.*FLAT \/etc\/shadow, which lies outside/,
  ],
  ['several extents', vmdkFile(`${GOOD_VMDK}RW 2048 SPARSE "two.vmdk"\n`), /2 extents/],
  ['an extent elsewhere', vmdkFile(GOOD_VMDK.replace('disk.vmdk', '../../disk.vmdk')), /outside of it/],
  ['a parent', vmdkFile(`${GOOD_VMDK}parentFileNameHint="/etc/shadow"\n`), /names a parent \(\/etc\/shadow\)/],
  [
    'a parent behind the length it admits',
    vmdkFile(`${GOOD_VMDK}${'#\n'.repeat(600)}parentFileNameHint="x"\n`, (header) => header.writeBigUInt64LE(1n, 36)),
    /names a parent/,
  ],
  ['its description elsewhere', vmdkFile(GOOD_VMDK, (header) => header.writeBigUInt64LE(2n, 28)), /not where it belongs/],
  ['a huge description', vmdkFile(GOOD_VMDK, (header) => header.writeBigUInt64LE(2n ** 40n, 36)), /description of 562949953421312 bytes/],
  ['no capacity', vmdkFile(GOOD_VMDK, (header) => header.writeBigUInt64LE(0n, 12)), /no capacity of its own/],
  [
    'nothing but a description',
    Buffer.from('# Disk DescriptorFile\nversion=1\nRW 9 FLAT "/etc/shadow" 0\n'),
    /names other files \(\/etc\/shadow\)/,
  ],
  ['nothing but a description after white space', Buffer.from(' \n# x\n version=3\n'), /mere description/],
  ['the old magic', Buffer.from('COWD...'), /old ESX kind/],
]
for (const [what, image, expected] of HOSTILE_VMDK)
  test(`a vmdk with ${what} is refused`, async () => {
    const { format, problems } = await inspect(image)
    assert.equal(format, 'vmdk')
    assert.match(problems.join('; '), expected)
  })

test('vpc, vdi and qed that name a parent are refused', async () => {
  const footer = Buffer.alloc(512)
  footer.write('conectix')
  footer.writeBigUInt64BE(BigInt(GiB), 48)
  footer.writeUInt32BE(4, 60)
  assert.match((await inspect(footer)).problems.join(), /vpc is a differencing disk/)
  assert.equal((await inspect(Buffer.concat([Buffer.alloc(4096), footer]))).format, 'vpc', 'a fixed one has its footer at the end')

  const vdi = Buffer.alloc(512)
  vdi.writeUInt32LE(0xbeda107f, 64)
  vdi.writeUInt32LE(4, 76)
  vdi.writeBigUInt64LE(BigInt(GiB), 368)
  vdi[440] = 1
  assert.match((await inspect(vdi)).problems.join('; '), /a differencing disk; vdi names a parent/)
  assert.match((await inspect(Buffer.from('QED\0'))).problems.join(), /no longer maintained/)
})

test('a vhdx that is cut short or has a parent is refused', async () => {
  assert.match((await inspect(Buffer.from('vhdxfile'))).problems.join(), /no readable region table/)
  const image = vhdxFile()
  assert.deepEqual((await inspect(image)).problems, [])
  assert.equal((await inspect(image)).virtualSizeBytes, GiB)
  image.writeUInt32LE(0b10, 1024 ** 2 + 65_536 + 4)
  assert.match((await inspect(image)).problems.join(), /differencing disk/)
})

function vhdxFile(): Buffer {
  const image = Buffer.alloc(1024 ** 2 + 131_072)
  const metadata = 1024 ** 2
  image.write('vhdxfile')
  image.write('regi', 192 * 1024)
  image.writeUInt32LE(1, 192 * 1024 + 8)
  image.write('06a27c8b90479a4bb8fe575f050f886e', 192 * 1024 + 16, 'hex')
  image.writeBigUInt64LE(BigInt(metadata), 192 * 1024 + 32)
  image.write('metadata', metadata)
  image.writeUInt16LE(2, metadata + 10)
  image.write('3767a1ca36fa434db3b633f0aa44e76b', metadata + 32, 'hex')
  image.writeUInt32LE(65_536, metadata + 48)
  image.write('2442a52f1bcd7648b2115dbed83bf4b8', metadata + 64, 'hex')
  image.writeUInt32LE(65_544, metadata + 80)
  image.writeBigUInt64LE(BigInt(GiB), metadata + 65_544)
  return image
}

test('raw disks: partition tables are told apart from any 55 AA', async () => {
  const disk = Buffer.alloc(4096)
  assert.equal((await inspect(disk)).partitionTable, null)
  disk.writeUInt16LE(0xaa55, 510)
  assert.equal((await inspect(disk)).partitionTable, null, 'no entries')
  disk[446] = 0x80
  disk[450] = 0x83
  disk.writeUInt32LE(2048, 458)
  assert.equal((await inspect(disk)).partitionTable, 'mbr')
  disk.write('EFI PART', 512)
  assert.deepEqual(await inspect(disk), { format: 'raw', virtualSizeBytes: 4096, partitionTable: 'gpt', problems: [] })
})

test('iso and luks are known; data that can be read as two things are refused', async () => {
  const iso = Buffer.alloc(40_000)
  iso.write('CD001', 32_769)
  assert.equal((await inspect(iso)).format, 'iso')
  assert.equal((await inspect(Buffer.from('LUKS\xba\xbe\0\x02', 'latin1'))).format, 'luks')
  iso.set(qcow2())
  const both = await inspect(iso)
  assert.equal(both.format, 'qcow2')
  assert.match(both.problems.join(), /qcow2 and iso: the data can be read as either/)
})

test('assertSafe passes what is sound and claimed rightly', async () => {
  assert.equal((await assertSafe(write('good', qcow2()), 'qcow2')).virtualSizeBytes, GiB)
  assert.equal((await assertSafe(write('text', 'anything'), 'raw')).format, 'raw')
  assert.equal((await assertSafe(write('kernel', 'anything'), 'aki')).format, 'raw')
})

test('assertSafe refuses with a 400 that names the image and the reason', async () => {
  const hostile = write('hostile', qcow2({ backing: { path: '/etc/shadow', format: 'raw' } }))
  const expected = {
    status: 400,
    code: 'ImageNotSafe',
    message: 'Image cirros is not safe: qcow2 names a backing file (/etc/shadow).',
  }
  await assert.rejects(assertSafe(hostile, 'qcow2', 'cirros'), expected)
  await assert.rejects(assertSafe(hostile, 'raw', 'cirros'), expected, 'whatever it claims to be')
  await assert.rejects(assertSafe(write('good', qcow2()), 'raw'), { status: 400, message: /its disk format is raw, its data are qcow2/ })
  await assert.rejects(assertSafe(write('text', 'anything'), 'qcow2'), { status: 400, message: /its data are raw/ })
  assert.equal((await assertSafe(write('text', 'anything'), 'qcow2', 'noise', false)).format, 'raw', 'where that is allowed')
  await assert.rejects(assertSafe(write('good', qcow2()), 'raw', 'disguised', false), { status: 400 })
  await assert.rejects(assertSafe(hostile, 'floppy'), { status: 400, message: /floppy, which is not known/ })
})

test('a reader gives no more than is allowed, however it is asked', async () => {
  const source = boundedReader(2 ** 40, async () => {})
  await source.read(0, MOST_BYTES_READ)
  await assert.rejects(source.read(0, 1), { status: 400, code: 'ImageNotSafe' })
})

test('a version 2 qcow2 has no features to hide behind: its backing file and its size are looked at like any', async () => {
  assert.deepEqual((await inspect(qcow2({ version: 2 }))).problems, [])
  const named = (await inspect(qcow2({ version: 2, backing: { path: '/dev/vg/volume-of-another', format: 'raw' } }))).problems.join()
  assert.match(named, /names a backing file \(\/dev\/vg/)
  assert.match((await inspect(qcow2({ version: 2, virtualSizeBytes: 2n ** 60n }))).problems.join(), /more than 64 TiB/)
})

test('what is no readable file is a fault too', async () => {
  await assert.rejects(inspectImage(join(folder, 'nowhere')), { status: 404, code: 'ImageNotFound' })
  await assert.rejects(inspectImage(folder), { status: 400, code: 'ImageNotSafe' })
  await assert.rejects(inspectImage('/dev/zero'), { status: 400, code: 'ImageNotSafe' })
})

test('whatever the bytes are: an answer or a fault, and no more is read than is allowed', async () => {
  const magics = [
    qcow2(),
    vmdkFile(GOOD_VMDK),
    vhdxFile().subarray(0, 300_000),
    Buffer.from('conectix'),
    Buffer.from('QED\0'),
    Buffer.alloc(0),
  ]
  const change = fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { maxLength: 24 })
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...magics),
      change,
      fc.nat(4096),
      fc.bigInt(0n, 2n ** 40n),
      async (magic, changes, cut, claimedSize) => {
        const content = Buffer.concat([magic, Buffer.alloc(600)])
        for (const [at, value] of changes) if (at < content.length) content[at] = value
        const visible = cut === 0 ? content : content.subarray(0, Math.max(1, content.length - cut))
        let read = 0
        const source = boundedReader(Number(claimedSize) || visible.length, async (buffer, offset) => {
          read += buffer.length
          visible.copy(buffer, 0, Math.min(offset, visible.length))
        })
        try {
          const { format, virtualSizeBytes, problems } = await inspectBytes(source)
          assert.ok(format && Number.isSafeInteger(virtualSizeBytes) && virtualSizeBytes >= 0 && Array.isArray(problems))
        } catch (error) {
          assert.ok(error instanceof Fault, String(error))
        }
        assert.ok(read <= MOST_BYTES_READ)
      },
    ),
    { numRuns: 2000 },
  )
})
