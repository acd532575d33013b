import { type FileHandle, open, readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { badRequest, Fault, unavailable } from '../../kernel/errors/errors.ts'
import { imageNotFound } from './faults.ts'
import { type Bytes, type Format, HEAD_BYTES, TAIL_BYTES } from './formats/bytes.ts'
import { iso, luks, partitionTable, qed, vdi } from './formats/others.ts'
import { qcow2 } from './formats/qcow2.ts'
import { vhdx, vpc } from './formats/virtual-pc.ts'
import { vmdk } from './formats/vmdk.ts'

/** What the first bytes of an image say, without any tool having opened it. */
export interface Inspection {
  /** As qemu-img calls it; `raw` for whatever is no container; `iso`, `luks` and `qed` besides. */
  format: string
  /** What a guest would see. */
  virtualSizeBytes: number
  /** Of a raw disk. */
  partitionTable: 'gpt' | 'mbr' | null
  /** Why it must not be opened, one sentence each; empty when it may. */
  problems: string[]
}

/** Formats in the order of belief: those that can reach outside of themselves first. */
const FORMATS: Format[] = [qcow2, qed, vmdk, vhdx, vdi, luks, vpc, iso]
/** Disk formats of the image service, and what their data may turn out to be. */
const ACCEPTED: Record<string, string[]> = {
  raw: ['raw', 'iso', 'luks'],
  ami: ['raw', 'iso', 'luks'],
  aki: ['raw'],
  ari: ['raw'],
  ploop: ['raw'],
  iso: ['iso'],
  luks: ['luks'],
  qcow2: ['qcow2'],
  vmdk: ['vmdk'],
  vdi: ['vdi'],
  vhd: ['vpc'],
  vpc: ['vpc'],
  vhdx: ['vhdx'],
}

/** No inspection reads more of a file than this, however large it claims its tables to be. */
export const MOST_BYTES_READ = 512 * 1024

/**
 * Looks at an untrusted image.
 * @throws Fault 404 when there is no such file, 400 when it is no regular file, 503 when it cannot be read
 */
export async function inspectImage(path: string): Promise<Inspection> {
  const small = await smallFile(path)
  if (small) return await inspectBytes(inMemory(small))
  const { file, size } = await openRegular(path)
  try {
    return await inspectBytes(boundedReader(size, (buffer, offset) => fill(file, buffer, offset)))
  } catch (error) {
    if (error instanceof Fault) throw error
    throw unavailable(`Image ${basename(path)} cannot be read: ${(error as Error).message}`, 'ImageUnreadable', error)
  } finally {
    await file.close()
  }
}

/** The same over any source of bytes. */
export async function inspectBytes(bytes: Bytes): Promise<Inspection> {
  const head = await bytes.read(0, HEAD_BYTES)
  const end = Math.max(0, bytes.size - TAIL_BYTES)
  const tail = end + TAIL_BYTES <= HEAD_BYTES ? head.subarray(end, end + TAIL_BYTES) : await bytes.read(end, TAIL_BYTES)
  const found = FORMATS.filter((format) => format.detect(head, tail))
  const [format] = found
  if (!format) return { format: 'raw', virtualSizeBytes: bytes.size, partitionTable: partitionTable(head), problems: [] }
  const finding = await format.inspect(bytes, head, tail)
  if (found.length > 1) finding.problems.push(`${found.map(({ name }) => name).join(' and ')}: the data can be read as either`)
  return { format: format.name, partitionTable: format === iso ? partitionTable(head) : null, ...finding }
}

/**
 * Refuses an image that is not what it is claimed to be or that reaches outside of itself.
 * @param claimedFormat a disk format of the image service
 * @param name what the message calls the image (default: the file's name)
 * @param strict whether data without the marks of any format are refused where another than raw is claimed
 * @throws Fault 400 ImageNotSafe
 */
export async function assertSafe(path: string, claimedFormat: string, name = basename(path), strict = true): Promise<Inspection> {
  const inspection = await inspectImage(path)
  const accepted = ACCEPTED[claimedFormat]
  if (!accepted) throw badRequest(`Image ${name} has the disk format ${claimedFormat}, which is not known here.`, 'ImageNotSafe')
  const { format, problems } = inspection
  if (problems.length > 0) throw badRequest(`Image ${name} is not safe: ${problems.join('; ')}.`, 'ImageNotSafe', { format, problems })
  if (!accepted.includes(format) && (strict || format !== 'raw'))
    throw badRequest(`Image ${name} is not what it claims: its disk format is ${claimedFormat}, its data are ${format}.`, 'ImageNotSafe', {
      format,
      claimedFormat,
    })
  return inspection
}

/** How qemu-img must be told to read an image of this disk format. */
export function qemuFormat(diskFormat: string): string {
  if (diskFormat === 'vhd') return 'vpc'
  return ['ami', 'aki', 'ari', 'iso', 'luks', 'ploop'].includes(diskFormat) ? 'raw' : diskFormat
}

/** Reads zeros beyond the end, and nothing any more once {@link MOST_BYTES_READ} have been read. */
export function boundedReader(size: number, fillFrom: (buffer: Buffer, offset: number) => Promise<void>): Bytes {
  let read = 0
  return {
    size,
    async read(offset, length) {
      read += length
      if (read > MOST_BYTES_READ) throw badRequest('The image describes itself at a length that is not accepted.', 'ImageNotSafe')
      const buffer = Buffer.alloc(length)
      if (offset < size) await fillFrom(buffer.subarray(0, Math.min(length, size - offset)), offset)
      return buffer
    },
  }
}

/** What there is of it in one reading, where no more than its beginning would be read: an empty overlay is a header and little else. */
async function smallFile(path: string): Promise<Buffer | undefined> {
  const status = await stat(path).catch((error) => {
    if (error.code === 'ENOENT') throw imageNotFound(path)
  })
  if (!status?.isFile() || status.size > HEAD_BYTES) return undefined
  const bytes = await readFile(path).catch(() => undefined)
  return bytes && bytes.length <= HEAD_BYTES ? bytes : undefined
}

export const inMemory = (content: Buffer): Bytes =>
  boundedReader(content.length, async (buffer, offset) => void content.copy(buffer, 0, offset))

async function openRegular(path: string): Promise<{ file: FileHandle; size: number }> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw imageNotFound(path)
    throw unavailable(`Image ${basename(path)} cannot be opened: ${(error as Error).message}`, 'ImageUnreadable', error)
  }
  const status = await file.stat()
  if (status.isFile()) return { file, size: status.size }
  await file.close()
  throw badRequest(`${basename(path)} is not a regular file, so it is no image.`, 'ImageNotSafe')
}

async function fill(file: FileHandle, buffer: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < buffer.length; ) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, offset + done)
    if (bytesRead === 0) return
    done += bytesRead
  }
}
