import type { Kysely } from 'kysely'
import { timestamp } from '../../kernel/db/columns.ts'
import { Raced } from '../../kernel/db/database.ts'
import { prepared, updatePrepared } from '../../kernel/db/prepared.ts'
import { conflict, notFound } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { findInstance, moveInstance } from '../db/instances.ts'
import type { ComputeTables, InstanceRow, VmState } from '../db/tables.ts'
import type { PowerState } from '../rpc.ts'
import type { ComputeContext } from './context.ts'

/** Nothing else writes vm_state, task_state and power_state: hosts report, control writes, here. */

export const POWER: Record<PowerState, number> = { nostate: 0, running: 1, paused: 3, shutdown: 4, crashed: 6, suspended: 7 }

/** What a server that was built may be. */
const MADE: VmState[] = [
  'active',
  'stopped',
  'paused',
  'suspended',
  'rescued',
  'resized',
  'shelved',
  'shelved_offloaded',
  'error',
  'deleted',
  'soft-delete',
]

/** From which vm_states a server may come into another one. `error` may follow any. */
const TRANSITIONS: Record<VmState, VmState[]> = {
  building: ['active', 'stopped', 'error', 'deleted'],
  active: MADE,
  stopped: ['stopped', 'active', 'rescued', 'resized', 'shelved', 'error', 'deleted', 'soft-delete'],
  paused: ['paused', 'active', 'stopped', 'shelved', 'error', 'deleted', 'soft-delete'],
  suspended: ['suspended', 'active', 'stopped', 'shelved', 'error', 'deleted', 'soft-delete'],
  rescued: ['rescued', 'active', 'stopped', 'error', 'deleted', 'soft-delete'],
  resized: ['resized', 'active', 'stopped', 'error', 'deleted', 'soft-delete'],
  shelved: ['shelved', 'shelved_offloaded', 'active', 'stopped', 'error', 'deleted', 'soft-delete'],
  shelved_offloaded: ['shelved_offloaded', 'active', 'error', 'deleted', 'soft-delete'],
  // an operator may say so of a server with which something is under way
  error: [...MADE, 'building'],
  'soft-delete': ['active', 'stopped', 'error', 'deleted'],
  deleted: [],
}

export interface StateChange {
  vmState?: VmState
  taskState?: string | null
  powerState?: PowerState
}

export const DELETING = 'deleting'

/** In which an operation may begin; `any other`: whatever is under way, but not twice. */
export type TaskStates = (string | null)[] | 'any other'

const columnsOf = (change: StateChange): Partial<InstanceRow> => ({
  ...(change.vmState !== undefined ? { vm_state: change.vmState } : {}),
  ...(change.taskState !== undefined ? { task_state: change.taskState, held_task: null } : {}),
  ...(change.powerState !== undefined ? { power_state: POWER[change.powerState] } : {}),
})

const sources = (to: VmState): VmState[] =>
  (Object.keys(TRANSITIONS) as VmState[]).filter((from) => from === to || to === 'error' || TRANSITIONS[from].includes(to))

/**
 * A user's operation takes the server: its states must be those that the operation may begin in, and no other operation may have it.
 * @throws Fault 404 when it is gone, 409 naming the state that is in the way
 */
export async function begin(
  db: Handle,
  server: InstanceRow,
  operation: { name: string; vmStates?: VmState[]; taskStates?: TaskStates; taskState: string; host?: string },
  more: Partial<InstanceRow> = {},
): Promise<void> {
  const { vmStates, taskStates = [null], taskState, host } = operation
  const tasks = taskStates === 'any other' ? { notTask: taskState } : { taskStates }
  const moved = await moveInstance(db, server.id, { vmStates, ...tasks, host }, { ...more, task_state: taskState, held_task: null })
  if (!moved) await refuse(db, server, operation)
}

