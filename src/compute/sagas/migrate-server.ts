import { fromJson } from '../../kernel/db/columns.ts'
import { conflict } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { vifsOf } from '../app/instance-spec.ts'
import { changeMigration, findMigration } from '../app/migration.ts'
import { move } from '../app/server-state.ts'
import { zoneNameOf } from '../app/zone.ts'
import type { MigrationRow } from '../db/tables.ts'
import { host, type RootDisk } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import {
  baseThere,
  bindTo,
  bindToDestination,
  bindToSource,
  bookBack,
  carry,
  chooseDestination,
  entering,
  ifItRan,
  lookAtRootDisk,
  type Move,
  newFlavorOf,
  providerOf,
  setMigration,
  status,
} from './moving.ts'
import { networkInfo, waitUntilPlugged } from './networking.ts'
import { change, onItsHost, type ServerRun, serverOf, tell, uuid } from './on-host.ts'
import { flavorColumns, giveBack, intoError, powerOff, rest, settle, wasRunning } from './operation.ts'

/** A server that stands still while it goes: its disks are carried over, and what is left behind is kept until the user has seen that all is well. */
export const migrateServer = saga<Move>(
  'migrate-server',
  [
    ...chooseDestination,
    step(null, 'power-off', at.host, powerOff, startWhereItWas, entering('resize_migrating', 'migrating')),
    step(null, 'moved', at.control, takePlace, takePlaceBack, build.task('resize_migrated')),
    step(18, 'bind-ports', at.control, bindToDestination, bindToSource),
    step(21, 'network-info', at.control, networkInfo, null, says.networkInfo),
    step(25, 'prepare-directory', at.host, build.prepareDirectory, build.removeDirectory, says.path),
    step(null, 'root-disk', at.host, lookAtRootDisk, null), // only reads
    step(26, 'fetch-base', at.host, baseThere, null, says.base), // the cache is shared by all servers and ages
    step(27, 'carry-disks', at.host, carryDisks, build.removeDisk),
    step(28, 'resize-disk', at.host, build.resizeDisk, null, { ...says.size, ...status('post-migrating') }), // goes with the disk
    ...build.domainAndNetwork,
    step(null, 'launch-domain', at.host, ifItRan(build.launch), build.destroy),
    step(null, 'vif-plugged', at.control, ifItRan(waitUntilPlugged), null),
    step(37, 'start-domain', at.host, ifItRan(build.start), build.destroy),
    step(null, 'resized', at.control, arrived, asItWas),
  ],
  { failed },
)

type End = ServerRun<{ migrationId: string }>

/** There is no way back any more: what was kept on the host that was left goes. */
export const confirmMigration = saga<End>(
  'confirm-migration',
  [
    step(null, 'dismiss-source', at.host, async (run) => await leave(run, (await migrationOf(run)).source_host), null), // the user said that it is not needed
    step(null, 'release-source', at.conductor, (run) => run.world.placement.release(run.input.migrationId), null),
    step(null, 'confirmed', at.control, (run) => over(run, 'confirmed'), null),
  ],
  { failed: intoError },
)

/** Back to where it was, with the disks and the flavor from before. No undos: the way back has no way back. */
export const revertMigration = saga<End>(
  'revert-migration',
  [
    step(null, 'was-running', at.host, wasRunning, null),
    step(null, 'power-off', at.host, onItsHost(host.destroy, uuid), null),
    step(null, 'claim-placement', at.conductor, bookSourceAgain, null),
    step(null, 'moved-back', at.control, placeFromBefore, null),
    step(18, 'bind-ports', at.control, async (run) => await bindTo(run, (await migrationOf(run)).source_host), null),
    step(21, 'network-info', at.control, networkInfo, null, says.networkInfo),
    ...build.domainAndNetwork.map((one) => ({ ...one, undo: null })),
    step(null, 'launch-domain', at.host, ifItRanBefore(build.launch), null),
    step(null, 'vif-plugged', at.control, ifItRanBefore(waitUntilPlugged), null),
    step(37, 'start-domain', at.host, ifItRanBefore(build.start), null),
    step(null, 'dismiss-destination', at.host, async (run) => await leave(run, (await migrationOf(run)).dest_host!), null),
    step(null, 'reverted', at.control, (run) => over(run, 'reverted'), null),
  ],
  { failed: intoError },
)

