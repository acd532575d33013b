import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Fault } from '../../kernel/errors/errors.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { MiB } from '../../kernel/units/units.ts'
import { qemuImgContract } from './contract.ts'
import { encodeQcow2Header } from './formats/qcow2-header.ts'
import { inspectImage } from './inspect.ts'
import { realQemuImg } from './real.ts'

qemuImgContract(realQemuImg)

const inFolder = (name: string, body: (at: (name: string) => string) => Promise<void>) =>
  test(name, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'yun-qemu-img-'))
    try {
      await body((file) => join(folder, file))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

inFolder('what qemu-img makes, our own inspection reads the same', async (at) => {
  const kinds: [string, string[]][] = [
    ['qcow2', []],
    ['qcow2', ['-o', 'compat=0.10']],
    ['qcow2', ['-o', 'extended_l2=on,compression_type=zstd']],
    ['vmdk', []],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
    ['vpc', ['-o', 'force_size=on']],
    ['vpc', ['-o', 'subformat=fixed,force_size=on']],
    ['vhdx', []],
    ['vdi', []],
  ]
  for (const [format, options] of kinds) {
    await exec('qemu-img', ['create', '-q', '-f', format, ...options, at('image'), '24M'])
    assert.deepEqual(
      await inspectImage(at('image')),
      { format, virtualSizeBytes: 24 * MiB, partitionTable: null, problems: [] },
      `${format} ${options}`,
    )
  }
})

inFolder('an image made hostile by qemu-img itself is found out', async (at) => {
  await exec('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${at('elsewhere')}`, at('image'), '1M'])
  assert.match(
    (await inspectImage(at('image'))).problems.join(),
    /keeps its data in another file; qcow2 names a data file|keeps its data in another file,qcow2 names a data file/,
  )
  for (const subformat of ['monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat']) {
    await exec('qemu-img', ['create', '-q', '-f', 'vmdk', '-o', `subformat=${subformat}`, at('disk.vmdk'), '1M'])
    assert.match((await inspectImage(at('disk.vmdk'))).problems.join(), /names other files \(disk-/)
  }
  await exec('qemu-img', ['create', '-q', '-f', 'vmdk', at('parent.vmdk'), '1M'])
  await exec('qemu-img', ['create', '-q', '-f', 'vmdk', '-b', at('parent.vmdk'), '-F', 'vmdk', at('child.vmdk')])
  assert.match((await inspectImage(at('child.vmdk'))).problems.join(), /names a parent \(.*parent\.vmdk\)/)
})

inFolder('a header that asks for gigabytes is refused, by us and by a qemu-img that runs under limits', async (at) => {
  writeFileSync(at('greedy'), encodeQcow2Header({ virtualSizeBytes: 2n ** 62n, l1Entries: 0xffffffff, l1Offset: 65_536n }))
  assert.match((await inspectImage(at('greedy'))).problems.join(), /L1 table of 34359738360 bytes/)
  await assert.rejects(realQemuImg().info({ path: at('greedy'), format: 'qcow2' }), (error: Fault) => error.status === 400)
})

inFolder('a disk that another process writes is in use', async (at) => {
  const images = realQemuImg()
  const disk = { path: at('disk'), format: 'qcow2' } as const
  await images.create(disk, MiB)
  const holder = spawn('qemu-io', ['-f', 'qcow2', disk.path], { stdio: ['pipe', 'pipe', 'ignore'] })
  try {
    holder.stdin.write('write 0 512\n')
    await once(holder.stdout, 'data')
    await assert.rejects(images.resize(disk, 2 * MiB), (error: Fault) => error.status === 409 && error.code === 'ImageInUse')
  } finally {
    holder.stdin.end('quit\n')
    await once(holder, 'close')
  }
  await images.resize(disk, 2 * MiB)
})

inFolder('a full file system is said to be full, and the half copy is gone', async (at) => {
  const images = realQemuImg()
  writeFileSync(at('raw'), Buffer.alloc(4 * MiB, 1))
  mkdirSync(at('small'))
  await exec('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', at('small')])
  try {
    const copying = images.convert({ path: at('raw'), format: 'raw' }, { path: at('small/copy'), format: 'raw' })
    await assert.rejects(copying, (error: Fault) => error.status === 507 && error.code === 'DiskFull')
    assert.deepEqual(readdirSync(at('small')), [])
  } finally {
    await exec('umount', [at('small')])
  }
})
