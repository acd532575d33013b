import type { ApiRequest } from '../../kernel/http/route.ts'
import { type AttachmentRow, seeAttachment } from '../app/attachment.ts'
import type { Viewer, VolumeContext } from '../app/context.ts'
import { type Snapshot, seeSnapshot } from '../app/snapshot.ts'
import { seeTransfer, type TransferRow } from '../app/transfer.ts'
import { seeVolume, type Volume } from '../app/volume.ts'

export function viewerOf(request: ApiRequest): Viewer {
  const { context } = request
  const service = request.allowed('admin_or_service')
  return {
    projectId: context.projectId,
    userId: context.userId,
    isAdmin: service,
    mayName: service,
    token: context.token,
    requestId: context.requestId,
  }
}

/** Loads once for policy and handler what the address names. */
function once<T>(load: (context: VolumeContext, viewer: Viewer, id: string) => Promise<T>, parameter: string) {
  const known = new WeakMap<ApiRequest, Promise<T>>()
  return (context: VolumeContext, request: ApiRequest): Promise<T> => {
    const loading = known.get(request) ?? load(context, viewerOf(request), request.params[parameter]!)
    known.set(request, loading)
    return loading
  }
}

/** @throws Fault 404 when the caller may not know of it */
export const theVolume = once<Volume>(seeVolume, 'volume_id')
export const theSnapshot = once<Snapshot>(seeSnapshot, 'snapshot_id')
export const theTransfer = once<TransferRow>(seeTransfer, 'transfer_id')
export const theAttachment = once<AttachmentRow>(seeAttachment, 'attachment_id')

const owned =
  <T extends { project_id: string }>(load: (context: VolumeContext, request: ApiRequest) => Promise<T>) =>
  (context: VolumeContext) =>
  async (request: ApiRequest) => {
    const found = await load(context, request)
    return { project_id: found.project_id, user_id: (found as { user_id?: string }).user_id }
  }

/** For Route.target. */
export const volumeTarget = owned(theVolume)
export const snapshotTarget = owned(theSnapshot)
export const transferTarget = owned(theTransfer)
export const attachmentTarget = owned(theAttachment)

export const truth = (value: unknown): boolean => value === true || /^(true|1|yes|on)$/i.test(String(value ?? ''))
