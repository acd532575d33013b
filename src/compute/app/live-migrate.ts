import { randomUUID } from 'node:crypto'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow, MigrationRow } from '../db/tables.ts'
import { computeTopic, host, type MigrationProgress } from '../rpc.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { destinationFor } from './migrate.ts'
import { callOff, changeMigration, findMigration, recordMigration } from './migration.ts'

export interface LiveMigration {
  target: string | null
  /** Whether its disks go along; `auto`: when the hosts have no storage in common. */
  blockMigration: boolean | 'auto'
  wait: boolean
}

/** ms that a migration that may not be is given to be taken back before its caller hears of it. */
const TAKING_BACK_MS = 10_000

/** To another host while it runs. With `wait` it returns when the hosts have been found fit for it. @throws Fault 400 (with `wait` also for what makes them unfit), 409 */
export async function liveMigrate(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  { target, blockMigration, wait }: LiveMigration,
): Promise<void> {
  const migrationId = randomUUID()
  const chosen = await destinationFor(context, row, target)
  const saga = await operate(context, request, row, {
    action: 'live-migration',
    saga: 'live-migrate-server',
    vmStates: ['active', 'paused'],
    taskState: 'migrating',
    input: { migrationId, target: chosen, blockMigration },
    also: (trx) => recordMigration(trx, request, row, { id: migrationId, type: 'live-migration' }),
  })
  if (!wait) return
  const { error } = await context.engine.finished(saga, { past: 'compare-hosts', unwindingMs: TAKING_BACK_MS })
  if (error) throw error.code === 'Interrupted' ? error : badRequest(error.message, error.code) // it is being deleted meanwhile
}

const RUNNING = 'running'

/** The guest stays where it is. `alsoBefore`: one that has not begun to move, too; if it begins in that moment, it is called back. @throws Fault 400 for a status in which it cannot be */
export async function abortLiveMigration(
  context: ComputeContext,
  migration: MigrationRow,
  { alsoBefore }: { alsoBefore: boolean },
): Promise<void> {
  const begun = migration.status === RUNNING
  if (!begun && !(alsoBefore && ['accepted', 'queued', 'preparing'].includes(migration.status))) throw wrongStatus(migration, 'abort')
  if (begun) await context.bus.call(computeTopic(migration.source_host), host.abortMigration, { uuid: migration.server_id })
  const { db } = context.database
  if (await callOff(db, migration.id, begun ? [RUNNING, 'error'] : [migration.status])) return
  const now = (await findMigration(db, migration.id))!
  if (begun) throw wrongStatus(now, 'abort')
  await abortLiveMigration(context, now, { alsoBefore })
}

/** @throws Fault 400 when its memory is not on its way */
export async function forceLiveMigration(context: ComputeContext, migration: MigrationRow): Promise<void> {
  if (migration.status !== RUNNING) throw wrongStatus(migration, 'force_complete')
  await context.bus.call(computeTopic(migration.source_host), host.forceMigration, { uuid: migration.server_id })
}

const wrongStatus = (migration: MigrationRow, what: string) =>
  badRequest(
    `Migration ${migration.number} state of instance ${migration.server_id} is ${migration.status}. Cannot ${what} while the migration is in this state.`,
    'InvalidMigrationState',
  )

/** As its hypervisor tells while it is under way. */
export async function migrationProgressed(context: ComputeContext, id: string, { memory, disk }: MigrationProgress): Promise<void> {
  await changeMigration(context.database.db, id, {
    memory_total: memory.total,
    memory_processed: memory.processed,
    memory_remaining: memory.remaining,
    disk_total: disk.total,
    disk_processed: disk.processed,
    disk_remaining: disk.remaining,
  })
}
