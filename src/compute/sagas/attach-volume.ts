import { Fault } from '../../kernel/errors/errors.ts'
import { at, type Step, saga, step } from '../../kernel/saga/saga.ts'
import { failAction } from '../app/action.ts'
import { VOLUMES_MAY_CHANGE } from '../app/attachment.ts'
import { mustBeIn } from '../app/server-state.ts'
import { connect, formerConnection } from '../app/volume-connection.ts'
import type { BlockDeviceRow } from '../db/tables.ts'
import { host } from '../rpc.ts'
import { ask, type ServerRun, serverOf, tell } from './on-host.ts'

type Attach = ServerRun<{ attachmentId: string; volumeId: string }>

const LIVE = ['active', 'paused', 'rescued']
const SHELVED = { text: 'the server is on no host: when it is unshelved' }
export const reached: Pick<Step<any>, 'evidence'> = {
  evidence: (out) => (out ? { ...out, text: `${out.portal}, ${out.iqn}, CHAP, by QEMU's initiator` } : SHELVED),
}

/** Steps 46 to 49: the volume service makes the target, QEMU's own initiator connects to it, the guest sees a new disk. */
export const attachVolume = saga<Attach>(
  'attach-volume',
  [
    step(null, 'reserve', at.control, reserve, (run) => run.world.volumes.deleteAttachment(run.input.attachmentId)),
    step(48, 'connect-target', at.control, connectTarget, null, reached), // the target goes with the attachment
    step(49, 'attach-volume', at.host, attach, detach, {
      evidence: (out) => (!out ? SHELVED : { ...out, text: `${out.device} on the ${out.live ? 'running' : 'stopped'} guest` }),
    }),
    step(null, 'complete', at.control, (run) => run.world.volumes.completeAttachment(run.input.attachmentId), null), // the last step
  ],
  { failed: forgetDevice },
)

/** The guest lets go first, then the target is taken away. */
export const detachVolume = saga<Attach>(
  'detach-volume',
  [
    step(null, 'detach', at.host, async (run) => detach(run), null), // the user wants it gone: tried again by detaching again
    step(null, 'release', at.control, (run) => run.world.volumes.deleteAttachment(run.input.attachmentId), null),
    step(null, 'forget', at.control, (run) => remove(run), null),
  ],
  { failed: (run, error) => failAction(run.world.database.db, run.input.serverId, run.requestId, error.message) },
)

export async function deviceOf(run: ServerRun<{ attachmentId: string; volumeId: string }>): Promise<BlockDeviceRow> {
  const device = await run.world.database.db
    .selectFrom('block_devices')
    .selectAll()
    .where('id', '=', run.input.attachmentId)
    .executeTakeFirst()
  if (!device) throw new Fault(404, 'AttachmentNotFound', `Volume ${run.input.volumeId} is not attached to ${run.input.serverId}.`)
  return device
}

/** What was under way when it was asked for may have changed the server, or deleted it. */
async function reserve(run: Attach): Promise<void> {
  mustBeIn(VOLUMES_MAY_CHANGE, await serverOf(run), 'attach_volume')
  const { attachmentId, volumeId, serverId } = run.input
  await run.world.volumes.createAttachment({ id: attachmentId, volume_uuid: volumeId, instance_uuid: serverId })
}

/** A server that is shelved is on no host: it is connected when it comes back. */
async function connectTarget(run: Attach) {
  const row = await serverOf(run)
  if (!row.host) return null
  const { auth: _secret, ...connection } = await connect(run.world, row, await deviceOf(run))
  return connection
}

async function attach(run: Attach) {
  const row = await serverOf(run)
  if (!row.host) return null
  const connection = await connect(run.world, row, await deviceOf(run))
  const live = LIVE.includes(row.vm_state)
  const { device } = await ask(run, row.host!, host.attachVolume, { uuid: row.id, connection, live })
  return { device, live, volumeId: connection.volumeId }
}

async function detach(run: Attach): Promise<void> {
  const row = await serverOf(run)
  const device = await deviceOf(run)
  if (row.host)
    await tell(run, row.host, host.detachVolume, { uuid: row.id, connection: formerConnection(device), live: LIVE.includes(row.vm_state) })
}

async function remove(run: Attach): Promise<void> {
  await run.world.database.db.deleteFrom('block_devices').where('id', '=', run.input.attachmentId).execute()
}

async function forgetDevice(run: Attach, error: Error): Promise<void> {
  await remove(run)
  await failAction(run.world.database.db, run.input.serverId, run.requestId, error.message)
}
