import Type from 'typebox'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { completeAttachment, createAttachment, deleteAttachment } from '../app/attachment.ts'
import { connectAttachment } from '../app/connection.ts'
import type { VolumeContext } from '../app/context.ts'
import { listRows } from '../app/listing.ts'
import { seeVolume } from '../app/volume.ts'
import * as shape from './schemas.ts'
import { attachmentTarget, theAttachment, viewerOf } from './seen.ts'
import { attachmentView, attachmentWithConnection, nextLink } from './views.ts'

export function attachmentRoutes(context: VolumeContext): Route[] {
  const target = attachmentTarget(context)
  const list = (path: string, detail: boolean) => async (request: ApiRequest) => {
    const { rows, more } = await listRows(context, viewerOf(request), 'attachments', request.query)
    return { attachments: rows.map((row) => attachmentView(row, detail)), ...nextLink(request, path, 'attachments', rows, more) }
  }
  const since = { microversions: { min: '3.27' } }
  const listing = { policy: 'volume:attachment_get_all', query: shape.ListQuery, response: shape.AttachmentList, ...since }
  return [
    { ...listing, method: 'GET', path: '/attachments', doc: 'List attachments', handler: list('/attachments', false) },
    {
      ...listing,
      method: 'GET',
      path: '/attachments/detail',
      doc: 'List attachments with their times; connections are shown one by one only',
      handler: list('/attachments/detail', true),
    },
    {
      ...since,
      method: 'POST',
      path: '/attachments',
      doc: 'Reserve a volume for a server; with a connector export it at once',
      policy: 'volume:attachment_create',
      body: shape.NewAttachment,
      response: shape.AttachmentAnswer,
      async handler(request) {
        const viewer = viewerOf(request)
        const { attachment } = request.body
        const volume = await seeVolume(context, viewer, attachment.volume_uuid)
        request.enforce('volume:attachment_create', { project_id: volume.project_id })
        const row = await createAttachment(context, volume, {
          id: viewer.mayName ? attachment.id : undefined,
          instanceId: attachment.instance_uuid ?? null,
          mode: attachment.mode ?? 'rw',
          connector: attachment.connector ?? null,
        })
        return { attachment: attachmentWithConnection(row, true) }
      },
    },
    {
      ...since,
      method: 'GET',
      path: '/attachments/:attachment_id',
      doc: 'Show an attachment',
      policy: 'volume:attachment_get',
      target,
      response: shape.AttachmentAnswer,
      async handler(request) {
        const row = await theAttachment(context, request)
        const secret = request.allowed('volume:attachment_update', { project_id: row.project_id })
        return { attachment: attachmentWithConnection(row, secret) }
      },
    },
    {
      ...since,
      method: 'PUT',
      path: '/attachments/:attachment_id',
      doc: 'Export a volume to a connector',
      policy: 'volume:attachment_update',
      target,
      body: shape.AttachmentChange,
      response: shape.AttachmentAnswer,
      async handler(request) {
        const { id } = await theAttachment(context, request)
        const row = await connectAttachment(context, id, request.body.attachment.connector)
        return { attachment: attachmentWithConnection(row, true) }
      },
    },
    {
      method: 'POST',
      microversions: { min: '3.44' },
      path: '/attachments/:attachment_id/action',
      action: 'os-complete',
      doc: 'Note that the guest has the volume',
      policy: 'volume:attachment_complete',
      target,
      response: 'nothing',
      async handler(request) {
        await completeAttachment(context, await theAttachment(context, request))
        return new Reply(undefined, { status: 204 })
      },
    },
    {
      ...since,
      method: 'DELETE',
      path: '/attachments/:attachment_id',
      doc: 'End an attachment; the last one ends the export',
      policy: 'volume:attachment_delete',
      target,
      response: Type.Object({ attachments: Type.Array(shape.AttachmentView) }),
      async handler(request) {
        const rest = await deleteAttachment(context, await theAttachment(context, request))
        return { attachments: rest.map((row) => attachmentView(row, true)) }
      },
    },
  ]
}
