import type { Message } from '../../kernel/bus/bus.ts'
import type { Fault } from '../../kernel/errors/errors.ts'
import { at, type Step, step } from '../../kernel/saga/saga.ts'
import type { ComputeContext } from '../app/context.ts'
import { vifsOf } from '../app/instance-spec.ts'
import { isUp } from '../app/scheduler/host-states.ts'
import { formerConnection } from '../app/volume-connection.ts'
import { blockDevicesOf, findInstance } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import { host } from '../rpc.ts'
import { type ServerRun, tell, uuid } from './on-host.ts'

const ANSWER_MS = 30_000
const SILENCE = ['NoReceiver', 'MessagingTimeout']

/** From the guest outwards, until nothing of a server is on its host. It only goes forward, and what a server never had is passed over. */
export const clearHost: Step<ServerRun>[] = [
  step(null, 'destroy', at.host, whereItIs(host.destroy, uuid), null),
  step(null, 'disconnect-volumes', at.host, disconnectVolumes, null),
  step(null, 'undefine', at.host, whereItIs(host.undefine, uuid), null),
  step(
    null,
    'unplug',
    at.host,
    whereItIs(host.unplug, (_run, row) => ({ vifs: vifsOf(row) })),
    null,
  ),
  step(null, 'remove-config-drive', at.host, whereItIs(host.removeConfigDrive, uuid), null),
  step(null, 'remove-disk', at.host, whereItIs(host.removeDisk, uuid), null),
  step(null, 'remove-directory', at.host, whereItIs(host.removeDirectory, uuid), null),
  step(null, 'unclaim', at.host, whereItIs(host.unclaim, uuid), null),
]

/** Passed over for a server that never came to a host. */
function whereItIs<In>(message: Message<In, void>, payload: (run: ServerRun, row: InstanceRow) => In) {
  return async (run: ServerRun): Promise<void> => {
    const row = await findInstance(run.world.database.db, run.input.serverId)
    if (row?.host) await unlessDown(run, row.host, message, payload(run, row))
  }
}

/** A host that is down parts with the server when it comes back (app/departed.ts); one that is only silent is asked until it answers or counts as down. */
async function unlessDown<In>(run: ServerRun, name: string, message: Message<In, void>, payload: In): Promise<void> {
  while (await isThere(run.world, name))
    try {
      return await tell(run, name, message, payload, ANSWER_MS)
    } catch (error) {
      if (!SILENCE.includes((error as Fault).code)) throw error
    }
}

async function isThere(context: ComputeContext, name: string): Promise<boolean> {
  const { db } = context.database
  const row = await db.selectFrom('hosts').select(['forced_down', 'seen_at']).where('host', '=', name).executeTakeFirst()
  return row !== undefined && isUp(context, row)
}

async function disconnectVolumes(run: ServerRun): Promise<void> {
  const row = await findInstance(run.world.database.db, run.input.serverId)
  if (!row?.host) return
  for (const device of await blockDevicesOf(run.world.database.db, [row.id]))
    if (device.volume_id)
      await unlessDown(run, row.host, host.detachVolume, { uuid: row.id, connection: formerConnection(device), live: false })
}
