import { timestamp, toJson } from '../../kernel/db/columns.ts'
import type { Fault } from '../../kernel/errors/errors.ts'
import { at, step } from '../../kernel/saga/saga.ts'
import { failAction } from '../app/action.ts'
import { flavorOf, imageBacked, requestOf, specOf, vifsOf } from '../app/instance-spec.ts'
import { move } from '../app/server-state.ts'
import { connectionsOf } from '../app/volume-connection.ts'
import type { InstanceRow } from '../db/tables.ts'
import { host } from '../rpc.ts'
import { says } from './evidence.ts'
import { ask, forEachVif, LONG, onItsHost, type ServerRun, serverOf, serverThere, undoOnItsHost, uuid } from './on-host.ts'

/** What create-server, rebuild, rescue and resize do on the host: steps 16 to 37 and their undos, which work from the server's id alone. */

export type Build = ServerRun<{ adminPass?: string }>

/** What the user sees the server doing from this step on. */
export const task = (taskState: string) => ({
  enter: (run: ServerRun) => move(run.world.database.db, run.input.serverId, { taskState }),
})

const withVifs = (run: Build, row: InstanceRow) => ({ instance: specOf(row, run.input.adminPass), vifs: vifsOf(row) })

export const receive = onItsHost(host.receive, (_run, row) => ({ instance: specOf(row) }))
export const claim = onItsHost(host.claim, (_run, row) => ({ uuid: row.id, flavor: flavorOf(row), imageBacked: imageBacked(row) }))
export const unclaim = undoOnItsHost(host.unclaim, uuid)

export async function spawn(run: Build) {
  const row = await serverOf(run)
  return { host: row.host!, domainName: specOf(row).domainName }
}

export const prepareDirectory = onItsHost(host.prepareDirectory, uuid)
export const removeDirectory = undoOnItsHost(host.removeDirectory, uuid)

/** Null for a server that boots from a volume. */
export async function fetchBase(run: Build) {
  const row = await serverThere(run)
  const { image } = requestOf(row)
  return image ? await ask(run, row.host!, host.fetchBase, { image }, LONG) : null
}

export async function createOverlay(run: Build) {
  const base = run.outputs['fetch-base']
  if (!base) return null
  const row = await serverThere(run)
  return await ask(run, row.host!, host.createOverlay, { uuid: row.id, basePath: base.path, baseFormat: base.format })
}
export const removeDisk = undoOnItsHost(host.removeDisk, uuid)

export async function resizeDisk(run: Build) {
  const row = await serverThere(run)
  if (!imageBacked(row)) return null
  return await ask(run, row.host!, host.resizeDisk, { uuid: row.id, rootGiB: flavorOf(row).rootGiB })
}

export const configDrive = onItsHost(host.buildConfigDrive, withVifs)
export const removeConfigDrive = undoOnItsHost(host.removeConfigDrive, uuid)
export const injectFiles = onItsHost(host.injectFiles, withVifs)

export const domainXml = onItsHost(host.makeXml, async (run, row) => ({
  ...withVifs(run, row),
  volumes: await connectionsOf(run.world, row),
}))

export async function define(run: Build) {
  const row = await serverThere(run)
  return await ask(run, row.host!, host.define, { uuid: row.id, xml: run.outputs['domain-xml'].xml })
}
export const undefine = undoOnItsHost(host.undefine, uuid)

export const createBridge = forEachVif(host.createBridge)
export const createVeth = forEachVif(host.createVeth)
export const joinBridge = forEachVif(host.joinBridge)
export const joinIntegration = forEachVif(host.joinIntegration)
/** One message takes all of a vif away, whichever of 33 to 36 made it. */
export const unplug = undoOnItsHost(host.unplug, (_run, row) => ({ vifs: vifsOf(row) }))

/** Steps 31 to 36 of a server that comes to another host, or back to it. */
export const domainAndNetwork = [
  step(31, 'domain-xml', at.host, domainXml, null, says.xml),
  step(32, 'define-domain', at.host, define, undefine, says.defined),
  step(33, 'create-qbr', at.host, createBridge, unplug, says.bridges),
  step(34, 'create-veth', at.host, createVeth, unplug, says.pairs),
  step(35, 'join-qbr', at.host, joinBridge, unplug, says.joined),
  step(36, 'join-br-int', at.host, joinIntegration, unplug, says.joined),
]

export const launch = onItsHost(host.launch, uuid)
export const start = onItsHost(host.start, uuid)
export const destroy = undoOnItsHost(host.destroy, uuid)

export async function becomeActive(run: ServerRun): Promise<void> {
  await move(
    run.world.database.db,
    run.input.serverId,
    { vmState: 'active', taskState: null, powerState: 'running' },
    { launched_at: timestamp(), progress: 100, fault_json: null },
  )
}

/** A host that cannot is no reason to give up while there is another; a request that is wrong would be wrong there too. */
export function mayGoElsewhere(error: Error, run: Build): boolean {
  if (run.attempt + 1 >= run.world.settings.scheduler.maxAttempts) return false
  const { code, status = 500 } = error as Partial<Fault>
  return (code === 'ResourcesGone' || status >= 500) && run.outputs['select-host']?.alternates.length > 0
}

/** The server stays, in ERROR, with the reason; nothing of it is left on any host. */
export async function tellWhy(run: ServerRun, error: Error): Promise<void> {
  const { code, status = 500, message, details = {} } = error as Fault
  if (code === 'Interrupted') return // it is being deleted
  const { db } = run.world.database
  await failAction(db, run.input.serverId, run.requestId, message)
  const fault = { code: status, message, details, created: timestamp() }
  await move(db, run.input.serverId, { vmState: 'error', taskState: null, powerState: 'nostate' }, { fault_json: toJson(fault) })
}
