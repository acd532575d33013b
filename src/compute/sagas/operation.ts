import { timestamp, toJson } from '../../kernel/db/columns.ts'
import type { Fault } from '../../kernel/errors/errors.ts'
import type { Action, Step } from '../../kernel/saga/saga.ts'
import { failAction } from '../app/action.ts'
import { specOf, vifsOf } from '../app/instance-spec.ts'
import { move, type StateChange } from '../app/server-state.ts'
import { connectionsOf } from '../app/volume-connection.ts'
import type { InstanceRow } from '../db/tables.ts'
import { type FlavorSpec, host } from '../rpc.ts'
import { onItsHost, type ServerRun, serverOf, tell, uuid } from './on-host.ts'

/** The end of an operation that worked. */
export const settle =
  (change: StateChange, more: Partial<InstanceRow> = {}) =>
  (run: ServerRun) =>
    move(run.world.database.db, run.input.serverId, { taskState: null, ...change }, more)

/** The end of one that did not, after everything is taken back: the server is what it was, the action tells why. */
export async function giveBack(run: ServerRun, error: Error): Promise<void> {
  if ((error as Fault).code === 'Interrupted') return // it is being deleted
  await failAction(run.world.database.db, run.input.serverId, run.requestId, error.message)
  await move(run.world.database.db, run.input.serverId, { taskState: null })
}

/** Where nothing could be taken back: the server needs its user's attention. */
export async function intoError(run: ServerRun, error: Error): Promise<void> {
  const { code, status = 500, message, details = {} } = error as Fault
  if (code === 'Interrupted') return
  const fault = { code: status, message, details, created: timestamp() }
  await failAction(run.world.database.db, run.input.serverId, run.requestId, message)
  await move(run.world.database.db, run.input.serverId, { vmState: 'error', taskState: null }, { fault_json: toJson(fault) })
}

/** Defines the domain as the row says it should be; for undos that changed the row back. */
export async function redefine(run: ServerRun): Promise<void> {
  const row = await serverOf(run)
  const volumes = await connectionsOf(run.world, row)
  const { xml } = await tell(run, row.host!, host.makeXml, { instance: specOf(row), vifs: vifsOf(row), volumes })
  await tell(run, row.host!, host.define, { uuid: row.id, xml })
}

/** Whether its guest ran when the operation began. */
export async function wasRunning(run: ServerRun): Promise<{ running: boolean }> {
  const row = await serverOf(run)
  const { powerState } = await tell(run, row.host!, host.powerState, { uuid: row.id })
  return { running: powerState === 'running' || powerState === 'paused' }
}

/** The guest is asked to go off, and is switched off when it has not within a minute. */
export const powerOff = onItsHost(host.stop, (run) => ({ ...uuid(run), timeoutMs: 60_000 }))

/** Undo of a power-off. */
export async function startAgain(run: ServerRun): Promise<void> {
  if (!run.outputs['was-running']?.running) return
  const row = await serverOf(run)
  await tell(run, row.host!, host.start, { uuid: row.id })
}

/** Undo of a new vm_state. */
export async function asItWas(run: ServerRun): Promise<void> {
  const vmState = run.outputs['was-running']?.running ? 'active' : 'stopped'
  await move(run.world.database.db, run.input.serverId, { vmState })
}

/** What a row has of its flavor. */
export const flavorColumns = (flavor: FlavorSpec): Partial<InstanceRow> => ({
  flavor_json: toJson(flavor),
  vcpus: flavor.vcpus,
  ram: flavor.ramMiB,
})

/** Active or stopped, as its guest is. */
export async function rest(run: ServerRun, columns: Partial<InstanceRow>): Promise<void> {
  const { running } = await wasRunning(run)
  await move(
    run.world.database.db,
    run.input.serverId,
    { vmState: running ? 'active' : 'stopped', powerState: running ? 'running' : 'shutdown', taskState: null },
    columns,
  )
}

/** Steps of a saga that follows another, and has nothing to do where that one failed. */
export function onlyIf(holds: (run: ServerRun) => Promise<boolean>) {
  return (one: Step<ServerRun>): Step<ServerRun> => {
    const { action, enter, evidence } = one
    const guarded: Action<ServerRun> = async (run) => ((await holds(run)) ? await action(run) : null)
    return {
      ...one,
      action: guarded,
      ...(enter ? { enter: async (run) => ((await holds(run)) ? await enter(run) : undefined) } : {}),
      ...(evidence ? { evidence: (out, run) => (out === null ? { text: 'there is nothing to do' } : evidence(out, run)) } : {}),
    }
  }
}
