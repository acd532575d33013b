import { at, saga, step } from '../../kernel/saga/saga.ts'
import { tellUser } from '../app/message.ts'
import { moveVolume, volumeRow } from '../db/volumes.ts'
import { storage } from '../rpc.ts'
import { ask, onBackend, type VolumeRun } from './on-storage.ts'

type Extend = VolumeRun<{ host: string | null; sizeGiB: number; before: number }>

/** A volume never shrinks: one that has grown in vain keeps the room it has, and its old size in the books until it is extended again. */
export const extendVolume = saga<Extend>(
  'extend-volume',
  [
    step(null, 'extend', at.storage, extend, null, { evidence: (out) => ({ text: `${out.before} GiB to ${out.sizeGiB} GiB` }) }),
    step(null, 'available', at.control, publish, null),
  ],
  { failed: tellWhy },
)

async function extend(run: Extend) {
  const { volumeId, sizeGiB, host, before } = run.input
  await ask(run, onBackend(host), storage.extend, { volumeId, sizeGiB })
  return { sizeGiB, before }
}

async function publish(run: Extend): Promise<void> {
  const { volumeId, sizeGiB } = run.input
  const change = { status: 'available', size: sizeGiB, reserved_size: sizeGiB, previous_status: null }
  await moveVolume(run.world.database.db, volumeId, ['extending'], change)
}

async function tellWhy(run: Extend, error: Error): Promise<void> {
  const { db } = run.world.database
  const row = await volumeRow(db, run.input.volumeId)
  const change = { status: 'error_extending', reserved_size: run.input.before, previous_status: null }
  if (!row || !(await moveVolume(db, row.id, ['extending'], change))) return
  const of = { projectId: row.project_id, requestId: run.requestId, kind: 'VOLUME' as const, id: row.id }
  await tellUser(run.world, of, 'extend volume', error.message)
}
