import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, Fault } from '../../kernel/errors/errors.ts'
import { findImage, type Image, moveImage, renewUpload } from '../db/images.ts'
import type { ImageRow, ImageStatus } from '../db/tables.ts'
import type { ImageContext } from './context.ts'
import { changing, noImage } from './image.ts'
import type { Written } from './store.ts'

const NO_DATA: Partial<ImageRow> = {
  size: null,
  virtual_size: null,
  checksum: null,
  hash_algo: null,
  hash_value: null,
  upload_id: null,
  lease_until: null,
}
const HASH = 'sha512'

/**
 * Queued → saving → active: streams the data to disk, looks at it, and only then lets it be used. When anything fails the image is queued again and the data gone.
 * @throws Fault 409 when it is not queued, 400 without formats, 413 too large or disk full, 400 or 415 when the data is not what it claims, 410 when the image was deleted meanwhile
 */
export async function uploadData(context: ImageContext, { id }: Image, stream: Readable, declared: number | null): Promise<void> {
  await receive(context, id, stream, declared, (taken, uploadId, written) => activate(context, taken, uploadId, written, 'saving'))
}

/** Queued → uploading: the data is on disk, but nobody has looked at it: that is the import's part. Same errors as {@link uploadData}. */
export async function stageData(context: ImageContext, { id }: Image, stream: Readable, declared: number | null): Promise<void> {
  await receive(context, id, stream, declared, async (_taken, uploadId, written) => {
    const columns = { status: 'uploading' as const, lease_until: null, ...measured(written) }
    if (!(await moveImage(context.database.db, id, ['saving'], columns, uploadId))) throw gone(id)
  })
}

async function receive(
  context: ImageContext,
  id: string,
  stream: Readable,
  declared: number | null,
  then: (taken: Image, uploadId: string, written: Written) => Promise<void>,
): Promise<void> {
  const uploadId = randomUUID()
  const taken = await take(context, id, uploadId, stream)
  try {
    await vouching(context, id, uploadId, async () =>
      then(taken, uploadId, await context.store.write(uploadId, stream, context.maxImageBytes, declared)),
    )
  } catch (error) {
    await giveBack(context, id, uploadId, 'saving')
    throw (await findImage(context.database.db, id)) ? error : gone(id)
  }
}

/** Active ↔ deactivated. @throws Fault 403 in any other status, 404 when it is gone */
export async function setActive(context: ImageContext, { id }: Image, active: boolean): Promise<void> {
  const [from, to]: [ImageStatus, ImageStatus] = active ? ['deactivated', 'active'] : ['active', 'deactivated']
  if (await moveImage(context.database.db, id, [from], { status: to })) return
  const found = await findImage(context.database.db, id)
  if (!found) throw noImage(id)
  if (found.status !== to)
    throw new Fault(
      403,
      'InvalidImageStatusTransition',
      `Not allowed to ${active ? 'reactivate' : 'deactivate'} image in status '${found.status}'`,
    )
}

/** Marks the image as this upload's own; it is answered as it is then, for its formats stay from here on. A refused sender's data is read away, so that it hears the answer. */
async function take(context: ImageContext, id: string, uploadId: string, stream: Readable): Promise<Image> {
  try {
    return await changing(context, id, async (trx, image) => {
      requireFormats(image)
      if (image.status !== 'queued')
        throw conflict(`Image status transition from ${image.status} to saving is not allowed`, 'InvalidImageStatusTransition')
      await moveImage(trx, id, ['queued'], { status: 'saving', upload_id: uploadId, lease_until: leaseEnd(context) })
      return image
    })
  } catch (error) {
    stream.resume()
    throw error
  }
}

export async function activate(
  context: ImageContext,
  image: ImageRow,
  uploadId: string,
  written: Written,
  from: ImageStatus,
): Promise<void> {
  const path = context.store.partPath(uploadId)
  // one without a byte is a record alone, as compute makes of servers that boot from volumes: there is nothing in it to look at
  const { virtualSizeBytes } = written.bytes === 0 ? { virtualSizeBytes: 0 } : await context.inspect(path, image.disk_format!, image.id)
  await context.store.commit(uploadId, image.id)
  const columns = { ...measured(written), status: 'active' as const, virtual_size: virtualSizeBytes, upload_id: null, lease_until: null }
  if (!(await moveImage(context.database.db, image.id, [from], columns, uploadId))) throw gone(image.id)
}

/** Queued again without data, unless another upload or a deletion came in between: theirs is not touched. */
export async function giveBack(context: ImageContext, imageId: string, uploadId: string, from: ImageStatus): Promise<void> {
  await context.store.discardPart(uploadId)
  const mine = await moveImage(context.database.db, imageId, [from], { ...NO_DATA, lease_until: leaseEnd(context) }, uploadId)
  const row = mine ? undefined : await findImage(context.database.db, imageId)
  if (mine || !row) await context.store.remove(imageId)
  if (mine) await moveImage(context.database.db, imageId, [from], { ...NO_DATA, status: 'queued' })
}

/** An upload whose process is gone. */
export async function abandon(context: ImageContext, row: ImageRow): Promise<void> {
  await giveBack(context, row.id, row.upload_id ?? '', row.status)
}

export async function vouching<T>(context: ImageContext, imageId: string, uploadId: string, work: () => Promise<T>): Promise<T> {
  const timer = setInterval(
    () =>
      renewUpload(context.database.db, imageId, uploadId, leaseEnd(context)).catch((error) =>
        context.log.warn({ err: error, image: imageId }, 'the lease of an upload could not be renewed'),
      ),
    context.leaseMs / 3,
  )
  return await work().finally(() => clearInterval(timer))
}

export function requireFormats(image: Image): void {
  const missing = (['disk_format', 'container_format'] as const).filter((name) => image[name] === null)
  if (missing.length > 0) throw badRequest(`Properties ${missing.join(', ')} must be set prior to saving data.`)
}

const measured = ({ bytes, md5, sha512 }: Written) => ({ size: bytes, checksum: md5, hash_algo: HASH, hash_value: sha512 })
export const leaseEnd = (context: ImageContext) => timestamp(Date.now() + context.leaseMs)
const gone = (id: string) =>
  new Fault(410, 'ImageGone', `Image ${id} could not be found after upload. The image may have been deleted during the upload.`)
