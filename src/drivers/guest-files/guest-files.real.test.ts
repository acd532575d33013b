import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { MiB } from '../../kernel/units/units.ts'
import { guestFilesContract } from './contract.ts'
import { realGuestFiles } from './real.ts'

/** A qcow2 overlay whose base has one partition with ext4, as small as may be. */
async function disk(folder: string, mebibytes = 16): Promise<string> {
  const [raw, base, overlay] = ['raw', 'base', 'disk'].map((name) => join(folder, name)) as [string, string, string]
  await writeFile(raw, '')
  await truncate(raw, (mebibytes + 1) * MiB)
  await exec('sfdisk', ['--quiet', raw], { input: 'start=2048, type=83\n' })
  await exec('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-E', 'offset=1048576', raw, `${mebibytes * 1024}k`])
  await exec('qemu-img', ['convert', '-O', 'qcow2', raw, base])
  await exec('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, overlay])
  return overlay
}

guestFilesContract(realGuestFiles, disk)

test('modes and owner are as asked; the base stays as it was; a full file system says so', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'yun-guest-files-'))
  try {
    const path = await disk(folder, 4)
    const files = realGuestFiles()
    await files.within(path, -1, (opened) =>
      opened.write([{ path: '/root/.ssh/authorized_keys', content: Buffer.from('key'), mode: 0o600, directoryMode: 0o700 }]),
    )
    const flat = join(folder, 'flat')
    await exec('qemu-img', ['convert', '-O', 'raw', path, flat])
    const stat = async (name: string) => (await exec('debugfs', ['-R', `stat ${name}`, `${flat}?offset=1048576`])).stdout
    assert.match(await stat('/root/.ssh/authorized_keys'), /Mode: {2}0600[\s\S]*User: +0 +Group: +0/)
    assert.match(await stat('/root/.ssh'), /Type: directory +Mode: {2}0700/)
    await exec('e2fsck', ['-f', '-n', `${flat}?offset=1048576`])
    await exec('qemu-img', ['convert', '-O', 'raw', join(folder, 'base'), flat])
    assert.doesNotMatch(await stat('/root/.ssh'), /Inode/)
    const huge = files.within(path, -1, (opened) => opened.write([{ path: '/huge', content: Buffer.alloc(8 * MiB, 'x'), mode: 0o600 }]))
    await assert.rejects(huge, { status: 507, code: 'NoSpace' })
    assert.ok(!existsSync(`${path}.open`))
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a link in the image leads nowhere on the host, and a file of terabytes is not read', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'yun-guest-files-'))
  try {
    const path = await disk(folder)
    const [secret, hostile] = [join(folder, 'secret'), join(folder, 'hostile')]
    await writeFile(secret, 'of the host')
    await exec('qemu-img', ['convert', '-O', 'raw', path, hostile])
    const requests = [`symlink /out ${folder}`, `symlink /shadow ${secret}`, 'write /dev/null /sparse', 'sif /sparse size 0x10000000000']
    await exec('debugfs', ['-w', '-f', '-', `${hostile}?offset=1048576`], { input: `${requests.join('\n')}\n` })
    await exec('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', hostile, path])
    await realGuestFiles().within(path, 1, async (opened) => {
      await assert.rejects(opened.read('/sparse'), { status: 400, code: 'TooLarge' })
      assert.doesNotMatch(String(await opened.read('/shadow').catch(() => '')), /of the host/)
      await opened.write([{ path: '/out/written', content: Buffer.from('x'), mode: 0o600 }]).catch(() => {})
      await opened.write([{ path: '/shadow', content: Buffer.from('x'), mode: 0o600 }]).catch(() => {})
    })
    assert.ok(!existsSync(join(folder, 'written')))
    assert.equal(readFileSync(secret, 'utf8'), 'of the host')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
