import type { Bus } from '../kernel/bus/bus.ts'
import { openDatabase } from '../kernel/db/database.ts'
import type { Api } from '../kernel/http/api.ts'
import type { Log } from '../kernel/log/log.ts'
import { Policy } from '../kernel/policy/policy.ts'
import type { Reconciler } from '../kernel/reconcile/reconciler.ts'
import { agentDutyRoutes } from './api/agent-duties.ts'
import { agentRoutes } from './api/agents.ts'
import { autoAllocatedTopologyRoutes } from './api/auto-allocated-topology.ts'
import { extensionRoutes } from './api/extensions.ts'
import { networkFault } from './api/faults.ts'
import { floatingIpRoutes } from './api/floating-ips.ts'
import { networkRoutes } from './api/networks.ts'
import { policies } from './api/policies.ts'
import { portRoutes } from './api/ports.ts'
import { quotaRoutes } from './api/quotas.ts'
import { routerRoutes } from './api/routers.ts'
import { securityGroupRoutes } from './api/security-groups.ts'
import { subnetPoolRoutes } from './api/subnet-pools.ts'
import { subnetRoutes } from './api/subnets.ts'
import { withSuffix } from './api/suffix.ts'
import { rootRoutes, versionRoutes } from './api/versions.ts'
import { zoneRoutes } from './api/zones.ts'
import type { NetworkContext } from './app/context.ts'
import { serveAgents } from './app/control.ts'
import { GroupNews } from './app/group-news.ts'
import { Heartbeats } from './app/heartbeats.ts'
import { migrations } from './db/migrations.ts'
import type { NetworkTables } from './db/tables.ts'
import { type Notice, noticeReconciler } from './reconcilers/notices.ts'
import { takeOverReconciler } from './reconcilers/take-over.ts'

/** For `yun db`. */
export { migrations }

export interface NetworkOptions {
  databaseUrl: string
  log: Log
  bus: Bus
  /** Lines of the operator's policy file. */
  policyOverrides?: Record<string, string>
  /** Nobody else works on this database. */
  exclusive: boolean
  /** What a project's network becomes when nothing is said. */
  tenantNetworkType: 'vxlan' | 'gre' | 'vlan'
  /** Name → bridge: `{ public: 'br-ex' }`. */
  physicalNetworks: Record<string, string>
  /** The provider network in which this machine has the gateway's address. */
  external: { cidr: string; gateway: string }
  /** Tells compute what became of its servers' ports. @throws Fault when it did not hear, or refuses */
  notifyCompute: (events: Notice[]) => Promise<void>
  /** Ends the names of guests whose network has no domain of its own (default openstacklocal). */
  dnsDomain?: string
}

export interface NetworkService {
  api: Api[]
  reconcilers: Reconciler[]
  context: NetworkContext
  start(): Promise<void>
  stop(): Promise<void>
}

/** JSON of the largest bulk request. */
const BODY_LIMIT = 1024 * 1024

export async function createNetworkService(options: NetworkOptions): Promise<NetworkService> {
  const database = await openDatabase<NetworkTables>(options.databaseUrl, migrations)
  await database.ready()
  const context: NetworkContext = {
    database,
    bus: options.bus,
    log: options.log,
    tenantNetworkType: options.tenantNetworkType,
    physicalNetworks: options.physicalNetworks,
    external: options.external,
    dnsDomain: options.dnsDomain ?? 'openstacklocal',
    wakeNotices: () => notices.wake(),
    heartbeats: new Heartbeats(),
    groupNews: new GroupNews(options.bus),
  }
  const notices = noticeReconciler(context, options.notifyCompute)
  const takeOver = takeOverReconciler(context)
  const policy = new Policy(policies, options.policyOverrides)
  const shared = { name: 'network', policy, fault: networkFault, bodyLimit: BODY_LIMIT, strictSlashes: true }
  const routes = [
    ...networkRoutes(context),
    ...subnetRoutes(context),
    ...subnetPoolRoutes(context),
    ...portRoutes(context),
    ...routerRoutes(context),
    ...floatingIpRoutes(context),
    ...securityGroupRoutes(context),
    ...autoAllocatedTopologyRoutes(context),
    ...agentRoutes(context),
    ...agentDutyRoutes(context),
    ...quotaRoutes(context),
    ...zoneRoutes(context),
    ...extensionRoutes(),
    ...rootRoutes(),
  ]
  let unserve = () => {}
  return {
    api: [
      { ...shared, prefix: '/network', routes: versionRoutes('/network') },
      { ...shared, prefix: '/network/v2.0', routes: withSuffix(routes) },
    ],
    reconcilers: [notices, takeOver],
    context,
    async start() {
      unserve = serveAgents(context)
      notices.start()
      takeOver.start()
    },
    async stop() {
      unserve()
      await Promise.all([notices.stop(), takeOver.stop()])
      await database.close()
    },
  }
}
