import type { Handle } from './handle.ts'
import type { TransferRow } from './tables.ts'

export const findTransfer = (db: Handle, id: string): Promise<TransferRow | undefined> =>
  db.selectFrom('transfers').selectAll().where('id', '=', id).executeTakeFirst()

/** Answers whether it was (still) there: of two who take it, one has it. */
export async function deleteTransfer(db: Handle, id: string): Promise<boolean> {
  return (await db.deleteFrom('transfers').where('id', '=', id).executeTakeFirst()).numDeletedRows > 0n
}

export async function deleteTransfersOf(db: Handle, volumeId: string): Promise<void> {
  await db.deleteFrom('transfers').where('volume_id', '=', volumeId).execute()
}

/** The volume's, and with `snapshots` theirs, too. */
export async function giveVolume(
  db: Handle,
  volumeId: string,
  to: { project_id: string; user_id: string },
  snapshots: boolean,
): Promise<void> {
  await db.updateTable('volumes').set(to).where('id', '=', volumeId).execute()
  if (snapshots) await db.updateTable('snapshots').set(to).where('volume_id', '=', volumeId).execute()
}
