import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { realGuestFiles } from './guest-files/real.ts'
import { realIso } from './iso/real.ts'
import { realQemuImg } from './qemu-img/real.ts'
import { readRaw, writeRaw } from './volume-backend/convert.ts'

const folder = mkdtempSync(join(tmpdir(), 'yun-limits-'))
const log = join(folder, 'log')
const disk = join(folder, 'disk')
const PATH = process.env.PATH

/** In the place of each program one that notes what it may take: KiB of address space, seconds of a processor. */
before(() => {
  const notes = `echo "$(basename "$0") $(ulimit -v) $(ulimit -S -t) $(ulimit -c)" >>${log}\n`
  const programs = {
    'qemu-img': 'echo {}',
    isoinfo: 'echo "Volume id: x"',
    sfdisk: `echo '{"partitiontable":{}}'`,
    debugfs: 'true',
    // an ext superblock has its mark there
    'qemu-storage-daemon': `printf '\\123\\357' | dd of=${disk}.open bs=1 seek=1080 conv=notrunc status=none`,
  }
  for (const [name, does] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${notes}${does}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  process.env.PATH = `${folder}:${PATH}`
})
beforeEach(() => writeFileSync(log, ''))
after(() => {
  process.env.PATH = PATH
  rmSync(folder, { recursive: true })
})

const noted = () => [...new Set(readFileSync(log, 'utf8').split('\n').filter(Boolean))]
const image = { path: disk, format: 'qcow2' } as const

test('qemu-img looks at an image with 1 GiB and 30 s, and works on one with an hour', async () => {
  await realQemuImg().info(image)
  assert.deepEqual(noted(), ['qemu-img 1048576 30 0'])
  for (const work of [realQemuImg().check(image), realQemuImg().measure(image, 'raw'), writeRaw(image, disk, true), readRaw(disk, image)])
    await work
  assert.deepEqual(noted(), ['qemu-img 1048576 30 0', 'qemu-img 1048576 3600 0'])
})

test('a disc is read with 1 GiB and 30 s', async () => {
  writeFileSync(disk, '')
  await realIso().read(disk)
  assert.deepEqual(noted(), ['isoinfo 1048576 30 0'])
})

test("a guest's partitions and file systems are read with 1 GiB and 30 s, its disk is laid open with 2 GiB and ten minutes", async () => {
  await realGuestFiles().within(disk, -1, (opened) => opened.read('/etc/passwd'))
  assert.deepEqual(noted(), ['qemu-storage-daemon 2097152 600 0', 'sfdisk 1048576 30 0', 'debugfs 1048576 30 0'])
})
