import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { conflict, Fault, forbidden, notFound } from '../../kernel/errors/errors.ts'
import { deleteImage, findImage, type Handle, holdImage, type Image, insertImage, isTaken, updateImage } from '../db/images.ts'
import { findMember } from '../db/members.ts'
import type { MemberRow, Visibility } from '../db/tables.ts'
import type { ImageContext } from './context.ts'

export type { Image }
export const MAX_TAGS = 128
export const MAX_PROPERTIES = 128

/** Who looks: the project, and whether it may see everybody's images. */
export interface Viewer {
  projectId: string | null
  isAdmin: boolean
}

export interface NewImage {
  id?: string
  name?: string | null
  owner?: string | null
  visibility?: Visibility
  protected?: boolean
  os_hidden?: boolean
  disk_format?: string | null
  container_format?: string | null
  min_ram?: number
  min_disk?: number
  tags?: string[]
  properties: Record<string, string | null>
}

export const noImage = (id: string) => notFound(`No image found with ID ${id}`, 'ImageNotFound')

/** The image, if the viewer may know of it, and the viewer's membership if it is shared with them. @throws Fault 404 */
export async function seeImage(context: ImageContext, id: string, viewer: Viewer): Promise<{ image: Image; member: MemberRow | null }> {
  const image = await findImage(context.database.db, id)
  if (!image) throw noImage(id)
  const member =
    viewer.projectId && image.visibility === 'shared' ? ((await findMember(context.database.db, id, viewer.projectId)) ?? null) : null
  const seen =
    viewer.isAdmin || member || image.owner === viewer.projectId || image.visibility === 'public' || image.visibility === 'community'
  if (!seen) throw noImage(id)
  return { image, member }
}

/** A row in status queued: the data comes later. @throws Fault 409 when the id is taken, 413 for too many tags or properties */
export async function createImage(context: ImageContext, viewer: Viewer, asked: NewImage): Promise<Image> {
  checkCounts(asked.tags ?? [], asked.properties)
  const at = timestamp()
  const image: Image = {
    id: asked.id ?? randomUUID(),
    name: asked.name ?? null,
    owner: asked.owner ?? viewer.projectId,
    status: 'queued',
    visibility: asked.visibility ?? 'shared',
    protected: Number(asked.protected ?? false),
    hidden: Number(asked.os_hidden ?? false),
    disk_format: asked.disk_format ?? null,
    container_format: asked.container_format ?? null,
    size: null,
    virtual_size: null,
    checksum: null,
    hash_algo: null,
    hash_value: null,
    min_ram: asked.min_ram ?? 0,
    min_disk: asked.min_disk ?? 0,
    upload_id: null,
    lease_until: null,
    created_at: at,
    updated_at: at,
    tags: [...new Set(asked.tags ?? [])].sort(),
    properties: asked.properties,
  }
  await context.database.transaction(async (trx) => {
    if (asked.id && (await isTaken(trx, asked.id))) throw conflict(`Image ID ${asked.id} already exists!`, 'ImageExists')
    await insertImage(trx, image)
  })
  return image
}

/** What is decided by what the image is at this moment, and written: nobody else changes it meanwhile. @throws Fault 404 when it is gone */
export async function changing<T>(context: ImageContext, id: string, work: (trx: Handle, image: Image) => Promise<T>): Promise<T> {
  return await context.database.transaction(async (trx) => {
    const image = await holdImage(trx, id)
    if (!image) throw noImage(id)
    return await work(trx, image)
  })
}

/** Keeps what `change` makes of an image. @throws Fault 403 for formats of data that are there, 404 when it is gone, 413 for too many tags or properties */
export async function changeImage(context: ImageContext, id: string, change: (image: Image) => Image): Promise<Image> {
  return await changing(context, id, async (trx, before) => {
    const after = change(before)
    if (before.status !== 'queued')
      for (const format of ['disk_format', 'container_format'] as const)
        if (before[format] !== after[format]) throw forbidden(`Attribute ${format} can be only replaced for a queued image.`)
    checkCounts(after.tags, after.properties)
    const { name, owner, visibility, hidden, disk_format, container_format, min_ram, min_disk } = after
    const columns = { name, owner, visibility, protected: after.protected, hidden, disk_format, container_format, min_ram, min_disk }
    await updateImage(trx, id, columns, { tags: after.tags, properties: after.properties })
    return (await findImage(trx, id)) ?? after
  })
}

/** Takes the row and then the data; what a crash leaves between the two the reconciler removes. @throws Fault 403 when it is protected, 404 when it is gone */
export async function removeImage(context: ImageContext, { id }: Image): Promise<void> {
  const uploadId = await changing(context, id, async (trx, image) => {
    if (image.protected) throw forbidden(`Image ${id} is protected and cannot be deleted.`, 'ImageProtected')
    await deleteImage(trx, id)
    return image.upload_id
  })
  await context.store.remove(id)
  if (uploadId) await context.store.discardPart(uploadId)
}

export async function addTag(context: ImageContext, { id, tags }: Image, tag: string): Promise<void> {
  if (tags.includes(tag)) return
  await changing(context, id, async (trx, image) => {
    const all = [...new Set([...image.tags, tag])]
    checkCounts(all, image.properties)
    await updateImage(trx, id, {}, { tags: all })
  })
}

/** @throws Fault 404 when the image has no such tag */
export async function removeTag(context: ImageContext, { id }: Image, tag: string): Promise<void> {
  await changing(context, id, async (trx, image) => {
    if (!image.tags.includes(tag)) throw notFound(`The tag ${tag} was not found on image ${id}.`)
    await updateImage(trx, id, {}, { tags: image.tags.filter((one) => one !== tag) })
  })
}

function checkCounts(tags: string[], properties: Record<string, unknown>): void {
  for (const [what, count, most] of [
    ['tags', tags.length, MAX_TAGS],
    ['image properties', Object.keys(properties).length, MAX_PROPERTIES],
  ] as const)
    if (count > most)
      throw new Fault(
        413,
        'LimitExceeded',
        `The limit has been exceeded on the number of allowed ${what}. Attempted: ${count}, Maximum: ${most}`,
      )
}
