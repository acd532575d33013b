import type { ImageChange, ImageDocument } from '../../image/client.ts'
import { badRequest, Fault, notFound } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { ComputeContext } from './context.ts'
import { limitsOf } from './quota.ts'
import { timeOf } from './time.ts'

/** What compute called an image's attributes; everything else of it is metadata. */
const ATTRIBUTES = new Set(
  'id name owner status visibility protected os_hidden disk_format container_format min_ram min_disk size virtual_size checksum os_hash_algo os_hash_value tags created_at updated_at self file schema locations direct_url stores'.split(
    ' ',
  ),
)
const STATUSES: Record<string, string[]> = {
  ACTIVE: ['active'],
  SAVING: ['queued', 'saving', 'uploading', 'importing'],
  DELETED: ['deleted', 'pending_delete'],
  ERROR: ['killed'],
}
export const MAX_IMAGES = 1000

export interface OlderImageFilter {
  name?: string
  status?: string
  /** Id of the server of which it was made. */
  server?: string
  type?: string
  changesSince?: string
  /** MiB */
  minRam?: number
  /** GiB */
  minDisk?: number
  marker?: string
  limit?: number
}

const as = (request: RequestContext) => ({ token: request.token, requestId: request.requestId })

/** @throws Fault 400 for a marker that is no image, or a time that is none */
export async function pageOfImages(
  context: ComputeContext,
  request: RequestContext,
  filter: OlderImageFilter,
): Promise<{ images: ImageDocument[]; more: boolean }> {
  const since = filter.changesSince === undefined ? '' : timeOf('changes-since', filter.changesSince).slice(0, 19)
  const statuses = filter.status === undefined ? null : (STATUSES[filter.status.toUpperCase()] ?? [])
  const all = await context.images.images(
    {
      ...(filter.name !== undefined ? { name: filter.name } : {}),
      ...(filter.server !== undefined ? { instance_uuid: filter.server } : {}),
      ...(filter.type !== undefined ? { image_type: filter.type } : {}),
    },
    as(request),
  )
  const fit = all.filter(
    (one) =>
      (statuses?.includes(one.status) ?? true) &&
      one.updated_at.slice(0, 19) >= since &&
      one.min_ram >= (filter.minRam ?? 0) &&
      one.min_disk >= (filter.minDisk ?? 0),
  )
  const from = filter.marker === undefined ? 0 : fit.findIndex(({ id }) => id === filter.marker) + 1
  if (filter.marker !== undefined && from === 0) throw badRequest(`marker [${filter.marker}] not found`)
  const limit = Math.min(filter.limit ?? MAX_IMAGES, MAX_IMAGES)
  return { images: fit.slice(from, from + limit), more: fit.length > from + limit && limit > 0 }
}

/** @throws Fault 404 */
export async function findImage(context: ComputeContext, request: RequestContext, id: string): Promise<ImageDocument> {
  return await context.images.image(id, as(request)).catch((error) => {
    throw error instanceof Fault && error.status === 404 ? notFound('Image not found.', 'ImageNotFound') : error
  })
}

/** @throws Fault 404, and 403 when it is protected or another project's */
export async function deleteImage(context: ComputeContext, request: RequestContext, id: string): Promise<void> {
  await findImage(context, request, id)
  await context.images.remove(id, as(request))
}

export const propertiesOf = (image: ImageDocument): Record<string, unknown> =>
  Object.fromEntries(Object.entries(image).filter(([name]) => !ATTRIBUTES.has(name)))

/** All properties afterwards. @throws Fault 404, 403 over quota or when the image is not to be changed */
export async function changeProperties(
  context: ComputeContext,
  request: RequestContext,
  id: string,
  properties: Record<string, string>,
  replace: boolean,
): Promise<Record<string, unknown>> {
  const before = propertiesOf(await findImage(context, request, id))
  const after = replace ? properties : { ...before, ...properties }
  const limit = (await limitsOf(context.database.db, request.projectId ?? '')).metadata_items
  if (limit >= 0 && Object.keys(after).length > limit) throw new Fault(403, 'MetadataLimitExceeded', 'Image metadata limit exceeded')
  const path = (name: string) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
  const changes: ImageChange[] = [
    ...Object.keys(before)
      .filter((name) => !Object.hasOwn(after, name))
      .map((name) => ({ op: 'remove' as const, path: path(name) })),
    ...Object.entries(after)
      .filter(([name, value]) => before[name] !== value)
      .map(([name, value]) => ({ op: Object.hasOwn(before, name) ? ('replace' as const) : ('add' as const), path: path(name), value })),
  ]
  return changes.length === 0 ? before : propertiesOf(await context.images.update(id, changes, as(request)))
}
