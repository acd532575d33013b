import { constants, createReadStream, mkdirSync } from 'node:fs'
import { copyFile, open, readdir, rename, rm, stat, statfs, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault, notFound } from '../../kernel/errors/errors.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { GiB, MiB } from '../../kernel/units/units.ts'
import { readRaw, writeRaw } from '../volume-backend/convert.ts'
import { copyName, type Hold, readName, type StoredVolume, snapshotName, type VolumeBackend, volumeName } from '../volume-backend/driver.ts'

/** ms that a copy without reflinks may take: an hour. */
const LONG = 3_600_000
/** ms that a volume in use is held for a copy: initiators give up after two minutes. */
const HELD = 60_000

/**
 * Volumes as sparse raw files in one directory, for machines without device mapper. Copies share their blocks where the file system can (XFS, Btrfs); elsewhere
 * they are made byte by byte, and what is in use is held meanwhile, so that the copy shows one moment.
 */
export async function fileBackend(directory: string): Promise<VolumeBackend> {
  mkdirSync(directory, { recursive: true, mode: 0o711 })
  const atOnce = await canReflink(directory)
  const at = (name: string) => join(directory, name)
  const list = async (): Promise<StoredVolume[]> => {
    const ours = (await readdir(directory)).map(readName).filter((one) => one !== null)
    const sizes = await Promise.all(ours.map((one) => bytesOf(at(one.name))))
    return ours.map((one, i) => ({ ...one, sizeGiB: Math.round((sizes[i] ?? 0) / GiB) }))
  }
  /** Under another name until it is whole: a copy that was cut off is never taken for a volume. */
  const copy = async (id: string, from: string, to: string, { sizeGiB, hold }: { sizeGiB?: number; hold?: Hold } = {}) => {
    if ((await bytesOf(at(to))) !== null) return
    if ((await bytesOf(at(from))) === null) throw notFound(`${at(from)} is not there`, 'NoSuchVolume')
    const part = at(copyName(id))
    try {
      await (hold && !atOnce ? hold(() => sparseCopy(at(from), part, HELD)) : sparseCopy(at(from), part, LONG))
      if (sizeGiB !== undefined) await grow(part, sizeGiB)
      await settle(part)
      await rename(part, at(to))
    } catch (error) {
      await rm(part, { force: true })
      throw error
    }
  }
  return {
    driver: 'file',
    thin: true,
    path: (id) => at(volumeName(id)),
    list,
    async space() {
      const { blocks, bavail, bsize } = await statfs(directory)
      const provisionedGiB = (await list()).reduce((sum, one) => sum + one.sizeGiB, 0)
      return { totalGiB: Math.floor((blocks * bsize) / GiB), freeGiB: Math.floor((bavail * bsize) / GiB), provisionedGiB }
    },
    async create(id, sizeGiB) {
      if ((await bytesOf(at(volumeName(id)))) !== null) return
      const part = at(copyName(id))
      await writeFile(part, '', { mode: 0o600 })
      await grow(part, sizeGiB)
      await rename(part, at(volumeName(id)))
    },
    createFromSnapshot: (id, sizeGiB, snapshotId) => copy(id, snapshotName(snapshotId), volumeName(id), { sizeGiB }),
    createFromVolume: (id, sizeGiB, sourceId, hold) => copy(id, volumeName(sourceId), volumeName(id), { sizeGiB, hold }),
    async remove(id) {
      await rm(at(copyName(id)), { force: true })
      await rm(at(volumeName(id)), { force: true })
    },
    async extend(id, sizeGiB) {
      await grow(at(volumeName(id)), sizeGiB)
    },
    createSnapshot: (id, volumeId, hold) => copy(id, volumeName(volumeId), snapshotName(id), { hold }),
    async removeSnapshot(id) {
      await rm(at(copyName(id)), { force: true })
      await rm(at(snapshotName(id)), { force: true })
    },
    async revert(volumeId, snapshotId) {
      const bytes = await bytesOf(at(volumeName(volumeId)))
      if (bytes === null) throw notFound(`${at(volumeName(volumeId))} is not there`, 'NoSuchVolume')
      const old = at(copyName(volumeId))
      await rm(old, { force: true })
      await sparseCopy(at(snapshotName(snapshotId)), old, LONG)
      await truncate(old, bytes)
      await settle(old)
      await rename(old, at(volumeName(volumeId)))
    },
    fill: (id, image) => writeRaw(image, at(volumeName(id)), true),
    async reimage(id, image) {
      const bytes = await bytesOf(at(volumeName(id)))
      if (bytes === null) throw notFound(`${at(volumeName(id))} is not there`, 'NoSuchVolume')
      const part = at(copyName(id))
      try {
        await rm(part, { force: true })
        await writeFile(part, '', { mode: 0o600 })
        await truncate(part, bytes)
        await writeRaw(image, part, true)
        await settle(part)
        await rename(part, at(volumeName(id)))
      } catch (error) {
        await rm(part, { force: true })
        throw error
      }
    },
    stream: (id) => createReadStream(at(volumeName(id)), { highWaterMark: MiB }),
    drain: (id, image) => readRaw(at(volumeName(id)), image),
  }
}

const sparseCopy = (from: string, to: string, timeoutMs: number) =>
  exec('cp', ['--reflink=auto', '--sparse=always', from, to], { timeoutMs })

async function grow(path: string, sizeGiB: number): Promise<void> {
  const bytes = await bytesOf(path)
  if (bytes === null) throw notFound(`${path} is not there`, 'NoSuchVolume')
  try {
    if (bytes < sizeGiB * GiB) await truncate(path, sizeGiB * GiB)
  } catch (error) {
    throw new Fault(507, 'NoSpace', `${path} cannot be ${sizeGiB} GiB large on this file system: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

const bytesOf = (path: string): Promise<number | null> =>
  stat(path).then(
    (found) => found.size,
    () => null,
  )

async function settle(path: string): Promise<void> {
  const file = await open(path, 'r+')
  await file.sync().finally(() => file.close())
}

async function canReflink(directory: string): Promise<boolean> {
  const [from, to] = [join(directory, `.probe-${process.pid}`), join(directory, `.probe-${process.pid}.copy`)]
  try {
    await writeFile(from, 'x'.repeat(4096))
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch {
    return false // the file system has no reflinks: copies are made byte by byte
  } finally {
    await Promise.all([rm(from, { force: true }), rm(to, { force: true })])
  }
}
