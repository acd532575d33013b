import { fromJson } from '../../kernel/db/columns.ts'
import { conflict } from '../../kernel/errors/errors.ts'
import { at, saga, step } from '../../kernel/saga/saga.ts'
import { flavorOf, imageBacked } from '../app/instance-spec.ts'
import { resourcesOf } from '../app/scheduler/request-spec.ts'
import { type FlavorSpec, host } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { entering, setMigration } from './moving.ts'
import { change, LONG, onItsHost, type ServerRun, serverOf, tell, undoOnItsHost, uuid } from './on-host.ts'
import { asItWas, flavorColumns, giveBack, intoError, powerOff, redefine, rest, settle, startAgain, wasRunning } from './operation.ts'

type Resize = ServerRun<{ flavor: FlavorSpec; migrationId: string }>
type End = ServerRun<{ migrationId: string }>

const KEPT = { name: 'resize' }
const kept = (run: ServerRun) => ({ ...uuid(run), ...KEPT })

/** To another flavor on the host where it is: the disk is kept aside until the user confirms. */
export const resizeServer = saga<Resize>(
  'resize-server',
  [
    step(
      null,
      'claim-placement',
      at.conductor,
      (run) => book(run, run.input.flavor),
      (run) => book(run, null),
    ),
    step(
      17,
      'claim',
      at.host,
      (run) => claimOn(run, run.input.flavor),
      (run) => claimOn(run, null).then(() => {}),
      says.claim,
    ),
    step(null, 'was-running', at.host, wasRunning, null), // only reads
    step(null, 'power-off', at.host, powerOff, startAgain, entering('resize_migrating', 'migrating')),
    step(null, 'keep-disk', at.host, onItsHost(host.keepDisk, kept, LONG), undoOnItsHost(host.restoreDisk, kept)),
    step(null, 'flavor', at.control, takeFlavor, giveFlavorBack, entering('resize_finish', 'post-migrating')),
    step(28, 'resize-disk', at.host, build.resizeDisk, null, says.size), // goes with the disk that is restored
    step(31, 'domain-xml', at.host, build.domainXml, null, says.xml),
    step(32, 'define-domain', at.host, build.define, null, says.defined), // the flavor's undo defines it as it was
    step(37, 'start-domain', at.host, startIfItRan, build.destroy),
    step(null, 'resized', at.control, resized, asItWas),
  ],
  { failed },
)

export const confirmResize = saga<End>(
  'confirm-resize',
  [
    step(null, 'drop-disk', at.host, onItsHost(host.dropDisk, kept), null), // the user said that it is not needed
    step(null, 'confirmed', at.control, (run) => over(run, 'confirmed'), null),
  ],
  { failed: intoError },
)

/** Back to the disk and the flavor from before. No undos: the way back has no way back. */
export const revertResize = saga<End>(
  'revert-resize',
  [
    step(null, 'was-running', at.host, wasRunning, null),
    step(null, 'power-off', at.host, onItsHost(host.destroy, uuid), null),
    step(null, 'restore-disk', at.host, onItsHost(host.restoreDisk, kept), null),
    step(null, 'flavor', at.control, giveFlavorBack, null),
    step(null, 'claim-placement', at.conductor, (run) => book(run, null), null),
    step(17, 'claim', at.host, (run) => claimOn(run, null), null, says.claim),
    step(37, 'start-domain', at.host, startIfItRan, null),
    step(null, 'reverted', at.control, (run) => over(run, 'reverted'), null),
  ],
  { failed: intoError },
)

async function resized(run: Resize): Promise<void> {
  await setMigration(run, { status: 'finished' })
  await settle({ vmState: 'resized' })(run)
}

async function over(run: End, status: string): Promise<void> {
  await setMigration(run, { status })
  await rest(run, { old_flavor_json: null })
}

async function failed(run: Resize, error: Error): Promise<void> {
  await setMigration(run, { status: 'error' })
  await giveBack(run, error)
}

/** In placement's books, on the provider where it is; null: its flavor as the row has it. */
async function book(run: ServerRun, flavor: FlavorSpec | null): Promise<void> {
  const row = await serverOf(run)
  const { provider_id } = await run.world.database.db
    .selectFrom('hosts')
    .select('provider_id')
    .where('host', '=', row.host!)
    .executeTakeFirstOrThrow()
  const resources = resourcesOf(flavor ?? flavorOf(row), !imageBacked(row))
  const fits = await run.world.placement.claim(row.id, {
    allocations: { [provider_id]: resources },
    projectId: row.project_id,
    userId: row.user_id,
  })
  if (!fits)
    throw conflict(
      `Host ${row.host} has no room for flavor ${flavor?.name}, and Yun resizes on the host where a server is.`,
      'ResourcesGone',
    )
}

async function claimOn(run: ServerRun, flavor: FlavorSpec | null) {
  const row = await serverOf(run)
  return await tell(run, row.host!, host.claim, { uuid: row.id, flavor: flavor ?? flavorOf(row), imageBacked: imageBacked(row) })
}

async function takeFlavor(run: Resize): Promise<void> {
  const row = await serverOf(run)
  const before = row.old_flavor_json ?? row.flavor_json
  await change(run, { ...flavorColumns(run.input.flavor), old_flavor_json: before })
}

async function giveFlavorBack(run: ServerRun): Promise<void> {
  const row = await serverOf(run)
  if (!row.old_flavor_json) return
  await change(run, flavorColumns(fromJson(row.old_flavor_json)))
  await redefine(run)
}

async function startIfItRan(run: ServerRun): Promise<void> {
  const row = await serverOf(run)
  if (run.outputs['was-running'].running) await tell(run, row.host!, host.start, { uuid: row.id })
}
