import { copyFile, readFile, rename, stat, truncate, writeFile } from 'node:fs/promises'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { DiskCheck, DiskFile, DiskInfo, OwnDisk, QemuImg } from './driver.ts'
import { imageInvalid, shrinkRefused } from './faults.ts'
import { decodeBacking, encodeQcow2Header } from './formats/qcow2-header.ts'
import { inMemory, inspectBytes, inspectImage } from './inspect.ts'
import { withWords } from './words.ts'

/**
 * qemu-img's twin: keeps the same contract without the tool. A raw disk is a file with holes; a qcow2 disk is a qcow2 header and nothing behind it, so that whoever
 * inspects it finds what it would find in a real one. Data that a guest would have written are in neither.
 */
export function simulatedQemuImg(): QemuImg {
  return withWords({ info, create, createOverlay, resize, convert, check, measure, rebase, commit })
}

/** Disks of our own making are at most this long. */
const HEADER_LIMIT = 4096

interface Picture {
  virtualSizeBytes: number
  backing: DiskFile | null
  /** Of one that is a header and nothing else. */
  headerBytes?: number
}

async function info(disk: DiskFile): Promise<DiskInfo> {
  const picture = await look(disk)
  return {
    format: disk.format,
    virtualSizeBytes: picture.virtualSizeBytes,
    allocatedBytes: await allocated(disk.path),
    backingFile: picture.backing?.path ?? null,
    backingFormat: picture.backing?.format ?? null,
    encrypted: false,
    corrupt: false,
  }
}

async function create(disk: OwnDisk, virtualSizeBytes: number): Promise<void> {
  await write(disk, { virtualSizeBytes, backing: null })
}

async function createOverlay(path: string, backing: DiskFile, virtualSizeBytes?: number): Promise<void> {
  const below = await look(backing)
  await write({ path, format: 'qcow2' }, { virtualSizeBytes: virtualSizeBytes ?? below.virtualSizeBytes, backing })
}

async function resize(disk: OwnDisk, virtualSizeBytes: number, options: { shrink?: boolean } = {}): Promise<void> {
  const picture = await look(disk)
  if (virtualSizeBytes < picture.virtualSizeBytes && !options.shrink)
    throw shrinkRefused(disk.path, picture.virtualSizeBytes, virtualSizeBytes)
  if (disk.format === 'raw') return await truncate(disk.path, sectors(virtualSizeBytes))
  const header = encodeQcow2Header({ virtualSizeBytes: sectors(virtualSizeBytes), backing: picture.backing })
  if (header.length === picture.headerBytes) await writeFile(disk.path, header, { flag: 'r+' })
  else await write(disk, { ...picture, virtualSizeBytes })
}

async function convert(from: DiskFile, to: OwnDisk): Promise<void> {
  const { virtualSizeBytes } = await look(from)
  if (from.format === 'raw' && to.format === 'raw') {
    await copyFile(from.path, `${to.path}.part`)
    await rename(`${to.path}.part`, to.path)
  } else await write(to, { virtualSizeBytes, backing: null })
}

async function check(disk: DiskFile): Promise<DiskCheck> {
  await look(disk)
  return { corruptions: 0, leaks: 0 }
}

async function measure(disk: DiskFile): Promise<{ requiredBytes: number; fullyAllocatedBytes: number }> {
  const { virtualSizeBytes } = await look(disk)
  return { requiredBytes: Math.min(await allocated(disk.path), virtualSizeBytes), fullyAllocatedBytes: virtualSizeBytes }
}

async function rebase(path: string, backing: DiskFile | null): Promise<void> {
  const picture = await look({ path, format: 'qcow2' })
  if (backing) await look(backing)
  await write({ path, format: 'qcow2' }, { ...picture, backing })
}

async function commit(path: string): Promise<void> {
  const { backing, virtualSizeBytes } = await look({ path, format: 'qcow2' })
  if (!backing) throw badRequest(`The disk ${path} has no backing file to put its data into.`, 'ImageInvalid')
  const below = await look(backing)
  if (virtualSizeBytes > below.virtualSizeBytes) await resize(backing as OwnDisk, virtualSizeBytes)
}

async function look({ path, format }: DiskFile): Promise<Picture> {
  const status = await stat(path).catch(() => undefined)
  if (format === 'raw' && status?.isFile()) return { virtualSizeBytes: sectors(status.size), backing: null }
  const own = format === 'qcow2' && status?.isFile() && status.size <= HEADER_LIMIT ? await readFile(path) : null
  const found = own ? await inspectBytes(inMemory(own)) : await inspectImage(path)
  if (found.format !== format) throw imageInvalid(`${path} is ${found.format}, not ${format}`)
  const { virtualSizeBytes } = found
  return { virtualSizeBytes, ...(own ? { backing: decodeBacking(own) as DiskFile | null, headerBytes: own.length } : { backing: null }) }
}

async function write({ path, format }: OwnDisk, { virtualSizeBytes, backing }: Picture): Promise<void> {
  const part = `${path}.part`
  await writeFile(part, format === 'raw' ? '' : encodeQcow2Header({ virtualSizeBytes: sectors(virtualSizeBytes), backing }))
  if (format === 'raw') await truncate(part, sectors(virtualSizeBytes))
  await rename(part, path)
}

const allocated = async (path: string) => (await stat(path)).blocks * 512
/** Bytes, up to whole sectors. */
const sectors = (bytes: number) => Math.ceil(bytes / 512) * 512
