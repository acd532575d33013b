import type { IncomingMessage } from 'node:http'
import type { Bus } from '../kernel/bus/bus.ts'
import type { Leave } from '../kernel/bus/hub.ts'
import { openDatabase } from '../kernel/db/database.ts'
import { unauthorized } from '../kernel/errors/errors.ts'
import type { Api } from '../kernel/http/api.ts'
import { Policy } from '../kernel/policy/policy.ts'
import { policies } from './api/policies.ts'
import { clusterRoutes } from './api/routes.ts'
import type { ClusterContext, HostShare } from './app/context.ts'
import { hostOf } from './app/join.ts'
import { Processes } from './app/processes.ts'
import { migrations } from './db/migrations.ts'
import type { ClusterTables } from './db/tables.ts'
import { processAlive } from './rpc.ts'

export interface ClusterOptions {
  databaseUrl: string
  bus: Bus
  share: HostShare
  /** What a host may do on the bus. */
  leaveOf: (host: string) => Leave
  policyOverrides?: Record<string, string>
}

export interface ClusterService {
  api: Api[]
  context: ClusterContext
  /** Who asks to be let on the bus. @throws Fault 401 */
  admit(request: IncomingMessage): Promise<Leave>
  start(): Promise<void>
  stop(): Promise<void>
}

/** Which hosts belong to this cloud, and which processes it has. */
export async function createClusterService(options: ClusterOptions): Promise<ClusterService> {
  const database = await openDatabase<ClusterTables>(options.databaseUrl, migrations)
  await database.ready()
  const context: ClusterContext = { database, bus: options.bus, processes: new Processes(), share: options.share }
  let deaf = () => {}
  return {
    api: [
      {
        name: 'cluster',
        prefix: '/cluster/v1',
        policy: new Policy(policies, options.policyOverrides),
        fault: (fault) => ({ error: { code: fault.status, title: fault.code, message: fault.message } }),
        routes: clusterRoutes(context),
      },
    ],
    context,
    async admit({ headers }) {
      const [, name, secret] = /^Bearer ([^:]+):(.+)$/.exec(headers.authorization ?? '') ?? []
      if (!name || !secret) throw unauthorized()
      return options.leaveOf(await hostOf(context, name, secret))
    },
    async start() {
      deaf = options.bus.subscribe(processAlive, (state) => context.processes.hear(state))
    },
    async stop() {
      deaf()
      await database.close()
    },
  }
}

export { migrations }
