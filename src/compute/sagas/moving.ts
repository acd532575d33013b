import { basename } from 'node:path'
import type { Message } from '../../kernel/bus/bus.ts'
import { conflict, Fault } from '../../kernel/errors/errors.ts'
import { at, type Step, step } from '../../kernel/saga/saga.ts'
import { baseImageOf, flavorOf, imageBacked, vifsOf } from '../app/instance-spec.ts'
import { changeMigration } from '../app/migration.ts'
import { resourcesOf } from '../app/scheduler/request-spec.ts'
import type { InstanceRow, MigrationRow } from '../db/tables.ts'
import { type DisksWanted, type FlavorSpec, host, type RootDisk } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { ask, LONG, type ServerRun, serverOf, tell, uuid } from './on-host.ts'
import * as schedule from './schedule.ts'

/** What every way of a server to another host begins with: where it was, where it may go, and its place there. */

export interface Was {
  host: string
  node: string
  zone: string | null
  providerId: string
  running: boolean
}

/** As far as evacuation shares it, which cannot ask the host that is left. */
export type Moving = ServerRun<{ migrationId: string; target: string | null }, schedule.ScheduleOutputs & { was: Was; [step: string]: any }>

export type Move = ServerRun<
  {
    migrationId: string
    /** The host that an operator named. */
    target: string | null
    /** Of the server when it has moved; absent: as now. */
    flavor?: FlavorSpec
  },
  schedule.ScheduleOutputs & { was: Was; [step: string]: any }
>

export const chooseDestination: Step<Move>[] = [
  step(null, 'was', at.host, whereItIs, null), // only reads
  step(8, 'filter-properties', at.control, elsewhere, null, { ...says.filterProperties, looks: true }),
  step(10, 'request-spec', at.conductor, (run) => schedule.specWith(run, run.input.flavor), null, { ...says.spec, looks: true }),
  step(12, 'host-states', at.scheduler, schedule.hostStates, null, { ...says.hostStates, looks: true }),
  step(13, 'filter-hosts', at.scheduler, schedule.filterHosts, null, { ...says.filters, looks: true }),
  step(14, 'weigh-hosts', at.scheduler, schedule.weighHosts, null, { ...says.weights, looks: true }),
  step(null, 'keep-source-booked', at.conductor, keepSourceBooked, sourceIsItsOwnAgain),
  step(15, 'select-host', at.conductor, selectDestination, deselectDestination, says.selected),
  step(
    17,
    'claim',
    at.host,
    async (run) => {
      const row = await serverOf(run)
      return await atDestination(run, host.claim, { uuid: row.id, flavor: await newFlavorOf(run), imageBacked: imageBacked(row) })
    },
    (run) => undoAtDestination(run, host.unclaim, { uuid: run.input.serverId }),
    says.claim,
  ),
]

/** Follows what an operator sees of the migration. */
export const status = (word: string) => ({
  enter: (run: ServerRun) => changeMigration(run.world.database.db, run.input.migrationId, { status: word }),
})

/** The same, and what the server's owner sees of it. */
export const entering = (taskState: string, word: string) => ({
  async enter(run: ServerRun) {
    await build.task(taskState).enter(run)
    await status(word).enter(run)
  },
})

export const setMigration = (run: ServerRun<{ migrationId: string }, any>, columns: Partial<MigrationRow>): Promise<void> =>
  changeMigration(run.world.database.db, run.input.migrationId, columns)

export const destinationOf = (run: Moving): string => run.outputs['select-host'].host
export const newFlavorOf = async (run: Move): Promise<FlavorSpec> => run.input.flavor ?? flavorOf(await serverOf(run))

export const atDestination = <In, Out>(run: Move, message: Message<In, Out>, payload: In, timeoutMs?: number): Promise<Out> =>
  ask(run, destinationOf(run), message, payload, timeoutMs)

/** A server for which no host was chosen has nothing anywhere else. */
export async function undoAtDestination<In>(run: Move, message: Message<In, unknown>, payload: In): Promise<void> {
  if (run.outputs['select-host']) await tell(run, destinationOf(run), message, payload)
}

export const providerOf = async (run: ServerRun, name: string): Promise<string> =>
  (await run.world.database.db.selectFrom('hosts').select('provider_id').where('host', '=', name).executeTakeFirstOrThrow()).provider_id

async function whereItIs(run: Move): Promise<Was> {
  const row = await serverOf(run)
  const { powerState } = await tell(run, row.host!, host.powerState, { uuid: row.id })
  return {
    host: row.host!,
    node: row.node!,
    zone: row.zone,
    providerId: await providerOf(run, row.host!),
    running: powerState === 'running' || powerState === 'paused',
  }
}

