import type { Message } from '../../kernel/bus/bus.ts'
import { timestamp } from '../../kernel/db/columns.ts'
import type { Fault } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import type { ComputeContext } from '../app/context.ts'
import { vifsOf } from '../app/instance-spec.ts'
import { changeMigration, openMigrations } from '../app/migration.ts'
import { isUp } from '../app/scheduler/host-states.ts'
import { move } from '../app/server-state.ts'
import { formerConnection } from '../app/volume-connection.ts'
import { blockDevicesOf, findInstance } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import { host } from '../rpc.ts'
import { releasePorts } from './networking.ts'
import { type ServerRun, serverOf, tell, uuid } from './on-host.ts'
import { intoError } from './operation.ts'

const ANSWER_MS = 30_000
const SILENCE = ['NoReceiver', 'MessagingTimeout']

/** From the guest outwards. No step has an undo: a deletion only goes forward, and what a server never had is passed over. When one fails the server can be deleted again. */
export const deleteServer = saga<ServerRun>(
  'delete-server',
  [
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
    step(null, 'end-migrations', at.control, endMigrationsOf, null),
    step(null, 'release-volumes', at.control, releaseVolumes, null),
    step(null, 'release-ports', at.control, async (run) => releasePorts(run, await serverOf(run)), null),
    step(null, 'release-allocation', at.control, (run) => run.world.placement.release(run.input.serverId), null),
    step(null, 'deleted', at.control, deleted, null),
  ],
  { failed: intoError },
)

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

/** What a migration has on another host: for the way back, or for the way there. */
async function endMigrationsOf(run: ServerRun): Promise<void> {
  const row = await serverOf(run)
  for (const { id, source_host, dest_host } of await openMigrations(run.world.database.db, row.id)) {
    const others = [source_host, dest_host].filter((name) => name !== null && name !== row.host)
    for (const name of others) await tell(run, name!, host.dismiss, { uuid: row.id, vifs: vifsOf(row) }, 10_000).catch(() => {}) // it hears of it when it comes back
    await run.world.placement.release(id)
    await changeMigration(run.world.database.db, id, { status: 'confirmed' })
  }
}

async function disconnectVolumes(run: ServerRun): Promise<void> {
  const row = await findInstance(run.world.database.db, run.input.serverId)
  if (!row?.host) return
  for (const device of await blockDevicesOf(run.world.database.db, [row.id]))
    if (device.volume_id)
      await unlessDown(run, row.host, host.detachVolume, { uuid: row.id, connection: formerConnection(device), live: false })
}

async function releaseVolumes(run: ServerRun): Promise<void> {
  const { database, volumes } = run.world
  for (const device of await blockDevicesOf(database.db, [run.input.serverId])) {
    if (device.volume_id) await volumes.deleteAttachment(device.id)
    if (device.volume_id && device.delete_on_termination) await volumes.deleteVolume(device.volume_id)
    await database.db.deleteFrom('block_devices').where('id', '=', device.id).execute()
  }
}

async function deleted(run: ServerRun): Promise<void> {
  const { db } = run.world.database
  await db.deleteFrom('console_tokens').where('server_id', '=', run.input.serverId).execute()
  await move(
    db,
    run.input.serverId,
    { vmState: 'deleted', taskState: null, powerState: 'nostate' },
    { deleted: 1, terminated_at: timestamp(), key_json: null, user_data: null },
  )
}
