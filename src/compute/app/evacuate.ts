import { randomUUID } from 'node:crypto'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { RequestContext } from '../../kernel/http/context.ts'
import type { InstanceRow } from '../db/tables.ts'
import { operate } from './action.ts'
import type { ComputeContext } from './context.ts'
import { listHosts } from './host.ts'
import { recordMigration } from './migration.ts'
import { hostOf } from './server-state.ts'

/** @throws Fault 400 when the server's host is up or the target is not another one that is there, 409 for a state in the way */
export async function evacuate(
  context: ComputeContext,
  request: RequestContext,
  row: InstanceRow,
  wanted: { target: string | null; adminPass: string },
): Promise<void> {
  const { target, adminPass } = wanted
  const from = hostOf(row)
  const hosts = await listHosts(context)
  if (hosts.find((one) => one.host === from)?.up)
    throw badRequest(
      `Compute service of ${from} is still in use: only servers of a host that is down can be evacuated. If you know that it is dead, say so: openstack compute service set --down ${from} nova-compute`,
      'ComputeServiceInUse',
    )
  if (target !== null && target === from) throw badRequest(`The target host can't be the same one: ${target}`, 'EvacuateToSameHost')
  if (target !== null && !hosts.some((one) => one.host === target))
    throw new Fault(404, 'ComputeHostNotFound', `Compute host ${target} could not be found.`)
  const migrationId = randomUUID()
  await operate(context, request, row, {
    action: 'evacuate',
    saga: 'evacuate-server',
    vmStates: ['active', 'stopped', 'error'],
    taskState: 'rebuilding',
    input: { migrationId, target, adminPass: row.config_drive || context.settings.injectPassword ? adminPass : undefined },
    also: (trx) => recordMigration(trx, request, row, { id: migrationId, type: 'evacuation' }),
    lockedToo: true,
  })
}
