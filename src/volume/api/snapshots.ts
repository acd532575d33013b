import Type from 'typebox'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import { listRows } from '../app/listing.ts'
import { addMetadata, checkMetadata } from '../app/metadata.ts'
import { createSnapshot, deleteSnapshot, dressed, seeSnapshot, tellSnapshotStatus, updateSnapshot } from '../app/snapshot.ts'
import { seeVolume } from '../app/volume.ts'
import * as shape from './schemas.ts'
import { snapshotTarget, theSnapshot, truth, viewerOf } from './seen.ts'
import { nextLink, snapshotView } from './views.ts'
import { renaming } from './volumes.ts'

export function snapshotRoutes(context: VolumeContext): Route[] {
  const target = snapshotTarget(context)
  const list = (path: string, extended: boolean) => async (request: ApiRequest) => {
    const { rows, more } = await listRows(context, viewerOf(request), 'snapshots', request.query)
    const snapshots = (await dressed(context, rows)).map((one) => snapshotView(request, one, extended))
    return { snapshots, ...nextLink(request, path, 'snapshots', rows, more) }
  }
  const listing = { method: 'GET', policy: 'volume:get_all_snapshots', query: shape.ListQuery, response: shape.SnapshotList } as const
  return [
    { ...listing, path: '/snapshots', doc: 'List snapshots', handler: list('/snapshots', false) },
    { ...listing, path: '/snapshots/detail', doc: 'List snapshots with all they have', handler: list('/snapshots/detail', true) },
    {
      method: 'POST',
      path: '/snapshots',
      doc: 'Make a snapshot of a volume',
      policy: 'volume:create_snapshot',
      status: 202,
      body: shape.NewSnapshot,
      response: shape.SnapshotAnswer,
      async handler(request) {
        const viewer = viewerOf(request)
        const { snapshot } = request.body
        const volume = await seeVolume(context, viewer, snapshot.volume_id ?? 'None')
        request.enforce('volume:create_snapshot', { project_id: volume.project_id })
        const { name = '', description = null } = renaming(snapshot)
        checkMetadata(snapshot.metadata ?? {})
        // since 3.66 nobody has to insist any more
        const force = truth(snapshot.force) || request.version.atLeast('3.66')
        const id = viewer.mayName ? snapshot.id : undefined
        const made = await createSnapshot(context, viewer, volume, { id, name, description, metadata: snapshot.metadata ?? {}, force })
        return { snapshot: snapshotView(request, made, false) }
      },
    },
    {
      method: 'GET',
      path: '/snapshots/:snapshot_id',
      doc: 'Show a snapshot',
      policy: 'volume:get_snapshot',
      target,
      response: shape.SnapshotAnswer,
      handler: async (request) => ({ snapshot: snapshotView(request, await theSnapshot(context, request)) }),
    },
    {
      method: 'PUT',
      path: '/snapshots/:snapshot_id',
      doc: 'Rename a snapshot or change its description',
      policy: 'volume:update_snapshot',
      target,
      body: shape.SnapshotChange,
      response: shape.SnapshotAnswer,
      async handler(request) {
        const snapshot = await theSnapshot(context, request)
        const { metadata } = request.body.snapshot
        await updateSnapshot(context, snapshot, renaming(request.body.snapshot))
        if (metadata) await addMetadata(context, 'snapshot', snapshot.id, metadata)
        return { snapshot: snapshotView(request, await seeSnapshot(context, viewerOf(request), snapshot.id), false) }
      },
    },
    {
      method: 'DELETE',
      path: '/snapshots/:snapshot_id',
      doc: 'Delete a snapshot',
      policy: 'volume:delete_snapshot',
      target,
      response: 'nothing',
      async handler(request) {
        await deleteSnapshot(context, viewerOf(request), await theSnapshot(context, request))
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      method: 'POST',
      path: '/snapshots/:snapshot_id/action',
      action: 'os-reset_status',
      doc: "Say what a snapshot's status is (administrators)",
      policy: 'volume_extension:snapshot_admin_actions:reset_status',
      target,
      body: shape.action(
        'os-reset_status',
        Type.Object(
          { status: shape.Choice(['available', 'creating', 'deleting', 'error', 'error_deleting']) },
          { additionalProperties: false },
        ),
      ),
      response: 'nothing',
      async handler(request) {
        await updateSnapshot(context, await theSnapshot(context, request), { status: request.body['os-reset_status'].status })
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      method: 'POST',
      path: '/snapshots/:snapshot_id/action',
      action: 'os-update_snapshot_status',
      doc: 'Say how far a snapshot is that is made outside',
      policy: 'snapshot_extension:snapshot_actions:update_snapshot_status',
      target,
      body: shape.action(
        'os-update_snapshot_status',
        Type.Object(
          { status: shape.Text, progress: Type.Optional(Type.String({ pattern: '^(100|[1-9]?[0-9])%$' })) },
          { additionalProperties: false },
        ),
      ),
      response: 'nothing',
      async handler(request) {
        const { status, progress } = request.body['os-update_snapshot_status']
        await tellSnapshotStatus(context, await theSnapshot(context, request), status, progress)
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      method: 'POST',
      path: '/snapshots/:snapshot_id/action',
      action: 'os-force_delete',
      doc: 'Delete a snapshot whatever its status (administrators)',
      policy: 'volume_extension:snapshot_admin_actions:force_delete',
      target,
      body: shape.action('os-force_delete', shape.Anything),
      response: 'nothing',
      async handler(request) {
        await deleteSnapshot(context, viewerOf(request), await theSnapshot(context, request), { force: true })
        return new Reply(undefined, { status: 202 })
      },
    },
  ]
}