/** For what begins without taking the server: in the transaction that writes it the server is at rest, in one of these states, and others who ask for the same wait. @throws Fault 404, 409 */
export async function mustRestIn(trx: Handle, server: InstanceRow, operation: { name: string; vmStates: VmState[] }): Promise<void> {
  if (!(await moveInstance(trx, server.id, { vmStates: operation.vmStates, taskStates: [null] }, {}))) await refuse(trx, server, operation)
}

async function refuse(db: Handle, server: InstanceRow, operation: { name: string; vmStates?: VmState[]; host?: string }): Promise<never> {
  const now = await findInstance(db, server.id)
  if (!now || now.deleted) throw notFound(`Instance ${server.id} could not be found.`, 'InstanceNotFound')
  if (operation.host !== undefined && now.host !== operation.host)
    throw conflict(`Instance ${server.id} is on another host by now: ask again.`, 'InstanceInvalidState')
  const inTheWay =
    operation.vmStates && !operation.vmStates.includes(now.vm_state)
      ? `vm_state ${now.vm_state}`
      : `task_state ${now.task_state ?? now.held_task}`
  throw conflict(`Cannot '${operation.name}' instance ${server.id} while it is in ${inTheWay}`, 'InstanceInvalidState')
}

/** For what begins with something else than {@link begin}. @throws Fault 409 naming the state that is in the way */
export function mustBeIn(vmStates: VmState[], { id, vm_state }: InstanceRow, operation: string): void {
  if (!vmStates.includes(vm_state))
    throw conflict(`Cannot '${operation}' instance ${id} while it is in vm_state ${vm_state}`, 'InstanceInvalidState')
}

/** Where its guest is. A server may have failed before it came to a host, or be put into a state that it has nowhere (os-resetState). @throws Fault 409 */
export function hostOf({ id, host }: InstanceRow): string {
  if (host === null) throw conflict(`Instance ${id} is not ready`, 'InstanceNotReady')
  return host
}

/**
 * A saga's own changes, in the order in which its steps come. A deleted server stays deleted, and one that is being deleted is so until it is, or {@link keep}.
 * A task ends also where an operator's word has left a state that the other change cannot follow.
 */
export async function move(db: Handle, id: string, change: StateChange, more: Partial<InstanceRow> = {}): Promise<void> {
  const vmStates = change.vmState ? sources(change.vmState) : undefined
  const endsTask = change.taskState !== undefined && change.vmState !== 'deleted'
  if (await moveInstance(db, id, { vmStates, ...(endsTask ? { notTask: DELETING } : {}) }, { ...more, ...columnsOf(change) })) return
  if (!endsTask || (await moveInstance(db, id, { vmStates }, { ...more, ...columnsOf({ ...change, taskState: undefined }) }))) return
  await moveInstance(db, id, { notTask: DELETING }, columnsOf({ taskState: change.taskState }))
}

/** A server that could not be deleted is not being deleted any more. */
export async function keep(db: Handle, id: string): Promise<void> {
  await moveInstance(db, id, { taskStates: [DELETING] }, { task_state: null })
}

/**
 * An operator says how a server is, whatever it was; not of one that is being deleted, which nothing else may begin with. What is under way goes on, and others wait until it
 * is over.
 * @throws Fault 404, 409
 */
export async function resetState({ database, engine }: ComputeContext, server: InstanceRow, vmState: VmState): Promise<void> {
  const operation = { name: 'os-resetState' }
  await database.transaction(async (trx) => {
    const seen = await findInstance(trx, server.id)
    if (!seen || seen.deleted || seen.task_state === DELETING) return await refuse(trx, server, operation)
    const busy = (await engine.underWay(trx, [`server:${server.id}`])).length > 0
    const held_task = busy ? (seen.task_state ?? seen.held_task) : null
    const seenAs = { id: seen.id, deleted: 0, task_state: seen.task_state, held_task: seen.held_task }
    const said = { ...columnsOf({ vmState, taskState: null }), held_task, fault_json: null, updated_at: timestamp() }
    if ((await updatePrepared(trx, 'instances', seenAs, said)) === 0) throw new Raced()
  })
}

