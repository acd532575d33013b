import type { Message } from '../../kernel/bus/bus.ts'
import { notFound } from '../../kernel/errors/errors.ts'
import type { Run } from '../../kernel/saga/saga.ts'
import type { ComputeContext } from '../app/context.ts'
import { flavorOf, type ServerRequest, vifsOf } from '../app/instance-spec.ts'
import * as request from '../app/server-request.ts'
import { findInstance, updateInstance } from '../db/instances.ts'
import type { InstanceRow } from '../db/tables.ts'
import { computeTopic, type Plug } from '../rpc.ts'

export type ServerRun<Input = any, Outputs = any> = Run<ComputeContext, { serverId: string } & Input, Outputs>

/** Downloads and copies may take this long (ms). */
export const LONG = 3_600_000

export async function serverOf(run: ServerRun): Promise<InstanceRow> {
  const row = await findInstance(run.world.database.db, run.input.serverId)
  if (!row) throw notFound(`Instance ${run.input.serverId} could not be found.`, 'InstanceNotFound')
  return row
}

/** As steps on its host see it, one after the other: what they read of a server, only steps on control change. */
export async function serverThere(run: ServerRun): Promise<InstanceRow> {
  const seen = run.stretch.get('server') as InstanceRow | undefined
  if (seen) return seen
  const row = await serverOf(run)
  run.stretch.set('server', row)
  return row
}

export async function change(run: ServerRun, columns: Partial<InstanceRow>): Promise<void> {
  run.stretch.delete('server')
  await updateInstance(run.world.database.db, run.input.serverId, columns)
}

/** Answers the row as it was. */
export async function changeRequest(
  run: ServerRun,
  how: (now: ServerRequest) => Partial<ServerRequest>,
  more: Partial<InstanceRow> = {},
): Promise<InstanceRow> {
  run.stretch.delete('server')
  return await run.world.database.transaction((trx) => request.changeRequest(trx, run.input.serverId, how, more))
}

/** Sends an action to the server's host; the key makes a repeat harmless. */
export function ask<In, Out>(run: ServerRun, host: string, message: Message<In, Out>, payload: In, timeoutMs = 120_000): Promise<Out> {
  return run.world.bus.call(computeTopic(host), message, payload, { key: run.key, requestId: run.requestId ?? undefined, timeoutMs })
}

/** Like {@link ask}, without a key: for undos, which must run again when they are told to. */
export function tell<In, Out>(run: ServerRun, host: string, message: Message<In, Out>, payload: In, timeoutMs = 120_000): Promise<Out> {
  return run.world.bus.call(computeTopic(host), message, payload, { requestId: run.requestId ?? undefined, timeoutMs })
}

/** An action on the host where the server lives now. */
export const onItsHost =
  <In, Out>(message: Message<In, Out>, payload: (run: ServerRun, row: InstanceRow) => In | Promise<In>, timeoutMs?: number) =>
  async (run: ServerRun): Promise<Out> => {
    const row = await serverThere(run)
    return await ask(run, row.host!, message, await payload(run, row), timeoutMs)
  }

/** The same as an undo: a server that never came to a host has nothing there. */
export const undoOnItsHost =
  <In, Out>(message: Message<In, Out>, payload: (run: ServerRun, row: InstanceRow) => In | Promise<In>) =>
  async (run: ServerRun): Promise<void> => {
    const row = await findInstance(run.world.database.db, run.input.serverId)
    if (row?.host) await tell(run, row.host, message, await payload(run, row))
  }

export const uuid = (run: ServerRun) => ({ uuid: run.input.serverId })

/** One message for each of the server's ports. */
export const forEachVif =
  <Out>(message: Message<Plug, Out>) =>
  async (run: ServerRun): Promise<Out[]> => {
    const row = await serverThere(run)
    const answers: Out[] = []
    for (const vif of vifsOf(row))
      answers.push(
        await run.world.bus.call(
          computeTopic(row.host!),
          message,
          { uuid: row.id, vif, flavor: flavorOf(row) },
          { key: `${run.key}/${vif.portId}`, requestId: run.requestId ?? undefined },
        ),
      )
    return answers
  }
