import Type from 'typebox'
import type { ImageDocument } from '../../../image/client.ts'
import { badRequest, notFound } from '../../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../../kernel/http/route.ts'
import { lastOf, queryOf } from '../../../kernel/http/schema.ts'
import type { ComputeContext } from '../../app/context.ts'
import { changeProperties, deleteImage, findImage, type OlderImageFilter, pageOfImages, propertiesOf } from '../../app/older-images.ts'
import { ImageMetadata, Link, Paged, Shown } from '../answers.ts'
import { closed, links, Metadata, nextLink, seconds, Wrapped, wholeNumber } from '../common.ts'

const POLICY = 'os_compute_api:images:'
const Brief = Type.Object({ id: Type.String(), name: Type.Union([Type.String(), Type.Null()]), links: Type.Array(Link) }, closed)
const Image = Type.Object(
  {
    ...Brief.properties,
    minRam: Type.Integer(),
    minDisk: Type.Integer(),
    metadata: ImageMetadata,
    created: Type.String(),
    updated: Type.String(),
    status: Type.String(),
    progress: Type.Integer(),
    'OS-EXT-IMG-SIZE:size': Type.Union([Type.Integer(), Type.Null()]),
    server: Type.Optional(Type.Object({ id: Type.String(), links: Type.Array(Link) }, closed)),
  },
  closed,
)
const STATUS: Record<string, string> = {
  active: 'ACTIVE',
  queued: 'SAVING',
  saving: 'SAVING',
  uploading: 'SAVING',
  importing: 'SAVING',
  killed: 'ERROR',
}

/** The image service as compute showed it before 2.36, and images' metadata before 2.39. */
export function olderImageRoutes(context: ComputeContext): Route[] {
  const list = (path: string, detailed: boolean): Route => ({
    method: 'GET',
    path,
    doc: `List images${detailed ? ' in full' : ''} (the image API does it since 2.36)`,
    policy: `${POLICY}list`,
    microversions: { max: '2.35' },
    query: queryOf('name', 'status', 'server', 'type', 'changes-since', 'minRam', 'minDisk', 'marker', 'limit'),
    response: Paged('images', detailed ? Image : Brief),
    async handler(request) {
      const { images, more } = await pageOfImages(context, request.context, filterOf(request))
      const next = nextLink(request, path, more, images.at(-1)?.id)
      return { images: images.map((one) => (detailed ? view(request, one) : brief(request, one))), ...(next ? { images_links: next } : {}) }
    },
  })
  return [
    list('/images', false),
    list('/images/detail', true),
    {
      method: 'GET',
      path: '/images/:image_id',
      doc: 'Show an image (the image API does it since 2.36)',
      policy: `${POLICY}show`,
      microversions: { max: '2.35' },
      response: Shown('image', Image),
      handler: async (request) => ({ image: view(request, await findImage(context, request.context, request.params.image_id!)) }),
    },
    {
      method: 'DELETE',
      path: '/images/:image_id',
      doc: 'Delete an image (the image API does it since 2.36)',
      policy: `${POLICY}delete`,
      microversions: { max: '2.35' },
      status: 204,
      response: 'nothing',
      handler: (request) => deleteImage(context, request.context, request.params.image_id!),
    },
    ...metadataRoutes(context),
  ]
}

function metadataRoutes(context: ComputeContext): Route[] {
  const path = '/images/:image_id/metadata'
  const shared = { microversions: { max: '2.38' } }
  const whole = { ...shared, response: Shown('metadata', ImageMetadata) }
  const now = async (request: ApiRequest) => propertiesOf(await findImage(context, request.context, request.params.image_id!))
  const change = (request: ApiRequest, properties: Record<string, string>, replace = false) =>
    changeProperties(context, request.context, request.params.image_id!, properties, replace)
  const there = (request: ApiRequest, properties: Record<string, unknown>) => {
    const { key } = request.params
    if (!Object.hasOwn(properties, key!)) throw notFound('Metadata item was not found', 'MetadataItemNotFound')
    return key!
  }
  return [
    {
      method: 'GET',
      path,
      doc: "Show an image's metadata",
      policy: `${POLICY}show`,
      ...whole,
      handler: async (request) => ({ metadata: await now(request) }),
    },
    {
      method: 'POST',
      path,
      doc: "Add to an image's metadata",
      policy: `${POLICY}update`,
      ...whole,
      body: Wrapped('metadata', Metadata),
      handler: async (request) => ({ metadata: await change(request, request.body.metadata) }),
    },
    {
      method: 'PUT',
      path,
      doc: "Replace an image's metadata",
      policy: `${POLICY}update`,
      ...whole,
      body: Wrapped('metadata', Metadata),
      handler: async (request) => ({ metadata: await change(request, request.body.metadata, true) }),
    },
    {
      method: 'GET',
      path: `${path}/:key`,
      doc: "Show one item of an image's metadata",
      policy: `${POLICY}show`,
      ...shared,
      response: Shown('meta', ImageMetadata),
      async handler(request) {
        const properties = await now(request)
        const key = there(request, properties)
        return { meta: { [key]: properties[key] } }
      },
    },
    {
      method: 'PUT',
      path: `${path}/:key`,
      doc: "Set one item of an image's metadata",
      policy: `${POLICY}update`,
      ...shared,
      body: Wrapped('meta', Metadata),
      response: Shown('meta', ImageMetadata),
      async handler(request) {
        const { key } = request.params
        if (Object.keys(request.body.meta).length !== 1 || !Object.hasOwn(request.body.meta, key!))
          throw badRequest('Request body and URI mismatch')
        return { meta: { [key!]: (await change(request, request.body.meta))[key!] } }
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:key`,
      doc: "Remove one item of an image's metadata",
      policy: `${POLICY}update`,
      ...shared,
      status: 204,
      response: 'nothing',
      async handler(request) {
        const properties = await now(request)
        const { [there(request, properties)]: _gone, ...rest } = properties
        await change(request, rest as Record<string, string>, true)
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}

function filterOf(request: ApiRequest): OlderImageFilter {
  const query = lastOf(request.query)
  return {
    name: query.name,
    status: query.status,
    server: query.server?.split('/').at(-1),
    type: query.type,
    changesSince: query['changes-since'],
    minRam: wholeNumber('minRam', query.minRam),
    minDisk: wholeNumber('minDisk', query.minDisk),
    marker: query.marker,
    limit: wholeNumber('limit', query.limit),
  }
}

const brief = (request: ApiRequest, image: ImageDocument) => ({
  id: image.id,
  name: image.name,
  links: [
    ...links(request, `/images/${image.id}`),
    { rel: 'alternate', href: `${new URL(request.link('/')).origin}/image/images/${image.id}`, type: 'application/vnd.openstack.image' },
  ],
})

function view(request: ApiRequest, image: ImageDocument) {
  const status = STATUS[image.status] ?? 'UNKNOWN'
  const server = image.instance_uuid as string | undefined
  return {
    ...brief(request, image),
    minRam: image.min_ram,
    minDisk: image.min_disk,
    metadata: propertiesOf(image),
    created: seconds(image.created_at),
    updated: seconds(image.updated_at),
    status,
    progress: status === 'ACTIVE' ? 100 : status === 'SAVING' ? 25 : 0,
    'OS-EXT-IMG-SIZE:size': image.size,
    ...(server ? { server: { id: server, links: links(request, `/servers/${server}`) } } : {}),
  }
}
