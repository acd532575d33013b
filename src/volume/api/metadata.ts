import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import * as metadata from '../app/metadata.ts'
import * as shape from './schemas.ts'
import { snapshotTarget, theSnapshot, theVolume, volumeTarget } from './seen.ts'

/** The same for volumes and snapshots. */
export const metadataRoutes = (context: VolumeContext): Route[] => [
  ...routesOf(context, 'volume', 'volumes', volumeTarget(context), theVolume, {
    read: 'volume:get_volume_metadata',
    write: 'volume:update_volume_metadata',
    remove: 'volume:delete_volume_metadata',
  }),
  ...routesOf(context, 'snapshot', 'snapshots', snapshotTarget(context), theSnapshot, {
    read: 'volume:get_snapshot_metadata',
    write: 'volume:update_snapshot_metadata',
    remove: 'volume:delete_snapshot_metadata',
  }),
]

function routesOf(
  context: VolumeContext,
  kind: 'volume' | 'snapshot',
  plural: string,
  target: Route['target'],
  load: (context: VolumeContext, request: ApiRequest) => Promise<{ id: string }>,
  policy: { read: string; write: string; remove: string },
): Route[] {
  const path = `/${plural}/:${kind}_id/metadata`
  const bodies =
    kind === 'volume' ? { all: shape.MetadataBody, one: shape.MetaBody } : { all: shape.SnapshotMetadataBody, one: shape.SnapshotMetaBody }
  const idOf = async (request: ApiRequest) => (await load(context, request)).id
  return [
    {
      method: 'GET',
      path,
      doc: `Show a ${kind}'s metadata`,
      policy: policy.read,
      target,
      response: shape.MetadataAnswer,
      handler: async (request) => ({ metadata: await metadata.metadataOf(context, kind, await idOf(request)) }),
    },
    {
      method: 'POST',
      path,
      doc: `Add metadata to a ${kind}`,
      policy: policy.write,
      target,
      body: bodies.all,
      response: shape.MetadataAnswer,
      handler: async (request) => ({ metadata: await metadata.addMetadata(context, kind, await idOf(request), request.body.metadata) }),
    },
    {
      method: 'PUT',
      path,
      doc: `Replace a ${kind}'s metadata`,
      policy: policy.write,
      target,
      body: bodies.all,
      response: shape.MetadataAnswer,
      handler: async (request) => ({ metadata: await metadata.replaceMetadata(context, kind, await idOf(request), request.body.metadata) }),
    },
    {
      method: 'GET',
      path: `${path}/:key`,
      doc: `Show one item of a ${kind}'s metadata`,
      policy: policy.read,
      target,
      response: shape.MetaAnswer,
      async handler(request) {
        const key = request.params.key!
        return { meta: { [key]: await metadata.metadataItem(context, kind, await idOf(request), key) } }
      },
    },
    {
      method: 'PUT',
      path: `${path}/:key`,
      doc: `Set one item of a ${kind}'s metadata`,
      policy: policy.write,
      target,
      body: bodies.one,
      response: shape.MetaAnswer,
      async handler(request) {
        const { meta } = request.body
        if (Object.keys(meta).join() !== request.params.key) throw badRequest('Request body and URI mismatch')
        await metadata.addMetadata(context, kind, await idOf(request), meta)
        return { meta }
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:key`,
      doc: `Remove one item of a ${kind}'s metadata`,
      policy: policy.remove,
      target,
      response: 'nothing',
      async handler(request) {
        await metadata.dropMetadata(context, kind, await idOf(request), request.params.key!)
        return new Reply(undefined, { status: 200 })
      },
    },
  ]
}
