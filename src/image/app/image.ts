import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { conflict, Fault, forbidden, notFound } from '../../kernel/errors/errors.ts'
import { deleteImage, findImage, type Image, insertImage, updateImage } from '../db/images.ts'
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

const noImage = (id: string) => notFound(`No image found with ID ${id}`, 'ImageNotFound')

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
  const taken = () => conflict(`Image ID ${image.id} already exists!`, 'ImageExists')
  if (asked.id && (await findImage(context.database.db, asked.id))) throw taken()
  try {
    await context.database.transaction((trx) => insertImage(trx, image))
  } catch (error) {
    if (await findImage(context.database.db, image.id)) throw taken()
    throw error
  }
  return image
}

/** Keeps what a patch made of an image. @throws Fault 413 for too many tags or properties */
export async function saveImage(context: ImageContext, before: Image, after: Image): Promise<Image> {
  if (before.status !== 'queued')
    for (const format of ['disk_format', 'container_format'] as const)
      if (before[format] !== after[format]) throw forbidden(`Attribute ${format} can be only replaced for a queued image.`)
  checkCounts(after.tags, after.properties)
  const { name, owner, visibility, hidden, disk_format, container_format, min_ram, min_disk } = after
  const columns = { name, owner, visibility, protected: after.protected, hidden, disk_format, container_format, min_ram, min_disk }
  await context.database.transaction((trx) => updateImage(trx, before.id, columns, { tags: after.tags, properties: after.properties }))
  return (await findImage(context.database.db, before.id)) ?? after
}

/** Takes the row and then the data; what a crash leaves between the two the reconciler removes. @throws Fault 403 when it is protected */
export async function removeImage(context: ImageContext, image: Image): Promise<void> {
  if (image.protected) throw forbidden(`Image ${image.id} is protected and cannot be deleted.`, 'ImageProtected')
  await context.database.transaction((trx) => deleteImage(trx, image.id))
  await context.store.remove(image.id)
}

export async function addTag(context: ImageContext, image: Image, tag: string): Promise<void> {
  if (image.tags.includes(tag)) return
  checkCounts([...image.tags, tag], image.properties)
  await context.database.transaction((trx) => updateImage(trx, image.id, {}, { tags: [...image.tags, tag] }))
}

/** @throws Fault 404 when the image has no such tag */
export async function removeTag(context: ImageContext, image: Image, tag: string): Promise<void> {
  if (!image.tags.includes(tag)) throw notFound(`The tag ${tag} was not found on image ${image.id}.`)
  await context.database.transaction((trx) => updateImage(trx, image.id, {}, { tags: image.tags.filter((one) => one !== tag) }))
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
