import { randomUUID } from 'node:crypto'
import { timestamp, toJson } from '../../kernel/db/columns.ts'
import { conflict, describe, unavailable } from '../../kernel/errors/errors.ts'
import { type Handle, holdImage, type Image, moveImage, updateImage } from '../db/images.ts'
import type { ImageRow, TaskRow } from '../db/tables.ts'
import { endTask, insertTask, tasksOf } from '../db/tasks.ts'
import type { ImageContext } from './context.ts'
import { changing } from './image.ts'
import { STORE_ID, type Written } from './store.ts'
import { activate, giveBack, leaseEnd, requireFormats, vouching } from './upload.ts'
import { assertAllowed, openWebSource } from './web-source.ts'

/** Imports go on in the background; a failure leads back to queued and is told in the image's os_glance_import_error. */

/** As which request an import was asked for, and by whom. */
export interface Asker {
  requestId: string
  userId: string | null
  projectId: string | null
}

export type ImportTask = TaskRow

/** An image's imports, oldest first, for as long as their tasks are kept. */
export const importsOf = (context: ImageContext, image: Image): Promise<ImportTask[]> => tasksOf(context.database.db, image.id)

/** Properties that say which stores have no data of the import, and why. */
const FAILED = 'os_glance_failed_import'
const ERROR = 'os_glance_import_error'

const TASK_MS = 48 * 3_600_000

/** Uploading → importing → active. @throws Fault 409 when nothing is staged */
export async function importStaged(context: ImageContext, { id }: Image, asker: Asker): Promise<void> {
  const image = await changing(context, id, async (trx, image) => {
    requireFormats(image)
    if (image.status !== 'uploading')
      throw conflict(`Image needs to be in the uploading state before the import of its staged data (it is ${image.status}).`)
    await begin(context, trx, asker, image, image.upload_id!, { name: 'glance-direct' })
    return image
  })
  inBackground(context, finishStaged(context, image, image.upload_id!))
}

/** Queued → importing → active, with data from a web server. @throws Fault 400 for an address that this cloud does not fetch from, 409 when the image is not queued */
export async function importFromWeb(context: ImageContext, { id }: Image, uri: string, asker: Asker): Promise<void> {
  assertAllowed(uri, context.webSources)
  const uploadId = randomUUID()
  const image = await changing(context, id, async (trx, image) => {
    requireFormats(image)
    if (image.status !== 'queued')
      throw conflict(`Image needs to be in the queued state before its data is fetched (it is ${image.status}).`)
    await begin(context, trx, asker, image, uploadId, { name: 'web-download', uri })
    return image
  })
  const fetched = async (): Promise<Written> => {
    const { stream, bytes } = await openWebSource(uri, context.webSources)
    return await context.store.write(uploadId, stream, context.maxImageBytes, bytes).finally(() => stream.destroy())
  }
  inBackground(context, finish(context, image, uploadId, fetched))
}

/** Moves the image, forgets how an earlier import failed, and notes the task. */
async function begin(context: ImageContext, trx: Handle, asker: Asker, image: Image, uploadId: string, method: object): Promise<void> {
  await moveImage(trx, image.id, [image.status], { status: 'importing', upload_id: uploadId, lease_until: leaseEnd(context) })
  if (FAILED in image.properties) {
    const { [ERROR]: _over, ...properties } = image.properties
    await updateImage(trx, image.id, {}, { properties: { ...properties, [FAILED]: '' } })
  }
  const at = Date.now()
  await insertTask(trx, {
    id: randomUUID(),
    image_id: image.id,
    upload_id: uploadId,
    method_json: toJson(method),
    status: 'processing',
    message: '',
    owner: asker.projectId,
    user_id: asker.userId,
    request_id: asker.requestId,
    created_at: timestamp(at),
    updated_at: timestamp(at),
    expires_at: timestamp(at + TASK_MS),
  })
}

/** An import whose process is gone: staged data are still there; what was being fetched is not whole. */
export async function resumeImport(context: ImageContext, row: ImageRow): Promise<void> {
  const uploadId = row.upload_id ?? ''
  if (row.hash_value !== null) return await finishStaged(context, row, uploadId)
  await finish(context, row, uploadId, () =>
    Promise.reject(unavailable('The process that fetched the data ended; ask for the import again.')),
  )
}

function inBackground(context: ImageContext, work: Promise<void>): void {
  const tracked = work.finally(() => context.imports.delete(tracked))
  context.imports.add(tracked)
}

function finishStaged(context: ImageContext, image: ImageRow, uploadId: string): Promise<void> {
  const staged = { bytes: image.size ?? 0, md5: image.checksum ?? '', sha512: image.hash_value ?? '' }
  return finish(context, image, uploadId, async () => staged)
}

async function finish(context: ImageContext, image: ImageRow, uploadId: string, data: () => Promise<Written>): Promise<void> {
  try {
    await vouching(context, image.id, uploadId, async () => activate(context, image, uploadId, await data(), 'importing'))
    await endTask(context.database.db, uploadId, 'success', '')
  } catch (error) {
    const reason = describe(error).message
    context.log.warn({ image: image.id, reason }, 'import failed')
    await giveBack(context, image.id, uploadId, 'importing')
    await endTask(context.database.db, uploadId, 'failure', reason)
    await context.database.transaction(async (trx) => {
      const left = await holdImage(trx, image.id)
      if (!left) return
      const properties = { ...left.properties, [FAILED]: STORE_ID, [ERROR]: reason }
      await updateImage(trx, image.id, {}, { properties })
    })
  }
}
