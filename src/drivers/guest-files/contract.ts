import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type GuestFiles, MOST_BYTES_READ } from './driver.ts'

/** What both debugfs and its twin keep to. `disk` makes a qcow2 file whose first partition has a file system. */
export function guestFilesContract(make: () => GuestFiles, disk: (folder: string) => Promise<string>): void {
  const onDisk = (name: string, body: (files: GuestFiles, path: string, folder: string) => Promise<void>) =>
    test(name, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'yun-guest-files-'))
      try {
        await body(make(), await disk(folder), folder)
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  const text = (value: string) => Buffer.from(value)

  onDisk('what is put into a disk is found in it, also when it is opened again; nothing stays open', async (files, path, folder) => {
    const partition = await files.within(path, -1, async (opened) => {
      assert.equal(await opened.read('/etc/issue-of-yun'), null)
      await opened.write([
        { path: '/etc/issue-of-yun', content: text('hello\n'), mode: 0o644 },
        { path: '/root/a new/.ssh/authorized_keys', content: text('key\n'), mode: 0o600, directoryMode: 0o700 },
        { path: '/big', content: Buffer.alloc(300_000, 'x'), mode: 0o600 },
      ])
      return opened.partition
    })
    assert.equal(partition, 1)
    await files.within(path, 1, async (opened) => {
      assert.equal(String(await opened.read('/etc/issue-of-yun')), 'hello\n')
      assert.equal(String(await opened.read('/root/a new/.ssh/authorized_keys')), 'key\n')
      assert.equal((await opened.read('/big'))!.length, 300_000)
      await opened.write([{ path: '/etc/issue-of-yun', content: text('again'), mode: 0o600 }])
      assert.equal(String(await opened.read('/etc/issue-of-yun')), 'again')
    })
    assert.ok(!readdirSync(folder).some((name) => /open|inject-/.test(name)))
  })

  onDisk('a path that is none, a partition that is not there: 400', async (files, path) => {
    await files.within(path, 1, async (opened) => {
      for (const wrong of ['relative', '/quo"te', '/new\nline', '/back\\slash', '/folder/', '/etc/..', '/../..', '-w', ''])
        await assert.rejects(opened.write([{ path: wrong, content: text(''), mode: 0o600 }]), { status: 400, code: 'BadPath' })
    })
    for (const wrong of [0, 7])
      await assert.rejects(
        files.within(path, wrong, async () => {}),
        { status: 400, code: 'NoFileSystem' },
      )
  })

  onDisk('a path never leads out of the guest; a file that is too long to be read is not', async (files, path, folder) => {
    await files.within(path, 1, async (opened) => {
      await opened.write([{ path: `/../../..${folder}/out`, content: text('x'), mode: 0o600 }])
      assert.equal(String(await opened.read(`${folder}/out`)), 'x')
      assert.ok(!readdirSync(folder).includes('out'))
      await opened.write([{ path: '/long', content: Buffer.alloc(MOST_BYTES_READ + 1), mode: 0o600 }])
      await assert.rejects(opened.read('/long'), { status: 400, code: 'TooLarge' })
    })
  })

  onDisk('work that fails leaves the disk closed, and it can be opened again', async (files, path) => {
    await assert.rejects(
      files.within(path, -1, () => Promise.reject(new Error('broken off'))),
      { message: 'broken off' },
    )
    await files.release(path)
    assert.equal(await files.within(path, -1, async (opened) => opened.partition), 1)
  })
}
