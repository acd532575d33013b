import assert from 'node:assert/strict'
import { appendFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { checkMachine, ImageCache, once } from './image-cache.ts'

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'guests-'))
})
after(() => rm(folder, { recursive: true, force: true }))

const building = (content: string) => async (scratch: string) => {
  const path = join(scratch, 'disk')
  await writeFile(path, content)
  return { path, virtualSizeMiB: 8, minRamMiB: 64, kernel: '6.1', packages: ['a_1_amd64'] }
}

test('of the images of a recipe the last one is found, as long as it is what was built', async () => {
  const cache = new ImageCache(folder)
  await cache.make('small-1-a', building('one'))
  const second = await cache.make('small-1-b', building('two'))
  await cache.make('small-2-a', building('another recipe'))
  assert.deepEqual(await cache.newest('small-1-'), second)
  assert.equal(second.bytes, 3)
  await appendFile(second.path, ' and more')
  assert.equal((await cache.newest('small-1-'))?.sha256, (await cache.read('small-1-a'))?.sha256)
  assert.equal(await cache.newest('large-'), undefined)
})

test('a build that fails leaves nothing; for want of room it says where room is wanted', async () => {
  const cache = new ImageCache(folder)
  const before_ = await readdir(join(folder, 'guests'))
  const failing = (message: string) => async (scratch: string) => {
    await writeFile(join(scratch, 'half'), '')
    throw new Error(message)
  }
  await assert.rejects(cache.make('broken', failing('no such package')), /no such package/)
  await assert.rejects(cache.make('broken', failing('mke2fs: No space left on device')), { status: 507, message: /guests.*XDG_CACHE_HOME/ })
  assert.deepEqual(await readdir(join(folder, 'guests')), before_)
})

test('two who ask at once get one build', async () => {
  const cache = new ImageCache(folder)
  let builds = 0
  const build = () => {
    builds++
    return cache.make('shared-1', building('shared'))
  }
  const [one, other] = await Promise.all([once('shared', build), once('shared', build)])
  assert.equal(one, other)
  assert.equal(builds, 1)
})

test('a program that is missing is named with the package that brings it', async () => {
  await assert.rejects(checkMachine('small', { 'no-such-program': 'its-package' }), { status: 503, message: /apt-get install its-package/ })
})
