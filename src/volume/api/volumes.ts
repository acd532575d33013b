import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import { countRows, isTrue, listRows } from '../app/listing.ts'
import { addMetadata, checkMetadata } from '../app/metadata.ts'
import type { NewVolume } from '../app/new-volume.ts'
import { createVolume, deleteVolume, dressed, seeVolume, updateVolume } from '../app/volume.ts'
import { Summary } from './answers.ts'
import * as shape from './schemas.ts'
import { theVolume, viewerOf, volumeTarget } from './seen.ts'
import { briefVolume, changedVolumeView, nextLink, volumeView } from './views.ts'

export function volumeRoutes(context: VolumeContext): Route[] {
  const target = volumeTarget(context)
  const list = async (request: ApiRequest, path: string) => {
    const viewer = viewerOf(request)
    const { rows, more } = await listRows(context, viewer, 'volumes', request.query)
    const counted = request.version.atLeast('3.45') && isTrue(request.query.with_count)
    const count = counted ? { count: (await countRows(context, viewer, 'volumes', request.query)).count } : {}
    return { rows, rest: { ...nextLink(request, path, 'volumes', rows, more), ...count } }
  }
  return [
    {
      method: 'GET',
      path: '/volumes',
      doc: 'List volumes',
      policy: 'volume:get_all',
      query: shape.ListQuery,
      response: shape.VolumeList,
      async handler(request) {
        const { rows, rest } = await list(request, '/volumes')
        return { volumes: rows.map((row) => briefVolume(request, row)), ...rest }
      },
    },
    {
      method: 'GET',
      path: '/volumes/detail',
      doc: 'List volumes with all they have',
      policy: 'volume:get_all',
      query: shape.ListQuery,
      response: shape.VolumeDetails,
      async handler(request) {
        const { rows, rest } = await list(request, '/volumes/detail')
        return { volumes: (await dressed(context, rows)).map((volume) => volumeView(request, volume)), ...rest }
      },
    },
    {
      method: 'GET',
      path: '/volumes/summary',
      doc: 'Count volumes and their size',
      policy: 'volume:get_all',
      microversions: { min: '3.12' },
      query: shape.ListQuery,
      response: Summary,
      async handler(request) {
        const { count, size } = await countRows(context, viewerOf(request), 'volumes', request.query)
        const metadata = request.version.atLeast('3.36') ? { metadata: {} } : {}
        return { 'volume-summary': { total_count: count, total_size: size, ...metadata } }
      },
    },
    ...[
      { body: shape.NewVolumeUntil352, microversions: { max: '3.52' } },
      { body: shape.NewVolume, microversions: { min: '3.53' } },
    ].map(
      (until): Route => ({
        ...until,
        method: 'POST',
        path: '/volumes',
        doc: 'Create a volume: empty, or from an image, a snapshot or a volume',
        policy: 'volume:create',
        status: 202,
        response: shape.VolumeAnswer,
        async handler(request) {
          const volume = await createVolume(context, viewerOf(request), newVolume(request))
          return { volume: changedVolumeView(request, volume) }
        },
      }),
    ),
    {
      method: 'GET',
      path: '/volumes/:volume_id',
      doc: 'Show a volume',
      policy: 'volume:get',
      target,
      response: shape.VolumeAnswer,
      handler: async (request) => ({ volume: volumeView(request, await theVolume(context, request)) }),
    },
    {
      method: 'PUT',
      path: '/volumes/:volume_id',
      doc: 'Rename a volume, change its description or metadata',
      policy: 'volume:update',
      target,
      body: shape.VolumeChange,
      response: shape.VolumeAnswer,
      async handler(request) {
        const volume = await theVolume(context, request)
        const { metadata } = request.body.volume
        if (request.version.atLeast('3.53') && Object.keys(request.body.volume).length === 0)
          throw badRequest('Invalid input for field/attribute volume. Value: {}. There is nothing to change')
        await updateVolume(context, volume, renaming(request.body.volume))
        if (metadata) await addMetadata(context, 'volume', volume.id, metadata)
        return { volume: changedVolumeView(request, await seeVolume(context, viewerOf(request), volume.id)) }
      },
    },
    {
      method: 'DELETE',
      path: '/volumes/:volume_id',
      doc: 'Delete a volume; with cascade its snapshots, too',
      policy: 'volume:delete',
      target,
      query: shape.ListQuery,
      response: 'nothing',
      async handler(request) {
        const force = isTrue(request.query.force)
        if (force) request.enforce('volume:force_delete', await target(request))
        const options = { cascade: isTrue(request.query.cascade), force }
        await deleteVolume(context, viewerOf(request), await theVolume(context, request), options)
        return new Reply(undefined, { status: 202 })
      },
    },
  ]
}

/** The older names of name and description count, too. */
export function renaming(body: Record<string, any>): { name?: string; description?: string | null } {
  const name = body.name !== undefined ? body.name : body.display_name
  const description = body.description !== undefined ? body.description : body.display_description
  return { ...(name === undefined ? {} : { name: (name ?? '').trim() }), ...(description === undefined ? {} : { description }) }
}

function newVolume(request: ApiRequest): NewVolume {
  const { volume } = request.body
  const viewer = viewerOf(request)
  const { name = '', description = null } = renaming(volume)
  const text = (value: unknown) => (value ? String(value) : null)
  checkMetadata(volume.metadata ?? {})
  return {
    ...(viewer.mayName && volume.id ? { id: volume.id } : {}),
    projectId: (viewer.mayName && text(volume.project_id)) || viewer.projectId || '',
    userId: (viewer.mayName && text(volume.user_id)) || viewer.userId || '',
    sizeGiB: volume.size === undefined || volume.size === null ? null : Number(volume.size),
    name,
    description,
    type: text(volume.volume_type),
    zone: text(volume.availability_zone),
    imageId: text(volume.imageRef ?? volume.image_id),
    multiattach: isTrue(volume.multiattach),
    snapshotId: text(volume.snapshot_id),
    sourceVolumeId: text(volume.source_volid),
    metadata: volume.metadata ?? {},
  }
}
