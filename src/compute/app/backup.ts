import { badRequest } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { requestOf } from './instance-spec.ts'
import { mustBeIn } from './server-state.ts'
import { type NewPicture, PICTURED, withPicture } from './snapshot.ts'

/** `kind`: daily, weekly, ...; so many of a kind as `rotation` says are kept, the youngest. */
export type NewBackup = NewPicture & { kind: string; rotation: number }

/** Returns the image's id. @throws Fault 409 for a state in the way, 400 for a server that boots from a volume */
export async function createBackup(context: ComputeContext, request: RequestContext, row: InstanceRow, wanted: NewBackup): Promise<string> {
  mustBeIn(PICTURED, row, 'createBackup')
  if (!requestOf(row).image) throw badRequest('Backup is not supported for volume-backed instances.', 'InvalidRequest')
  const { name, metadata, kind, rotation } = wanted
  const picture = { name, metadata: { image_type: 'backup', ...metadata, backup_type: kind } }
  return await withPicture(context, request, row, picture, async (imageId) => {
    await operate(context, request, row, {
      action: 'createBackup',
      saga: 'backup-server',
      vmStates: PICTURED,
      taskState: 'image_backup',
      input: { imageId, kind, rotation },
      lockedToo: true,
    })
  })
}
