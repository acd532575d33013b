import { createHash } from 'node:crypto'
import { chmod, open, rename, rm, stat, utimes } from 'node:fs/promises'
import type { ImageSpec } from '../../compute/rpc.ts'
import type { DiskFormat } from '../../drivers/qemu-img/driver.ts'
import { assertSafe, inspectImage, qemuFormat } from '../../drivers/qemu-img/inspect.ts'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import { assertSpace, spaceFault } from './no-space.ts'
import { makePassable } from './passable.ts'
import type { World } from './world.ts'

export interface Base {
  path: string
  format: string
  cached: boolean
  bytes: number
  virtualSizeBytes: number
  sha: string
}

/** ms without a single byte after which a download is given up. */
const STALLED_MS = 60_000

/** Step 26. Images of the same data share one base, which overlays only read; each is downloaded once at a time, looked at, and moved into place when it is good. */
export function baseImages(world: World) {
  const underWay = new Map<string, Promise<Base>>()
  const sizes = new Map<string, number>()
  const { places } = world

  async function find(image: ImageSpec, sha: string): Promise<Base | undefined> {
    const path = places.base(sha)
    const found = await stat(path).catch(() => undefined)
    if (!found || isCutOff(image, found.size)) return undefined
    const virtualSizeBytes = sizes.get(sha) ?? (await inspectImage(path)).virtualSizeBytes
    sizes.set(sha, virtualSizeBytes)
    return { path, format: ownFormat(image), cached: true, bytes: found.size, virtualSizeBytes, sha }
  }

  return async ({ image }: { image: ImageSpec }): Promise<Base> => {
    const sha = keyOf(image)
    const found = await find(image, sha)
    if (found) {
      const now = new Date()
      await utimes(found.path, now, now) // who looks for bases that nobody needs any more sees when each was last wanted
      return found
    }
    const work =
      underWay.get(sha) ??
      world
        .busy(() => fetch(world, image, sha))
        .then(async (virtualSizeBytes) => {
          if (virtualSizeBytes !== null) sizes.set(sha, virtualSizeBytes)
          return { ...(await find(image, sha))!, cached: false }
        })
        .finally(() => underWay.delete(sha))
    underWay.set(sha, work)
    return await work
  }
}

/** The data's own digest where the image service has one; the format is part of it, since the same bytes mean something else in another one. */
function keyOf({ id, diskFormat, hashAlgorithm, hashValue, checksum }: ImageSpec): string {
  const data = hashValue ? `${hashAlgorithm}:${hashValue}` : checksum ? `md5:${checksum}` : `image:${id}`
  return createHash('sha1').update(`${diskFormat} ${data}`).digest('hex')
}

/** Raw and qcow2 stay as they are; what QEMU only reads well becomes qcow2. */
const ownFormat = ({ diskFormat }: ImageSpec): 'raw' | 'qcow2' => (qemuFormat(diskFormat) === 'raw' ? 'raw' : 'qcow2')

/** A machine that lost its power may have kept the name of a file and not all of its data. */
const isCutOff = ({ diskFormat, sizeBytes }: ImageSpec, bytes: number) =>
  sizeBytes > 0 && bytes !== sizeBytes && ['raw', 'qcow2'].includes(diskFormat)

/** @returns what a guest sees of it, where it stays as it came */
async function fetch({ options, places, machine }: World, image: ImageSpec, sha: string): Promise<number | null> {
  const what = `the image ${image.name || image.id}`
  const path = places.base(sha)
  const [part, converted] = [`${path}.part`, `${path}.converted`]
  await makePassable(places.bases)
  await assertSpace(options.host, places.directory, image.sizeBytes, what)
  try {
    await download(options.images, image, part)
    const { format, virtualSizeBytes } = await assertSafe(part, image.diskFormat, image.name || image.id)
    if (ownFormat(image) === 'qcow2' && format !== 'qcow2') {
      const from = { path: part, format: format as DiskFormat }
      // compressed, a megabyte may stand for terabytes
      const { requiredBytes } = await machine.qemuImg.measure(from, 'qcow2')
      await assertSpace(options.host, places.bases, requiredBytes, `${what}, unpacked`)
      await machine.qemuImg.convert(from, { path: converted, format: 'qcow2' })
      await chmod(converted, 0o644)
      await rename(converted, path)
      await rm(part, { force: true })
      return null
    }
    await chmod(part, 0o644) // guests read it
    await rename(part, path)
    return virtualSizeBytes
  } catch (error) {
    await Promise.all([part, converted].map((each) => rm(each, { force: true })))
    throw spaceFault(error, options.host, places.bases, what)
  }
}

async function download(images: World['options']['images'], image: ImageSpec, path: string): Promise<void> {
  const digests = [
    ['md5', image.checksum],
    [image.hashAlgorithm, image.hashValue],
  ].flatMap(([algorithm, expected]) => (algorithm && expected ? [{ algorithm, expected, hash: createHash(algorithm) }] : []))
  let bytes = 0
  const source = await images.download(image.id)
  const stalled = () => source.destroy(new Fault(504, 'ImageStalled', `No data of image ${image.id} came for ${STALLED_MS / 1000} s.`))
  const timer = setTimeout(stalled, STALLED_MS)
  try {
    await using file = await open(path, 'w', 0o600)
    for await (const chunk of source) {
      timer.refresh()
      bytes += chunk.length
      if (image.sizeBytes > 0 && bytes > image.sizeBytes) throw corrupt(image, `more than its ${image.sizeBytes} bytes came`)
      for (const { hash } of digests) hash.update(chunk)
      await file.writeFile(chunk)
    }
  } finally {
    clearTimeout(timer)
    source.destroy()
  }
  if (bytes === 0) throw badRequest(`Image ${image.id} is empty: there is nothing to boot from.`, 'ImageNotSafe')
  if (image.sizeBytes > 0 && bytes !== image.sizeBytes) throw corrupt(image, `${bytes} of its ${image.sizeBytes} bytes came`)
  for (const { algorithm, expected, hash } of digests)
    if (hash.digest('hex') !== expected.toLowerCase()) throw corrupt(image, `its ${algorithm} is not the one the image service knows`)
}

const corrupt = ({ id, name }: ImageSpec, why: string) =>
  new Fault(
    502,
    'ImageCorrupt',
    `Image ${name || id} came damaged from the image service: ${why}. Try again; if it stays so, upload it anew.`,
  )
