import { attachmentsOf } from '../db/attachments.ts'
import type { Handle } from '../db/handle.ts'
import { moveVolume } from '../db/volumes.ts'

const ATTACHMENT_LED = ['available', 'reserved', 'attaching', 'detaching', 'in-use']

/** A volume's status follows from its attachments, unless something else is done to it: then it is what that goes back to. */
export async function settleStatus(trx: Handle, volumeId: string): Promise<string> {
  const rows = await attachmentsOf(trx, volumeId)
  const any = (status: string) => rows.some((one) => one.status === status)
  const status = any('attached')
    ? 'in-use'
    : any('attaching')
      ? 'attaching'
      : any('detaching')
        ? 'detaching'
        : any('reserved')
          ? 'reserved'
          : 'available'
  if (!(await moveVolume(trx, volumeId, ATTACHMENT_LED, { status })))
    await moveVolume(trx, volumeId, ['uploading'], { previous_status: status === 'in-use' ? status : 'available' })
  return status
}
