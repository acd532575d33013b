import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import type { ComputeContext } from '../app/context.ts'
import { isUp, stateOf } from '../app/scheduler/host-states.ts'
import { follow, POWER } from '../app/server-state.ts'
import { atRestOnHosts } from '../db/instances.ts'
import { computeTopic, host, type PowerState } from '../rpc.ts'

/** As often as Nova's sync_power_state_interval. */
const EVERY_MS = 600_000

/**
 * What guests did while nobody listened (a machine that went down with its guests, a plug pulled while the cloud was stopped): servers at rest whose host last
 * told of another power state. The host is asked again, and the row follows only if nothing has touched it meanwhile.
 */
export function powerStateReconciler(context: ComputeContext): Reconciler {
  const { bus, database, log } = context
  return new Reconciler({
    name: 'power-states',
    everyMs: EVERY_MS,
    log,
    async run() {
      const hosts = await database.db.selectFrom('hosts').selectAll().execute()
      const told = new Map(hosts.filter((row) => isUp(context, row)).map((row) => [row.host, stateOf(row).instances]))
      const changes: string[] = []
      for (const row of await atRestOnHosts(database.db, [...told.keys()])) {
        const last: PowerState = told.get(row.host!)![row.id] ?? 'nostate'
        if (POWER[last] === row.power_state) continue
        const { powerState } = await bus.call(computeTopic(row.host!), host.powerState, { uuid: row.id })
        if (POWER[powerState] !== row.power_state && (await follow(database.db, row.id, powerState, { untouchedSince: row.updated_at })))
          changes.push(`server ${row.id} is ${powerState}`)
      }
      return changes
    },
  })
}
