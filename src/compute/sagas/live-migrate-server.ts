import { conflict, Fault } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { flavorOf, imageBacked, specOf, vifsOf } from '../app/instance-spec.ts'
import { findMigration, goOn } from '../app/migration.ts'
import { connectionsOf } from '../app/volume-connection.ts'
import { zoneNameOf } from '../app/zone.ts'
import { host, type MigrationPlan, type Plug } from '../rpc.ts'
import { says } from './evidence.ts'
import {
  atDestination,
  baseThere,
  bindToDestination,
  bindToSource,
  carry,
  chooseDestination,
  destinationOf,
  lookAtRootDisk,
  type Move,
  setMigration,
  undoAtDestination,
} from './moving.ts'
import { ask, change, LONG, serverOf, tell, uuid } from './on-host.ts'
import { giveBack, settle } from './operation.ts'

type LiveMove = Move & { input: { blockMigration: boolean | 'auto' } }

/** A day: disks of terabytes are carried along. */
const PATIENCE_MS = 24 * LONG
const WIRED_MS = 60_000

/** A guest that runs goes to another host: all that it needs stands there before its memory comes, and until the moment it goes on there it can stay where it is. */
export const liveMigrateServer = saga<LiveMove>(
  'live-migrate-server',
  [
    ...chooseDestination,
    step(null, 'compare-hosts', at.host, compareHosts, removeMark, unlessCancelled('preparing')),
    step(25, 'prepare-directory', at.host, (run) => atDestination(run, host.prepareDirectory, uuid(run)), leaveDirectory, says.path),
    step(null, 'root-disk', at.host, lookAtRootDisk, null), // only reads
    step(26, 'fetch-base', at.host, fetchBase, null, says.base), // the cache is shared by all servers and ages
    step(27, 'create-overlay', at.host, createDisks, null, says.overlay), // goes with the directory
    step(29, 'config-drive', at.host, configDrive, null, says.configDrive), // goes with the directory
    step(null, 'hold-secrets', at.host, holdSecrets, null), // go with the directory
    step(33, 'create-qbr', at.host, plugThere(host.createBridge), unplugThere, says.bridges),
    step(34, 'create-veth', at.host, plugThere(host.createVeth), unplugThere, says.pairs),
    step(35, 'join-qbr', at.host, plugThere(host.joinBridge), unplugThere, says.joined),
    step(36, 'join-br-int', at.host, plugThere(host.joinIntegration), unplugThere, says.joined),
    step(null, 'wired', at.host, waitWired, null), // only waits
    step(null, 'migrate-begin', at.host, begin, cancel, unlessCancelled('running')),
    step(null, 'migrate-prepare', at.host, prepare, abandon),
    step(null, 'migrate-perform', at.host, perform, null), // the guest waits on both ends, and each is taken back by itself
    step(18, 'bind-ports', at.control, bindToDestination, bindToSource, {
      enter: (run) => setMigration(run, { status: 'post-migrating' }),
    }),
    step(null, 'migrate-finish', at.host, finish, abandon),
    step(null, 'moved', at.control, takePlace, takePlaceBack),
    step(null, 'migrate-confirm', at.host, confirm, null),
    step(null, 'connect-volumes', at.control, connectVolumes, null),
    step(null, 'completed', at.control, complete, null),
  ],
  { pivot: 'moved', failed: stays },
)

/** Says what an operator sees, unless the operator called it off before it began. */
function unlessCancelled(word: string) {
  return {
    async enter(run: Move) {
      if (!(await goOn(run.world.database.db, run.input.migrationId, word)))
        throw conflict('The live migration was called off before it began.', 'MigrationCancelled')
    },
  }
}

const preCheck = (message: string) => new Fault(400, 'MigrationPreCheckError', `Migration pre-check error: ${message}`)

