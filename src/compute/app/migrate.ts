import { randomUUID } from 'node:crypto'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { listHosts } from './host.ts'
import { recordMigration } from './migration.ts'
import { hostOf } from './server-state.ts'

/** A host that an operator names for a server. @throws Fault 400 when there is none of that name, or the server is on it */
export async function destinationFor(context: ComputeContext, row: InstanceRow, name: string | null): Promise<string | null> {
  hostOf(row)
  if (name === null) return null
  if (name === row.host) throw badRequest(`Unable to migrate instance (${row.id}) to current host (${name}).`, 'UnableToMigrateToSelf')
  if (!(await listHosts(context)).some((one) => one.host === name))
    throw badRequest(`Compute host ${name} could not be found.`, 'ComputeHostNotFound')
  return name
}

/** To another host, standing still; to be confirmed or reverted. @throws Fault 400, 409 */
export async function migrate(context: ComputeContext, request: RequestContext, row: InstanceRow, host: string | null): Promise<void> {
  const target = await destinationFor(context, row, host)
  const migrationId = randomUUID()
  await operate(context, request, row, {
    action: 'migrate',
    saga: 'migrate-server',
    vmStates: ['active', 'stopped'],
    taskState: 'resize_prep',
    input: { migrationId, target },
    columns: { auto_disk_config: 0 }, // as a resize that does not ask for it
    also: (trx) => recordMigration(trx, request, row, { id: migrationId, type: 'migration' }),
  })
}
