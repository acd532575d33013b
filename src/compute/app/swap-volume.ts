import { randomUUID } from 'node:crypto'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { VolumeDocument } from '../../volume/client.ts'
import type { InstanceRow, VmState } from '../db/tables.ts'
import { begin, findAttachment, mayChange } from './attachment.ts'
import type { ComputeContext } from './context.ts'
import { as } from './wanted-networks.ts'

const SWAPPABLE: VmState[] = ['active', 'paused', 'resized']

/**
 * Begins the swap-volume saga. @throws Fault 404 for an old volume that is not there, 400 for one that is not this server's or shared, and for a new one that is not
 * there, not free or too small, 409 when the server's state is in the way
 */
export async function swapVolume(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  volumeId: string,
  newVolumeId: string,
): Promise<void> {
  const former = await context.volumes.volume(volumeId, as(request))
  const wanted = await context.volumes.volume(newVolumeId, as(request)).catch((error) => {
    if (error instanceof Fault && error.status === 404) throw badRequest(error.message, 'VolumeNotFound') // it is named in the body
    throw error
  })
  mayChange(request, row, 'swap_volume', SWAPPABLE)
  requireFit(row, former, wanted)
  if ((await writersOf(context, former)) > 1)
    throw badRequest(
      'Swapping multi-attach volumes with more than one read/write attachment is not supported.',
      'MultiattachSwapVolumeNotSupported',
    )
  const { id: attachmentId } = await findAttachment(context, row, volumeId)
  const input = { attachmentId, volumeId, newAttachmentId: randomUUID(), newVolumeId, newSizeGiB: wanted.size }
  await begin(context, request, row, { name: 'swap_volume', vmStates: SWAPPABLE }, 'swap-volume', input)
}

function requireFit({ id }: InstanceRow, former: VolumeDocument, wanted: VolumeDocument): void {
  const invalid = (why: string) => badRequest(`Invalid volume: ${why}`, 'InvalidVolume')
  if (!former.attachments.some((one) => one.server_id === id)) throw invalid('Old volume is attached to a different instance.')
  if (wanted.attachments.length > 0) throw invalid('New volume must be detached in order to swap.')
  if (wanted.size < former.size) throw invalid('New volume must be the same size or larger.')
  if (former.status !== 'in-use') throw invalid(`Volume ${former.id} status must be in-use to detach, it is ${former.status}.`)
  if (wanted.status !== 'available') throw invalid(`Volume ${wanted.id} status must be available to attach, but it is ${wanted.status}.`)
}

/** How many may write to it; of one that is shared. */
async function writersOf({ volumes }: ComputeContext, { id, attachments, metadata }: VolumeDocument): Promise<number> {
  if (attachments.length < 2) return attachments.length
  if (metadata.readonly === 'True') return 0
  return (await volumes.attachments({ volume_id: id, all_tenants: '1' })).filter((one) => one.attach_mode !== 'ro').length
}