/** Whether they have their storage in common, and where servers lie on the one that is left. @throws Fault 400 when that is not what was asked for */
async function compareHosts(run: LiveMove): Promise<{ shared: boolean; directory: string }> {
  await tell(run, destinationOf(run), host.leaveMark, uuid(run))
  const here = await tell(run, run.outputs.was.host, host.findMark, uuid(run))
  await removeMark(run)
  // it holds the directory, also when it was made before directories had holders
  if (here.found) await tell(run, run.outputs.was.host, host.prepareDirectory, uuid(run))
  const { blockMigration } = run.input
  const both = `${run.outputs.was.host} and ${destinationOf(run)}`
  const imaged = imageBacked(await serverOf(run))
  if (imaged && here.found && blockMigration === true) throw preCheck(`${both} share their storage: there are no disks to be migrated.`)
  if (imaged && !here.found && blockMigration === false)
    throw preCheck(`${both} do not share their storage: ask for block migration (or "auto").`)
  return { shared: here.found, directory: here.directory }
}

async function removeMark(run: Move): Promise<void> {
  await undoAtDestination(run, host.removeMark, uuid(run))
}

function leaveDirectory(run: Move): Promise<void> {
  return undoAtDestination(run, host.removeDirectory, uuid(run))
}

const isShared = (run: Move): boolean => run.outputs['compare-hosts'].shared

/** Null where the disk is there, shared or a volume, and where it comes whole. */
async function fetchBase(run: Move) {
  return isShared(run) ? null : await baseThere(run)
}

const comesWhole = (run: Move): boolean => !isShared(run) && run.outputs['root-disk'] !== null && run.outputs['fetch-base'] === null

/** As large as they are, and empty: what the guest wrote comes with it. */
async function createDisks(run: Move) {
  if (isShared(run)) return null
  const row = await serverOf(run)
  const rootBytes = comesWhole(run) ? { rootBytes: run.outputs['root-disk'].virtualSizeBytes } : {}
  await atDestination(run, host.prepareDisks, { instance: specOf(row), ...rootBytes })
  const base = run.outputs['fetch-base']
  if (!base) return null
  const overlay = await atDestination(run, host.createOverlay, { uuid: row.id, basePath: base.path, baseFormat: base.format })
  await tell(run, destinationOf(run), host.resizeDisk, { uuid: row.id, rootGiB: flavorOf(row).rootGiB })
  return overlay
}

/** The very one: the guest may have it open. */
async function configDrive(run: Move): Promise<{ path: string | null; bytes: number }> {
  if (isShared(run)) return { path: null, bytes: 0 }
  const { disks, bytes } = await carry(run, 'drive', null)
  return { path: disks[0] ?? null, bytes }
}

async function holdSecrets(run: Move): Promise<void> {
  const row = await serverOf(run)
  await atDestination(run, host.holdSecrets, { uuid: row.id, volumes: await connectionsOf(run.world, row) })
}

function plugThere(message: (typeof host)['createBridge' | 'createVeth' | 'joinBridge' | 'joinIntegration']) {
  return async (run: Move): Promise<unknown[]> => {
    const row = await serverOf(run)
    const answers: unknown[] = []
    for (const vif of vifsOf(row)) {
      const plug: Plug = { uuid: row.id, vif, flavor: flavorOf(row) }
      // every part may be done again, and each port is one of several under this step's key
      answers.push(await tell(run, destinationOf(run), message as typeof host.createBridge, plug))
    }
    return answers
  }
}

async function unplugThere(run: Move): Promise<void> {
  await undoAtDestination(run, host.unplug, { vifs: vifsOf(await serverOf(run)) })
}

async function waitWired(run: Move) {
  return await atDestination(run, host.waitWired, { vifs: vifsOf(await serverOf(run)), timeoutMs: WIRED_MS }, 2 * WIRED_MS)
}

interface Begun {
  plan: MigrationPlan
  domainName: string
  xml: string
  cookie: string
}