/** From which vm_states a server at rest follows its guest, and into which. */
const FOLLOWED: Partial<Record<PowerState, { from: VmState[]; to: VmState }>> = {
  // a guest comes up paused before it begins: word of that may arrive when it runs already, and is followed by this one
  running: { from: ['stopped', 'paused'], to: 'active' },
  paused: { from: ['active'], to: 'paused' },
  shutdown: { from: ['active', 'paused', 'suspended'], to: 'stopped' },
  crashed: { from: ['active', 'paused', 'suspended'], to: 'stopped' },
}

const tasksOf = prepared((db: Kysely<ComputeTables>, { id }: { id: string }) =>
  db.selectFrom('instances').select(['task_state', 'held_task']).where('id', '=', id),
)

/**
 * A host says how a guest is. Only a server at rest follows: what an operation is about to do is the operation's to write.
 * With `host` it follows only if it lives there: one that was evacuated hears nothing of the guest it left behind. With `untouchedSince` (the row's updated_at) it follows
 * only if nothing has changed the row since. Answers whether it followed.
 */
export async function follow(
  db: Handle,
  id: string,
  powerState: PowerState,
  expected: { host?: string; untouchedSince?: string },
): Promise<boolean> {
  const [seen] = (await tasksOf(db, { id })).rows
  if (!seen || seen.task_state !== null || seen.held_task !== null) return false // while it is being built, its host has much to say
  const power = { power_state: POWER[powerState] }
  const atRest = { ...expected, taskStates: [null] }
  const followed = FOLLOWED[powerState]
  if (followed && (await moveInstance(db, id, { ...atRest, vmStates: followed.from }, { ...power, vm_state: followed.to }))) return true
  return await moveInstance(db, id, atRest, power)
}

const REBUILDING = { rebuilding: 'REBUILD', rebuild_block_device_mapping: 'REBUILD', rebuild_spawning: 'REBUILD' }
const RESIZING = { resize_prep: 'RESIZE', resize_migrating: 'RESIZE', resize_migrated: 'RESIZE', resize_finish: 'RESIZE' }

const STATUS: Record<VmState, { default: string; [task: string]: string }> = {
  active: {
    default: 'ACTIVE',
    reboot_started: 'REBOOT',
    rebooting: 'REBOOT',
    reboot_started_hard: 'HARD_REBOOT',
    rebooting_hard: 'HARD_REBOOT',
    updating_password: 'PASSWORD',
    migrating: 'MIGRATING',
    ...REBUILDING,
    ...RESIZING,
  },
  building: { default: 'BUILD' },
  stopped: { default: 'SHUTOFF', ...REBUILDING, ...RESIZING },
  paused: { default: 'PAUSED', migrating: 'MIGRATING' },
  suspended: { default: 'SUSPENDED' },
  rescued: { default: 'RESCUE' },
  resized: { default: 'VERIFY_RESIZE', resize_reverting: 'REVERT_RESIZE' },
  shelved: { default: 'SHELVED' },
  shelved_offloaded: { default: 'SHELVED_OFFLOADED' },
  error: { default: 'ERROR', ...REBUILDING },
  deleted: { default: 'DELETED' },
  'soft-delete': { default: 'SOFT_DELETED' },
}

/** The one word that users see, from vm_state and task_state. */
export const statusOf = (row: Pick<InstanceRow, 'vm_state' | 'task_state'>): string =>
  STATUS[row.vm_state][row.task_state ?? 'default'] ?? STATUS[row.vm_state].default

/** The vm_states and task_states that a status filter asks for; null for a word that is no status. */
export function statesOf(status: string): { vmStates: VmState[] } | null {
  const wanted = status.toUpperCase()
  const vmStates = (Object.keys(STATUS) as VmState[]).filter((vm) => Object.values(STATUS[vm]).includes(wanted))
  return vmStates.length > 0 ? { vmStates } : null
}
