import { openDatabase } from '../kernel/db/database.ts'
import type { Api } from '../kernel/http/api.ts'
import type { Log } from '../kernel/log/log.ts'
import { Policy } from '../kernel/policy/policy.ts'
import { allocationRoutes } from './api/allocations.ts'
import { candidateRoutes } from './api/candidates.ts'
import { classRoutes } from './api/classes.ts'
import { placementFault } from './api/faults.ts'
import { inventoryRoutes } from './api/inventories.ts'
import { policies } from './api/policies.ts'
import { providerRoutes } from './api/providers.ts'
import { traitRoutes } from './api/traits.ts'
import { microversions, versionRoutes } from './api/versions.ts'
import type { PlacementContext } from './app/context.ts'
import { migrations } from './db/migrations.ts'
import type { PlacementTables } from './db/tables.ts'

/** For `yun db`. */
export { migrations }

export interface PlacementOptions {
  databaseUrl: string
  log: Log
  /** Lines of the operator's policy file. */
  policyOverrides?: Record<string, string>
}

export interface PlacementService {
  api: Api[]
  context: PlacementContext
  start(): Promise<void>
  stop(): Promise<void>
}

export async function createPlacement(options: PlacementOptions): Promise<PlacementService> {
  const database = await openDatabase<PlacementTables>(options.databaseUrl, migrations)
  await database.ready()
  const context: PlacementContext = { database, log: options.log }
  const routes = [
    ...versionRoutes(),
    ...providerRoutes(context),
    ...inventoryRoutes(context),
    ...traitRoutes(context),
    ...classRoutes(context),
    ...allocationRoutes(context),
    ...candidateRoutes(context),
  ]
  const policy = new Policy(policies, options.policyOverrides)
  return {
    api: [{ name: 'placement', prefix: '/placement', microversions, routes, policy, fault: placementFault }],
    context,
    async start() {},
    stop: () => database.close(),
  }
}
