import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { type FileHandle, open, readdir, rename, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { badRequest, Fault, unavailable } from '../../kernel/errors/errors.ts'
import { type Pace, paced } from '../../kernel/http/pace.ts'
import { showBytes } from '../../kernel/units/units.ts'

/** The one store there is, as /info/stores names it. */
export const STORE_ID = 'file'

/** A kilobyte a second, with pauses of some minutes for whoever makes the data while they are sent. */
const PACE: Pace = { bytes: 300 * 1024, ms: 300_000 }

export interface Written {
  bytes: number
  md5: string
  sha512: string
}

/** What lies in the store's directory. */
export interface StoredFile {
  name: string
  /** `data` belongs to the image `id`; `part` to the upload `id`. */
  kind: 'data' | 'part'
  id: string
}

export interface OpenData {
  /** Bytes. */
  size: number
  /** All of it, or the bytes from `start` to `end` inclusive; closes it at the end. */
  read(range?: { start: number; end: number }): Readable
  close(): Promise<void>
}

/** Image data in one directory: `<image id>` when it is whole, `<upload id>.part` until then. Nothing is ever held in memory. */
export class Store {
  private readonly directory: string
  private readonly pace: Pace

  /** @param pace of whoever sends data */
  constructor(directory: string, pace: Pace = PACE) {
    this.directory = directory
    this.pace = pace
    mkdirSync(directory, { recursive: true, mode: 0o755 })
  }

  path(imageId: string): string {
    return join(this.directory, imageId)
  }

  partPath(uploadId: string): string {
    return join(this.directory, `${uploadId}.part`)
  }

  /**
   * Writes the stream into the upload's part file, hashing as it goes; the file is gone again when anything fails.
   * @throws Fault 413 when it exceeds `limit` bytes or the disk, 503 when the directory cannot be written, 400 when the sender stops in the middle, 408 when it hardly sends
   */
  async write(uploadId: string, stream: Readable, limit: number, declared: number | null): Promise<Written> {
    if (declared !== null && declared > limit) throw tooLarge(limit)
    if (declared !== null && declared > (await this.freeBytes())) throw full(declared)
    const path = this.partPath(uploadId)
    let file: FileHandle | undefined
    try {
      file = await open(path, 'wx', 0o644)
      const written = await pour(paced(stream, this.pace), file, limit)
      await file.sync()
      return written
    } catch (error) {
      await rm(path, { force: true })
      stream.resume() // a sender that is still sending reads our answer only when it has sent all
      throw explain(error, this.directory)
    } finally {
      await file?.close()
    }
  }

  /** Makes an upload's part the image's data, at once and for good. */
  async commit(uploadId: string, imageId: string): Promise<void> {
    await rename(this.partPath(uploadId), this.path(imageId))
    const directory = await open(this.directory)
    await directory.sync().finally(() => directory.close())
  }

  async discardPart(uploadId: string): Promise<void> {
    await rm(this.partPath(uploadId), { force: true })
  }

  async remove(imageId: string): Promise<void> {
    await rm(this.path(imageId), { force: true })
  }

  /** The image's data, or null if there is none: whoever has opened them reads them to the end, even if they are removed. */
  async open(imageId: string): Promise<OpenData | null> {
    const file = await open(this.path(imageId)).catch((error) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    if (!file) return null
    const { size } = await file.stat()
    return {
      size,
      read: (range) => file.createReadStream({ ...range, highWaterMark: 256 * 1024 }),
      close: () => file.close(),
    }
  }

  async list(): Promise<StoredFile[]> {
    return (await readdir(this.directory)).map((name) =>
      name.endsWith('.part') ? { name, kind: 'part', id: name.slice(0, -'.part'.length) } : { name, kind: 'data', id: name },
    )
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.directory)
    return bavail * bsize
  }
}

async function pour(chunks: AsyncIterable<Buffer>, file: FileHandle, limit: number): Promise<Written> {
  const md5 = createHash('md5')
  const sha512 = createHash('sha512')
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > limit) throw tooLarge(limit)
    md5.update(chunk)
    sha512.update(chunk)
    for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at, chunk.length - at)).bytesWritten
  }
  return { bytes, md5: md5.digest('hex'), sha512: sha512.digest('hex') }
}

const tooLarge = (limit: number) =>
  new Fault(413, 'ImageSizeLimitExceeded', `The provided image is too large: at most ${showBytes(limit)} are accepted.`)
const full = (needed?: number) =>
  new Fault(
    413,
    'StorageFull',
    `Image storage media is full: ${needed === undefined ? 'the disk ran out of space during the upload' : `${showBytes(needed)} do not fit`}. Delete images or ask the cloud's operator for space.`,
  )

function explain(error: unknown, directory: string): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (error instanceof Fault) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') return full()
  if (code === 'EACCES' || code === 'EROFS' || code === 'EIO' || code === 'ENOENT')
    return unavailable(
      `Insufficient permissions on image storage media: ${directory} cannot be written (${code}).`,
      'StorageWriteDenied',
      error,
    )
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ABORT_ERR')
    return badRequest('The upload stopped before all of the data had come; send it again.', 'UploadInterrupted')
  return error
}
