import { at, saga, step } from '../../kernel/saga/saga.ts'
import { tellUser } from '../app/message.ts'
import { deleteSnapshotRows, findSnapshot, moveSnapshot } from '../db/snapshots.ts'
import { moveVolume, volumeRow } from '../db/volumes.ts'
import { storage } from '../rpc.ts'
import { ask, onBackend, tell, type VolumeRun } from './on-storage.ts'

type Snap = VolumeRun<{ snapshotId: string; host: string | null; sizeGiB: number }>

export const createSnapshot = saga<Snap>(
  'create-snapshot',
  [
    step(null, 'snapshot', at.storage, take, remove, { evidence: (out) => ({ text: `snapshot ${out.snapshotId}, ${out.sizeGiB} GiB` }) }),
    step(
      null,
      'available',
      at.control,
      (run) => settle(run, 'creating', 'available'),
      (run) => settle(run, 'available', 'creating'),
    ),
  ],
  {
    async failed(run, error) {
      await settle(run, 'creating', 'error')
      await tellWhy(run, 'create snapshot', error)
    },
  },
)

/** What is removed is gone: no undo. */
export const deleteSnapshot = saga<Snap>(
  'delete-snapshot',
  [step(null, 'remove-snapshot', at.storage, removeForGood, null), step(null, 'forget-snapshot', at.control, forget, null)],
  {
    async failed(run, error) {
      await settle(run, 'deleting', 'error_deleting')
      await tellWhy(run, 'delete snapshot', error)
    },
  },
)

/** What was written after the snapshot is lost as soon as it begins: no undo. */
export const revertVolume = saga<Snap>(
  'revert-volume',
  [
    step(null, 'revert', at.storage, revert, null, { evidence: (out) => ({ text: `as it was in snapshot ${out.snapshotId}` }) }),
    step(null, 'available', at.control, (run) => reverted(run, 'available'), null),
  ],
  {
    async failed(run, error) {
      await reverted(run, 'error')
      await tellWhy(run, 'revert volume', error)
    },
  },
)

async function take(run: Snap) {
  const { snapshotId, volumeId, sizeGiB, host } = run.input
  await ask(run, onBackend(host), storage.createSnapshot, { snapshotId, volumeId, sizeGiB })
  return { snapshotId, sizeGiB }
}

async function remove(run: Snap): Promise<void> {
  await tell(run, run.input.host, storage.removeSnapshot, { snapshotId: run.input.snapshotId, volumeId: run.input.volumeId })
}

async function removeForGood(run: Snap): Promise<void> {
  const { snapshotId, volumeId, host } = run.input
  if (host) await ask(run, host, storage.removeSnapshot, { snapshotId, volumeId })
}

async function forget(run: Snap): Promise<void> {
  await run.world.database.transaction((trx) => deleteSnapshotRows(trx, [run.input.snapshotId]))
}

async function revert(run: Snap) {
  const { snapshotId, volumeId, sizeGiB, host } = run.input
  await ask(run, onBackend(host), storage.revertToSnapshot, { snapshotId, volumeId, sizeGiB })
  return { snapshotId }
}

async function reverted(run: Snap, status: string): Promise<void> {
  const { db } = run.world.database
  await moveSnapshot(db, run.input.snapshotId, ['restoring'], { status: 'available' })
  await moveVolume(db, run.input.volumeId, ['reverting'], { status, previous_status: null })
}

async function settle(run: Snap, from: string, status: string): Promise<void> {
  await moveSnapshot(run.world.database.db, run.input.snapshotId, [from], { status })
}

async function tellWhy(run: Snap, action: 'create snapshot' | 'delete snapshot' | 'revert volume', error: Error): Promise<void> {
  const { db } = run.world.database
  const [snapshot, volume] = [await findSnapshot(db, run.input.snapshotId), await volumeRow(db, run.input.volumeId)]
  const subject = action === 'revert volume' ? volume : snapshot
  if (!subject) return
  const kind = action === 'revert volume' ? ('VOLUME' as const) : ('VOLUME_SNAPSHOT' as const)
  await tellUser(run.world, { projectId: subject.project_id, requestId: run.requestId, kind, id: subject.id }, action, error.message)
}
