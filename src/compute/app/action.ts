import type { Transaction } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import { conflict } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import { type Handle, insertAll } from '../db/handle.ts'
import type { ActionRow, ComputeTables, InstanceRow, VmState } from '../db/tables.ts'
import type { ComputeContext } from './context.ts'
import { begin, hostOf, type TaskStates } from './server-state.ts'

/** What a user does to a server, in the words of the instance-actions API. */
export async function recordAction(
  trx: Handle,
  request: Pick<RequestContext, 'requestId' | 'userId' | 'projectId'>,
  serverId: string,
  action: string,
): Promise<void> {
  await recordActions(trx, request, [serverId], action)
}

/** The same of many servers. */
export async function recordActions(
  trx: Handle,
  request: Pick<RequestContext, 'requestId' | 'userId' | 'projectId'>,
  serverIds: string[],
  action: string,
): Promise<void> {
  const at = timestamp()
  await insertAll(
    trx,
    'actions',
    serverIds.map((server_id) => ({
      server_id,
      request_id: request.requestId,
      action,
      user_id: request.userId,
      project_id: request.projectId,
      start_time: at,
      updated_at: at,
      message: null,
    })),
  )
}

export async function failAction(db: Handle, serverId: string, requestId: string | null, message: string): Promise<void> {
  if (!requestId) return
  await db
    .updateTable('actions')
    .set({ message, updated_at: timestamp() })
    .where('server_id', '=', serverId)
    .where('request_id', '=', requestId)
    .execute()
}

/** Newest first. */
export async function actionsOf(context: ComputeContext, serverId: string): Promise<ActionRow[]> {
  return await context.database.db
    .selectFrom('actions')
    .selectAll()
    .where('server_id', '=', serverId)
    .orderBy('start_time', 'desc')
    .execute()
}

export interface Operation {
  /** As users know it: reboot, resize, ... */
  action: string
  saga: string
  vmStates?: VmState[]
  taskStates?: TaskStates
  /** While it is under way. */
  taskState: string
  input?: Record<string, unknown>
  /** Further columns that are set together with the task state. */
  columns?: Partial<InstanceRow>
  /** Further rows in the same transaction. */
  also?: (trx: Transaction<ComputeTables>) => Promise<void>
  /** Operations under way stop and unwind first. */
  interrupt?: string
  /** A saga that runs after it. */
  followedBy?: string
  /** Also on a locked server. */
  lockedToo?: boolean
  /** Also of a server that no host has. */
  anywhere?: boolean
}

/**
 * Takes the server for an operation, notes the action and writes the saga, all in one transaction; the saga runs after the request is answered. Returns its id.
 * @throws Fault 404, or 409 when the server's state or its lock forbids it
 */
export async function operate(
  context: ComputeContext,
  request: RequestContext,
  server: InstanceRow,
  operation: Operation,
): Promise<string> {
  if (server.locked && !request.isAdmin && !operation.lockedToo) throw conflict(`Instance ${server.id} is locked`, 'InstanceIsLocked')
  const subject = `server:${server.id}`
  const id = await context.database.transaction(async (trx) => {
    // what was looked at before (its host's state, its ports there) is of that host
    const host = operation.anywhere ? undefined : (server.host ?? undefined)
    await begin(trx, server, { ...operation, name: operation.action, host }, operation.columns)
    if (!operation.anywhere) hostOf(server)
    await recordAction(trx, request, server.id, operation.action)
    await operation.also?.(trx)
    const common = { subject, requestId: request.requestId }
    const saga = await context.engine.submit(trx, {
      ...common,
      kind: operation.saga,
      input: { serverId: server.id, ...operation.input },
      interruptOthers: operation.interrupt,
    })
    if (operation.followedBy) await context.engine.submit(trx, { ...common, kind: operation.followedBy, input: { serverId: server.id } })
    return saga
  })
  context.engine.wake(subject)
  return id
}
