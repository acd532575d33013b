import { badRequest, Fault, forbidden } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { ImageContext } from '../app/context.ts'
import type { Image } from '../app/image.ts'
import { addTag, changeImage, createImage, type NewImage, removeImage, removeTag } from '../app/image.ts'
import { pageOfImages } from '../app/list.ts'
import { applyPatch, type Change, isReserved } from '../app/patch.ts'
import { STORE_ID } from '../app/store.ts'
import { setActive } from '../app/upload.ts'
import { IMPORT_METHODS } from './info.ts'
import { ImageList, ImageQuery, ImageView, NewImageBody, PatchBody } from './schemas.ts'
import { imageTarget, seen, targetImage, viewerOf } from './seen.ts'
import { imageListView, imageView } from './views.ts'

/** The older one names the operation by its key: `{"replace": "/name", "value": …}`. */
const PATCH_TYPES = ['application/openstack-images-v2.1-json-patch', 'application/openstack-images-v2.0-json-patch'] as const
const ATTRIBUTES = new Set([
  'id',
  'name',
  'owner',
  'visibility',
  'protected',
  'os_hidden',
  'disk_format',
  'container_format',
  'min_ram',
  'min_disk',
  'tags',
])
const READ_ONLY = new Set([
  'created_at',
  'updated_at',
  'status',
  'checksum',
  'size',
  'virtual_size',
  'direct_url',
  'self',
  'file',
  'schema',
  'os_hash_algo',
  'os_hash_value',
  'stores',
])

export function imageRoutes(context: ImageContext): Route[] {
  const target = targetImage(context)
  return [
    {
      method: 'POST',
      path: '/images',
      doc: 'Create an image record; its data is uploaded or imported later',
      policy: 'add_image',
      status: 201,
      target: (request) => ({ project_id: request.context.projectId, owner: request.body?.owner ?? request.context.projectId }),
      body: NewImageBody,
      response: ImageView,
      async handler(request) {
        const asked = newImage(request.body)
        checkVisibility(request, asked.visibility, { project_id: request.context.projectId })
        const image = await createImage(context, viewerOf(request), asked)
        return new Reply(imageView(image), {
          headers: {
            Location: request.link(`/images/${image.id}`),
            'OpenStack-image-import-methods': IMPORT_METHODS.join(','),
            'OpenStack-image-store-ids': STORE_ID,
          },
        })
      },
    },
    {
      method: 'GET',
      path: '/images',
      doc: 'List images, filtered, sorted, in pages',
      policy: 'get_images',
      query: ImageQuery,
      response: ImageList,
      async handler(request) {
        const { images, more } = await pageOfImages(context, viewerOf(request), request.query)
        return imageListView(images, more, request.rawQuery)
      },
    },
    {
      method: 'GET',
      path: '/images/:image_id',
      doc: 'Show an image',
      policy: 'get_image',
      target,
      response: ImageView,
      handler: async (request) => imageView((await seen(context, request)).image),
    },
    {
      method: 'PATCH',
      path: '/images/:image_id',
      doc: 'Change attributes and properties of an image by JSON patch',
      policy: 'modify_image',
      target,
      body: PatchBody,
      response: ImageView,
      async handler(request) {
        const changes = changesOf(request)
        const { image, member } = await seen(context, request)
        const changed = await changeImage(context, image.id, (before) => {
          const after = applyPatch(before, changes)
          if (after.visibility !== before.visibility) checkVisibility(request, after.visibility, imageTarget(before, member))
          if (after.owner !== before.owner && !viewerOf(request).isAdmin)
            throw forbidden("Attribute 'owner' may be changed by administrators only.")
          return after
        })
        return imageView(changed)
      },
    },
    {
      method: 'DELETE',
      path: '/images/:image_id',
      doc: 'Delete an image and its data',
      policy: 'delete_image',
      target,
      response: 'nothing',
      handler: async (request) => removeImage(context, (await seen(context, request)).image),
    },
    {
      method: 'PUT',
      path: '/images/:image_id/tags/:tag',
      doc: 'Tag an image',
      policy: 'modify_image',
      target,
      response: 'nothing',
      async handler(request) {
        if (request.params.tag!.length > 255) throw badRequest('A tag has at most 255 characters.')
        await addTag(context, (await seen(context, request)).image, request.params.tag!)
      },
    },
    {
      method: 'DELETE',
      path: '/images/:image_id/tags/:tag',
      doc: 'Take a tag away',
      policy: 'modify_image',
      target,
      response: 'nothing',
      handler: async (request) => removeTag(context, (await seen(context, request)).image, request.params.tag!),
    },
    {
      method: 'POST',
      path: '/images/:image_id/actions/deactivate',
      doc: 'Forbid the use of an image',
      policy: 'deactivate',
      target,
      response: 'nothing',
      handler: async (request) => setActive(context, (await seen(context, request)).image, false),
    },
    {
      method: 'POST',
      path: '/images/:image_id/actions/reactivate',
      doc: 'Allow the use of an image again',
      policy: 'reactivate',
      target,
      response: 'nothing',
      handler: async (request) => setActive(context, (await seen(context, request)).image, true),
    },
  ]
}

/** Splits a body into attributes and properties. @throws Fault 403 for what clients may not set */
function newImage(body: Record<string, any>): NewImage {
  const asked: NewImage = { properties: {} }
  for (const [name, value] of Object.entries(body)) {
    if (READ_ONLY.has(name)) throw forbidden(`Attribute '${name}' is read-only.`)
    if (isReserved(name)) throw forbidden(`Attribute '${name}' is reserved.`)
    if (name.length === 0 || name.length > 255) throw badRequest('The name of a property has 1 to 255 characters.')
    if (ATTRIBUTES.has(name)) Object.assign(asked, { [name]: value })
    else asked.properties[name] = value
  }
  return asked
}

function checkVisibility(request: ApiRequest, visibility: Image['visibility'] | undefined, target: Record<string, unknown>): void {
  if (visibility === 'public') request.enforce('publicize_image', target)
  if (visibility === 'community') request.enforce('communitize_image', target)
}

/** @throws Fault 415, or 400 where the changes are not of the kind that the content type says */
function changesOf(request: ApiRequest): Change[] {
  const [now, older] = PATCH_TYPES
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== now && type !== older)
    throw new Fault(415, 'UnsupportedMediaType', `Content-Type ${type || '(none)'} is not supported here; send ${now}.`, {
      headers: { 'Accept-Patch': PATCH_TYPES.join(', ') },
    })
  return request.body.map((one: Record<string, any>): Change => {
    const ops = (['add', 'replace', 'remove'] as const).filter((op) => op in one)
    if (type === now) {
      if (!one.op || ops.length > 0 || one.path === undefined) throw badRequest('Each change has op and path.')
      return one as Change
    }
    if (ops.length !== 1 || 'op' in one)
      throw badRequest('Operation objects must contain exactly one member named "add", "remove", or "replace".')
    return { op: ops[0]!, path: one[ops[0]!], ...('value' in one ? { value: one.value } : {}) }
  })
}