async function begin(run: Move): Promise<Begun> {
  const planned = await tell(run, run.outputs.was.host, host.planMigration, { ...uuid(run), shared: isShared(run), whole: comesWhole(run) })
  const begun = await tell(run, run.outputs.was.host, host.beginMigration, { ...uuid(run), plan: planned.plan })
  return { ...planned, ...begun }
}

const begunOf = (run: Move): Begun => run.outputs['migrate-begin']

async function cancel(run: Move, begun: Begun | null): Promise<void> {
  const { vm_state: state } = await serverOf(run)
  const plan = begun?.plan ?? { copyDisks: [], paused: state === 'paused' }
  await tell(run, run.outputs.was.host, host.cancelMigration, { ...uuid(run), plan })
}

function prepare(run: Move) {
  const { plan, xml, cookie } = begunOf(run)
  const { directory } = run.outputs['compare-hosts']
  return atDestination(run, host.prepareMigration, { ...uuid(run), plan, xml, cookie, directory })
}

async function abandon(run: Move): Promise<void> {
  const { plan, domainName } = begunOf(run)
  await undoAtDestination(run, host.abandonMigration, { ...uuid(run), plan, domainName })
}

/** A server that is deleted meanwhile is not carried to the end. */
async function perform(run: Move) {
  const { uri, cookie } = run.outputs['migrate-prepare']
  const payload = { ...uuid(run), plan: begunOf(run).plan, uri, cookie, migrationId: run.input.migrationId }
  const source = run.outputs.was.host
  const stop = () => void tell(run, source, host.abortMigration, uuid(run)).catch(() => {}) // it was just over
  run.signal.addEventListener('abort', stop, { once: true })
  try {
    return await ask(run, source, host.performMigration, payload, PATIENCE_MS)
  } finally {
    run.signal.removeEventListener('abort', stop)
  }
}

function finish(run: Move) {
  const { plan, domainName } = begunOf(run)
  return atDestination(run, host.finishMigration, { ...uuid(run), plan, domainName, cookie: run.outputs['migrate-perform'].cookie })
}

async function takePlace(run: Move): Promise<void> {
  const { host: name, node } = run.outputs['select-host']
  await change(run, { host: name, node, zone: await zoneNameOf(run.world, name) })
}

async function takePlaceBack(run: Move): Promise<void> {
  const { host: name, node, zone } = run.outputs.was
  await change(run, { host: name, node, zone })
}

/** The guest runs elsewhere: whatever the host that it left has of it goes, now or when that host is heard of again. */
async function confirm(run: Move): Promise<void> {
  const row = await serverOf(run)
  const left = run.outputs.was.host
  const { log } = run.world
  try {
    await tell(
      run,
      left,
      host.confirmMigration,
      { ...uuid(run), plan: begunOf(run).plan, cookie: run.outputs['migrate-finish'].cookie },
      10_000,
    )
  } catch (error) {
    log.warn({ err: error, host: left, server: row.id }, 'the host that a guest has left does not end the migration')
  }
  try {
    await tell(run, left, host.dismiss, { ...uuid(run), vifs: vifsOf(row) }, 30_000)
  } catch (error) {
    log.warn({ err: error, host: left, server: row.id }, 'the host that a guest has left does not part with it yet')
  }
}

/** The volume service hears from where they are used now. */
async function connectVolumes(run: Move): Promise<void> {
  await connectionsOf(run.world, await serverOf(run))
}

async function complete(run: Move): Promise<void> {
  const { powerState } = run.outputs['migrate-finish']
  await run.world.placement.release(run.input.migrationId)
  await setMigration(run, { status: 'completed' })
  await settle({ powerState }, { progress: 0 })(run)
}

async function stays(run: Move, error: Error): Promise<void> {
  const cancelled = (await findMigration(run.world.database.db, run.input.migrationId))?.status === 'cancelled'
  if (!cancelled) await setMigration(run, { status: 'error' })
  await giveBack(run, error)
}
