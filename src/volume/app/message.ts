import { notFound } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { deleteMessage, findMessage, insertMessage } from '../db/messages.ts'
import type { MessageRow } from '../db/tables.ts'
import type { Viewer, VolumeContext } from './context.ts'

export type { MessageRow }

/** @throws Fault 404 */
export async function seeMessage(context: VolumeContext, viewer: Viewer, id: string): Promise<MessageRow> {
  const row = await findMessage(context.database.db, id)
  if (!row || !(viewer.isAdmin || row.project_id === viewer.projectId))
    throw notFound(`Message ${id} could not be found.`, 'MessageNotFound')
  return row
}

export const removeMessage = (context: VolumeContext, row: MessageRow) => deleteMessage(context.database.db, row.id)

/** Cinder's numbers of what was being done. */
const ACTIONS = {
  'schedule allocate volume': '001',
  'extend volume': '009',
  'create snapshot': '010',
  'delete volume': '013',
  'delete snapshot': '012',
  'copy volume to image': '004',
  'revert volume': '011',
  'reimage volume': '016',
} as const

/** Why something that was accepted did not come to be; the user finds it by the volume's id. */
export async function tellUser(
  { database }: { database: { db: Handle } },
  of: { projectId: string; requestId: string | null; kind: 'VOLUME' | 'VOLUME_SNAPSHOT'; id: string },
  action: keyof typeof ACTIONS,
  reason: string,
): Promise<void> {
  await insertMessage(database.db, {
    project_id: of.projectId,
    request_id: of.requestId,
    resource_type: of.kind,
    resource_id: of.id,
    event_id: `${of.kind}_${of.kind}_${ACTIONS[action]}`,
    message: `${action}: ${reason}`,
  })
}
