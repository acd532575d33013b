import { setTimeout as pause } from 'node:timers/promises'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { failAction } from '../app/action.ts'
import { hostOf } from '../app/server-state.ts'
import { connect, formerConnection } from '../app/volume-connection.ts'
import type { BlockDeviceRow } from '../db/tables.ts'
import { host, type VolumeSwap } from '../rpc.ts'
import { deviceOf, reached } from './attach-volume.ts'
import { type ServerRun, serverOf, tell, undoOnItsHost, uuid } from './on-host.ts'
import { redefine } from './operation.ts'

export interface SwapInput {
  /** Of the volume that goes, and of the one that comes. */
  attachmentId: string
  volumeId: string
  newAttachmentId: string
  newVolumeId: string
  newSizeGiB: number
}
type Swap = ServerRun<SwapInput, any>

/**
 * One volume takes the place of another below a guest that runs. Until the row says so the guest keeps what it has; from then on it is the new one's, and the
 * guest goes over to it.
 */
export const swapVolume = saga<Swap>(
  'swap-volume',
  [
    step(null, 'begin-detaching', at.control, beginDetaching, (run) => run.world.volumes.rollDetaching(run.input.volumeId)),
    step(null, 'reserve', at.control, reserve, (run) => run.world.volumes.deleteAttachment(run.input.newAttachmentId)),
    step(48, 'connect-target', at.control, connectTarget, null, reached), // the target goes with the attachment
    step(null, 'copy-volume', at.host, copy, undoOnItsHost(host.breakOffCopy, formerSwap)),
    step(null, 'take-place', at.control, takePlace, leavePlace),
    step(null, 'pivot-volume', at.host, pivot, null, { evidence: (_, run) => ({ text: inWords(run.input) }) }),
    step(32, 'define-domain', at.host, redefine, null),
    step(null, 'forget-secret', at.host, forgetSecret, null),
    step(null, 'complete', at.control, (run) => run.world.volumes.completeAttachment(run.input.newAttachmentId), null),
    step(null, 'release', at.control, (run) => run.world.volumes.deleteAttachment(run.input.attachmentId), null),
  ],
  { pivot: 'take-place', failed: (run, error) => failAction(run.world.database.db, run.input.serverId, run.requestId, error.message) },
)

const inWords = ({ volumeId, newVolumeId }: SwapInput) => `the guest has volume ${newVolumeId} in place of ${volumeId}`

/** Nobody changes or takes the volume meanwhile. */
async function beginDetaching(run: Swap): Promise<{ device: BlockDeviceRow }> {
  const device = await deviceOf(run)
  await run.world.volumes.beginDetaching(run.input.volumeId)
  return { device }
}

const formerDevice = (run: Swap): BlockDeviceRow => run.outputs['begin-detaching'].device

function newDevice(run: Swap): BlockDeviceRow {
  const { newAttachmentId: id, newVolumeId: volume_id, newSizeGiB: size } = run.input
  return { ...formerDevice(run), id, volume_id, size, source_type: 'volume', source_id: null }
}

async function reserve(run: Swap): Promise<void> {
  const { newAttachmentId: id, newVolumeId: volume_uuid, serverId: instance_uuid } = run.input
  await run.world.volumes.createAttachment({ id, volume_uuid, instance_uuid })
}

async function connectTarget(run: Swap) {
  const { auth: _secret, ...connection } = await connect(run.world, await serverOf(run), newDevice(run))
  return connection
}

async function copy(run: Swap): Promise<void> {
  const swap = await swapOf(run)
  let begun = false
  await untilDone(run, async () => {
    const { ready } = await tell(run, swap.host, host.copyVolume, { ...swap.payload, begun })
    begun = true
    return ready
  })
}

async function pivot(run: Swap): Promise<void> {
  const swap = await swapOf(run)
  await untilDone(null, async () => (await tell(run, swap.host, host.pivotVolume, swap.payload)).swapped)
}

const MOST_MS = 1_000

/** Until it is, or until the saga is told to stop. */
async function untilDone(run: Swap | null, look: () => Promise<boolean>): Promise<void> {
  for (let wait = 10; !(await look()); wait = Math.min(2 * wait, MOST_MS)) {
    run?.signal.throwIfAborted()
    await pause(wait)
  }
}

async function swapOf(run: Swap): Promise<{ host: string; payload: VolumeSwap }> {
  const row = await serverOf(run)
  const connection = await connect(run.world, row, newDevice(run))
  return { host: hostOf(row), payload: { uuid: row.id, former: formerConnection(formerDevice(run)), connection } }
}

/** For the way back: no target is made. */
function formerSwap(run: Swap): VolumeSwap {
  return { ...uuid(run), former: formerConnection(formerDevice(run)), connection: formerConnection(newDevice(run)) }
}

function takePlace(run: Swap): Promise<void> {
  return replace(run, formerDevice(run), newDevice(run))
}

function leavePlace(run: Swap): Promise<void> {
  return replace(run, newDevice(run), formerDevice(run))
}

/** The row keeps its place among the server's devices, and with it what was asked for at its first volume. */
async function replace(run: Swap, from: BlockDeviceRow, { id, volume_id, size, source_type, source_id }: BlockDeviceRow): Promise<void> {
  const { db } = run.world.database
  await db.updateTable('block_devices').set({ id, volume_id, size, source_type, source_id }).where('id', '=', from.id).execute()
}

/** Of the volume that is gone: its disk is not there any more. */
async function forgetSecret(run: Swap): Promise<void> {
  const row = await serverOf(run)
  const connection = formerConnection(formerDevice(run))
  await tell(run, hostOf(row), host.detachVolume, { uuid: row.id, connection, live: true })
}
