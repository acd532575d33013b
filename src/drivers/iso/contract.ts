import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Fault } from '../../kernel/errors/errors.ts'
import type { Iso } from './driver.ts'

/** What both genisoimage and its twin keep to. */
export function isoContract(make: () => Iso): void {
  const inFolder = (name: string, body: (iso: Iso, folder: string) => Promise<void>) =>
    test(name, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'yun-iso-'))
      try {
        await body(make(), folder)
      } finally {
        rmSync(folder, { recursive: true })
      }
    })

  inFolder('what is put on a disc is found on it', async (iso, folder) => {
    const path = join(folder, 'disk.config')
    const files = new Map([
      ['openstack/latest/meta_data.json', Buffer.from('{"uuid": "1"}')],
      ['openstack/2018-08-27/network_data.json', Buffer.from('{}')],
      ['openstack/content/0000', Buffer.from('first line\nsecond: 语言\n')],
      ['a-name.that.is-longer-than-a-cd.of-1988-would-have-it.json', Buffer.from('x')],
    ])
    const bytes = await iso.create(path, { label: 'config-2', files })
    assert.equal(statSync(path).size, bytes)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    const disc = await iso.read(path)
    assert.equal(disc.label, 'config-2')
    const text = (map: Map<string, Uint8Array>) => [...map].map(([name, content]) => [name, Buffer.from(content).toString()]).sort()
    assert.deepEqual(text(disc.files), text(files))
    assert.deepEqual(readdirSync(folder), ['disk.config'], 'nothing is left beside it')
  })

  inFolder('a file that would lie outside of the disc is refused, and nothing is written', async (iso, folder) => {
    for (const name of ['../escaped', 'a/../../escaped', '/escaped', '..', '', 'a//b', 'a/.'])
      await assert.rejects(iso.create(join(folder, 'disc'), { label: 'l', files: new Map([[name, Buffer.from('x')]]) }), {
        status: 400,
        code: 'BadPath',
      })
    assert.deepEqual(readdirSync(folder), [])
  })

  inFolder('a disc made again replaces the first', async (iso, folder) => {
    const path = join(folder, 'disc')
    for (const content of ['one', 'two']) await iso.create(path, { label: 'l', files: new Map([['f', Buffer.from(content)]]) })
    assert.equal(Buffer.from((await iso.read(path)).files.get('f')!).toString(), 'two')
  })

  inFolder('what is no disc is said to be none', async (iso, folder) => {
    await assert.rejects(iso.read(join(folder, 'nowhere')), (error: Fault) => error.status === 404)
    writeFileSync(join(folder, 'text'), 'text')
    await assert.rejects(iso.read(join(folder, 'text')), (error: Fault) => error.status === 400)
  })
}