/** @throws Error when its row is gone: nothing removes one */
async function migrationOf(run: End): Promise<MigrationRow> {
  const found = await findMigration(run.world.database.db, run.input.migrationId)
  if (!found) throw new Error(`migration ${run.input.migrationId} is not there any more`)
  return found
}

function ifItRanBefore<Out>(action: (run: ServerRun) => Promise<Out>) {
  return async (run: ServerRun): Promise<Out | null> => (run.outputs['was-running'].running ? await action(run) : null)
}

/** The end of a way that was not gone: the server is what and where it was, and the migration says so. */
async function failed(run: Move, error: Error): Promise<void> {
  await setMigration(run, { status: 'error' })
  await giveBack(run, error)
}

async function startWhereItWas(run: Move): Promise<void> {
  if (run.outputs.was.running) await tell(run, run.outputs.was.host, host.start, { uuid: run.input.serverId })
}

async function takePlace(run: Move): Promise<void> {
  const row = await serverOf(run)
  const { host: name, node } = run.outputs['select-host']
  await change(run, {
    host: name,
    node,
    zone: await zoneNameOf(run.world, name),
    ...flavorColumns(await newFlavorOf(run)),
    old_flavor_json: row.old_flavor_json ?? row.flavor_json,
  })
}

async function takePlaceBack(run: Move): Promise<void> {
  const { host: name, node, zone } = run.outputs.was
  const { old_flavor_json: before } = await serverOf(run)
  await change(run, { host: name, node, zone, ...(before ? flavorColumns(fromJson(before)) : {}), old_flavor_json: null })
}

async function carryDisks(run: Move): Promise<{ disks: string[]; bytes: number }> {
  const base: { path: string; format: string } | null = run.outputs['fetch-base']
  const disk: RootDisk | null = run.outputs['root-disk']
  return await carry(run, disk?.base && !base ? 'whole' : 'disks', base && { path: base.path, format: base.format })
}

async function arrived(run: Move): Promise<void> {
  await setMigration(run, { status: 'finished' })
  await settle({ vmState: 'resized' })(run)
}

async function asItWas(run: Move): Promise<void> {
  await move(run.world.database.db, run.input.serverId, { vmState: run.outputs.was.running ? 'active' : 'stopped' })
}

/** What is left of the server on a host that it is not on; one that does not answer parts with it when it comes back. */
async function leave(run: ServerRun, name: string): Promise<void> {
  const row = await serverOf(run)
  await tell(run, name, host.dismiss, { uuid: row.id, vifs: vifsOf(row) }, 10_000).catch(() => {})
}

async function bookSourceAgain(run: End): Promise<void> {
  const row = await serverOf(run)
  const { source_host: source } = await migrationOf(run)
  const booked = await bookBack(run, row, run.input.migrationId, await providerOf(run, source), fromJson(row.old_flavor_json))
  if (!booked) throw conflict(`Host ${source} has shrunk: it has no room any more for the server that would come back.`, 'ResourcesGone')
}

async function placeFromBefore(run: End): Promise<void> {
  const { source_host: source, source_node: node } = await migrationOf(run)
  const { old_flavor_json: before } = await serverOf(run)
  await change(run, { host: source, node, zone: await zoneNameOf(run.world, source), ...(before ? flavorColumns(fromJson(before)) : {}) })
}

async function over(run: End, word: string): Promise<void> {
  await changeMigration(run.world.database.db, run.input.migrationId, { status: word })
  await rest(run, { old_flavor_json: null })
}
