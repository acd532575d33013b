import { setTimeout } from 'node:timers/promises'
import { timestamp } from '../../kernel/db/columns.ts'
import { Fault } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { vifsOf } from '../app/instance-spec.ts'
import { changeMigration, openMigrations } from '../app/migration.ts'
import { forgetPassword } from '../app/server-password.ts'
import { keep, move } from '../app/server-state.ts'
import { blockDevicesOf } from '../db/instances.ts'
import type { BlockDeviceRow } from '../db/tables.ts'
import { host } from '../rpc.ts'
import { clearHost } from './clear-host.ts'
import { releasePorts } from './networking.ts'
import { type ServerRun, serverOf, tell } from './on-host.ts'
import { intoError } from './operation.ts'
import { removeShelvedImage } from './shelve-server.ts'

/** ms between looks at a volume that grows. */
const GROWING_MS = 250

/** From the guest outwards. No step has an undo: a deletion only goes forward, and what a server never had is passed over. When one fails the server can be deleted again. */
export const deleteServer = saga<ServerRun>(
  'delete-server',
  [
    ...clearHost,
    step(null, 'end-migrations', at.control, endMigrationsOf, null),
    step(null, 'release-volumes', at.control, releaseVolumes, null),
    step(null, 'release-ports', at.control, async (run) => releasePorts(run, await serverOf(run)), null),
    step(null, 'release-allocation', at.control, (run) => run.world.placement.release(run.input.serverId), null),
    step(null, 'remove-shelved-image', at.control, async (run) => await removeShelvedImage(run, await serverOf(run)), null),
    step(null, 'deleted', at.control, deleted, null),
  ],
  { failed: stays },
)

async function stays(run: ServerRun, error: Error): Promise<void> {
  await keep(run.world.database.db, run.input.serverId)
  await intoError(run, error)
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

async function releaseVolumes(run: ServerRun): Promise<void> {
  const { database, volumes } = run.world
  for (const device of await blockDevicesOf(database.db, [run.input.serverId])) {
    if (device.volume_id) await volumes.deleteAttachment(device.id)
    if (device.volume_id && device.delete_on_termination) await removeVolume(run, device.volume_id).catch(staysWithItsOwner(run, device))
    await database.db.deleteFrom('block_devices').where('id', '=', device.id).execute()
  }
}

/** One that grows just now goes when it has. */
async function removeVolume({ world: { volumes } }: ServerRun, id: string): Promise<void> {
  for (;;)
    try {
      return await volumes.deleteVolume(id)
    } catch (error) {
      if (!(error instanceof Fault) || error.status !== 400 || (await volumes.volume(id)).status !== 'extending') throw error
      await setTimeout(GROWING_MS)
    }
}

/** A volume that the volume service keeps, because it has snapshots for example, does not keep its server. */
const staysWithItsOwner = (run: ServerRun, device: BlockDeviceRow) => (error: unknown) => {
  if (!(error instanceof Fault) || error.status >= 500) throw error
  run.world.log.warn({ err: error, server: run.input.serverId, volume: device.volume_id }, 'a volume that was to go with its server stays')
}

async function deleted(run: ServerRun): Promise<void> {
  const { db } = run.world.database
  await forgetPassword(db, run.input.serverId)
  await db.deleteFrom('console_tokens').where('server_id', '=', run.input.serverId).execute()
  await move(
    db,
    run.input.serverId,
    { vmState: 'deleted', taskState: null, powerState: 'nostate' },
    { deleted: 1, terminated_at: timestamp(), key_json: null, user_data: null },
  )
}
