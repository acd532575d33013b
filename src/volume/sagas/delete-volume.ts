import { at, saga, step } from '../../kernel/saga/saga.ts'
import { tellUser } from '../app/message.ts'
import { deleteSnapshotRows, moveSnapshot } from '../db/snapshots.ts'
import { deleteVolumeRows, moveVolume, volumeRow } from '../db/volumes.ts'
import { storage } from '../rpc.ts'
import { ask, type VolumeRun } from './on-storage.ts'

type Delete = VolumeRun<{ host: string | null; snapshotIds: string[] }>

/** None has an undo: what is removed is gone; a volume that could not be removed says so and can be deleted again. */
export const deleteVolume = saga<Delete>(
  'delete-volume',
  [
    step(null, 'remove-snapshots', at.storage, removeSnapshots, null),
    step(null, 'remove-volume', at.storage, removeVolume, null),
    step(null, 'forget-volume', at.control, forget, null),
  ],
  { failed: tellWhy },
)

/** Asked anew: a volume that was deleted while it was being made may have got a back end since, or lost it. */
const hostOf = async (run: Delete) => (await volumeRow(run.world.database.db, run.input.volumeId))?.host ?? null

async function removeSnapshots(run: Delete): Promise<void> {
  const host = await hostOf(run)
  for (const snapshotId of run.input.snapshotIds) {
    const payload = { snapshotId, volumeId: run.input.volumeId }
    // one message for each snapshot: the step's own key would make the second one a repeat of the first
    if (host) await ask({ ...run, key: `${run.key}/${snapshotId}` }, host, storage.removeSnapshot, payload)
    await run.world.database.transaction((trx) => deleteSnapshotRows(trx, [snapshotId]))
  }
}

async function removeVolume(run: Delete): Promise<void> {
  const host = await hostOf(run)
  if (host) await ask(run, host, storage.remove, { volumeId: run.input.volumeId })
}

async function forget(run: Delete): Promise<void> {
  await run.world.database.transaction((trx) => deleteVolumeRows(trx, run.input.volumeId))
}

async function tellWhy(run: Delete, error: Error): Promise<void> {
  const { db } = run.world.database
  const row = await volumeRow(db, run.input.volumeId)
  if (!row) return
  for (const id of run.input.snapshotIds) await moveSnapshot(db, id, ['deleting'], { status: 'available' })
  if (!(await moveVolume(db, row.id, ['deleting'], { status: 'error_deleting' }))) return
  const of = { projectId: row.project_id, requestId: run.requestId, kind: 'VOLUME' as const, id: row.id }
  await tellUser(run.world, of, 'delete volume', error.message)
}