/** On any host but the one where it is. */
export async function elsewhere(run: Moving): Promise<schedule.FilterProperties> {
  const properties = await schedule.makeFilterProperties(run)
  return { ...properties, forcedHost: run.input.target, forcedNode: null, ignoreHosts: [run.outputs.was.host] }
}

const ownerOf = (row: InstanceRow) => ({ projectId: row.project_id, userId: row.user_id })
const nothing = (row: InstanceRow) => ({ allocations: {}, ...ownerOf(row) })

/** In placement's books the migration holds the place that the server leaves, so that it can come back. */
async function keepSourceBooked(run: Move): Promise<void> {
  const row = await serverOf(run)
  const held = { [run.outputs.was.providerId]: resourcesOf(flavorOf(row), !imageBacked(row)) }
  const kept = await run.world.placement.claimTogether({
    [row.id]: nothing(row),
    [run.input.migrationId]: { allocations: held, ...ownerOf(row), consumerType: 'MIGRATION' },
  })
  if (!kept) throw conflict(`Host ${run.outputs.was.host} has no room in placement's books for the server that is on it.`, 'ResourcesGone')
}

async function sourceIsItsOwnAgain(run: Move): Promise<void> {
  const row = await serverOf(run)
  const { was } = run.outputs
  if (!(await bookBack(run, row, run.input.migrationId, was.providerId)))
    run.world.log.warn(
      { server: row.id, host: was.host },
      "a server is not in placement's books of its host, which had shrunk below what it holds",
    )
}

/** The server holds its old place again, and the migration nothing. False when the host has shrunk below that. */
export async function bookBack(
  run: ServerRun,
  row: InstanceRow,
  migrationId: string,
  providerId: string,
  flavor = flavorOf(row),
): Promise<boolean> {
  return await run.world.placement.claimTogether({
    [migrationId]: { ...nothing(row), consumerType: 'MIGRATION' },
    [row.id]: { allocations: { [providerId]: resourcesOf(flavor, !imageBacked(row)) }, ...ownerOf(row) },
  })
}

/** The row says where the server goes; where it is stays as it is until it has gone. */
function selectDestination(run: Move): Promise<schedule.ScheduleOutputs['select-host']> {
  return schedule.select(run, (trx, place) => changeMigration(trx, run.input.migrationId, { dest_host: place.host, dest_node: place.node }))
}

async function deselectDestination(run: Move): Promise<void> {
  await run.world.placement.release(run.input.serverId)
  await setMigration(run, { dest_host: null, dest_node: null })
}

export const bindToDestination = (run: Moving): Promise<void> => bindTo(run, destinationOf(run))
export const bindToSource = (run: Moving): Promise<void> => bindTo(run, run.outputs.was.host)

/** For a guest that stood still when it left there is nothing to be done. */
export function ifItRan<Out>(action: (run: ServerRun) => Promise<Out>) {
  return async (run: Moving): Promise<Out | null> => (run.outputs.was.running ? await action(run) : null)
}

/** All ports of the server belong to this host from now on. */
export async function bindTo(run: ServerRun, name: string): Promise<void> {
  for (const { portId } of vifsOf(await serverOf(run))) await run.world.networks.updatePort(portId, { 'binding:host_id': name })
}

/** As it is where the server comes from; null: it boots from a volume. */
export const lookAtRootDisk = (run: Move): Promise<RootDisk | null> => tell(run, run.outputs.was.host, host.rootDisk, uuid(run))

/** The destination's copy of what the root disk stands on. Null when that is nothing, or when nobody has this image any more: then the disk comes whole. */
export async function baseThere(run: Move) {
  const image = baseImageOf(await serverOf(run))
  const disk: RootDisk | null = run.outputs['root-disk']
  if (!image || !disk?.base) return null
  try {
    const base = await atDestination(run, host.fetchBase, { image }, LONG)
    return basename(base.path) === disk.base ? base : null
  } catch (error) {
    if (error instanceof Fault && error.status === 404) return null
    throw error
  }
}

/** Disks from the host that the server leaves to the one that it goes to; `base`: what the root disk stands on there. */
export async function carry(
  run: Move,
  which: DisksWanted,
  base: { path: string; format: string } | null,
): Promise<{ disks: string[]; bytes: number }> {
  const [server, source] = [run.input.serverId, run.outputs.was.host]
  const offer = await ask(run, source, host.offerDisks, { uuid: server, which }, LONG)
  try {
    return await atDestination(run, host.takeDisks, { uuid: server, offer, base }, LONG)
  } finally {
    await tell(run, source, host.withdrawDisks, { uuid: server }).catch(() => {}) // it ages by itself
  }
}
