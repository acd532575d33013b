import { at, saga, step } from '../../kernel/saga/saga.ts'
import { settleStatus } from '../app/attachment-status.ts'
import { unexportUnlessUsed } from '../app/connection.ts'
import { tellUser } from '../app/message.ts'
import { tellCompute } from '../app/tell-compute.ts'
import { exportsOf } from '../db/attachments.ts'
import { heldVolume, moveVolume, volumeRow } from '../db/volumes.ts'
import { storage } from '../rpc.ts'
import { ask, onBackend, type VolumeRun } from './on-storage.ts'

type Extend = VolumeRun<{ host: string | null; sizeGiB: number; before: number }>

/** A volume never shrinks: once it has grown there is no way back. Whoever has it is shown a target of the new size, and compute tells the guests. */
export const extendVolume = saga<Extend>(
  'extend-volume',
  [
    step(null, 'extend', at.storage, extend, null, { evidence: (out) => ({ text: `${out.before} GiB to ${out.sizeGiB} GiB` }) }),
    step(null, 'export-again', at.storage, exportAgain, null),
    step(null, 'settle', at.control, settle, null),
    step(null, 'tell-compute', at.control, tellDone, null, {
      evidence: ({ servers }) => ({ text: servers === 0 ? 'no server has it' : `of ${servers} server${servers === 1 ? '' : 's'}` }),
    }),
  ],
  { pivot: 'extend', failed },
)

async function extend(run: Extend) {
  const { volumeId, sizeGiB, host, before } = run.input
  const row = await volumeRow(run.world.database.db, volumeId)
  if (row && row.size >= sizeGiB) return { sizeGiB: row.size, before: row.size } // a second growth, which an administrator's word let be asked for meanwhile
  await ask(run, onBackend(host), storage.extend, { volumeId, sizeGiB })
  return { sizeGiB, before }
}

/** tgtd looks at a disk's size when its target is made. */
function exportAgain(run: Extend): Promise<void> {
  const { volumeId, host } = run.input
  return run.world.locked(volumeId, async () => {
    const [wanted] = await exportsOf(run.world.database.db, { volumeId })
    if (!wanted) return
    await ask(run, onBackend(host), storage.exportVolume, wanted)
    await unexportUnlessUsed(run.world, volumeId) // whoever let go of it meanwhile may have been at the host before this export
  })
}

async function settle(run: Extend): Promise<void> {
  const { volumeId, sizeGiB } = run.input
  await run.world.database.transaction(async (trx) => {
    const row = await heldVolume(trx, volumeId)
    if (!row) return
    const size = Math.max(row.size, sizeGiB)
    await moveVolume(trx, volumeId, null, { size, reserved_size: Math.max(row.reserved_size, size) })
    if (await moveVolume(trx, volumeId, ['extending'], { status: 'available', previous_status: null })) await settleStatus(trx, volumeId)
  })
}

/** A guest that is not told sees the new size when it is started again: its user is. */
async function tellDone(run: Extend): Promise<{ servers: number }> {
  const { volumeId } = run.input
  try {
    return { servers: await tellCompute(run.world, { name: 'volume-extended', volumeId }) }
  } catch (error) {
    run.world.log.warn({ err: error, volumeId }, 'compute does not hear that a volume has grown')
    await tell(run, `The volume has grown, but the compute service did not hear of it (${(error as Error).message}).`)
    return { servers: 0 }
  }
}

/** What it was to grow to is free again, also if it is being deleted meanwhile: that may fail. */
async function failed(run: Extend, error: Error): Promise<void> {
  const { db } = run.world.database
  const { volumeId } = run.input
  await run.world.database.transaction(async (trx) => {
    const row = await heldVolume(trx, volumeId)
    if (row) await moveVolume(trx, volumeId, null, { reserved_size: row.size })
  })
  if (await moveVolume(db, volumeId, ['extending'], { status: 'error_extending', previous_status: null })) await tell(run, error.message)
}

async function tell(run: Extend, why: string): Promise<void> {
  const row = await volumeRow(run.world.database.db, run.input.volumeId)
  if (row)
    await tellUser(run.world, { projectId: row.project_id, requestId: run.requestId, kind: 'VOLUME', id: row.id }, 'extend volume', why)
}
