import { badRequest, conflict, Fault } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { insertRow, rowsWhere } from '../db/rows.ts'
import type { SubnetPoolRow } from '../db/tables.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { defaultExternalNetwork, insertNetworks, locksOf, type Network, networkLocks, networkNoun, removeNetwork } from './networks.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { insertRouters, locksOfRouter, removeRouter } from './router.ts'
import { joinSubnet, leaveNetwork } from './router-interfaces.ts'
import { insertSubnets, settleNetworks } from './subnets.ts'

/** A project without a network asks for one: a network, a subnet from the default pool of each family, a router that leads outside. One transaction makes it all, another takes it all away. */

const lockOf = (projectId: string) => `auto-allocated-topology:${projectId}`

const failure = (reason: string, what: string) => conflict(`Deployment error: ${reason}. ${what}`, 'AutoAllocationFailure')

interface Means {
  externalNetworkId: string
  pools: SubnetPoolRow[]
}

/** @throws Fault 409 where the operator has not said which network leads outside */
async function meansOf({ database: { db } }: NetworkContext, viewer: Viewer): Promise<Means> {
  const externalNetworkId = await defaultExternalNetwork(db)
  if (!externalNetworkId)
    throw failure('No default router:external network', 'An administrator names one: openstack network set --external --default NETWORK')
  const pools = await db.selectFrom('subnetpools').selectAll().where('is_default', '=', 1).orderBy('ip_version').execute()
  return {
    externalNetworkId,
    pools: pools.filter((pool) => viewer.isAdmin || pool.shared === 1 || pool.project_id === viewer.projectId),
  }
}

const NO_POOL =
  'An administrator makes a pool of addresses for all: openstack subnet pool create --default --share --pool-prefix PREFIX NAME'

/** Whether a topology could be made, quotas aside. @throws Fault 409 that says what is missing */
export async function checkRequirements(context: NetworkContext, viewer: Viewer): Promise<void> {
  const { pools } = await meansOf(context, viewer)
  if (pools.length === 0) throw failure('No default subnetpools defined', NO_POOL)
}

/** The id of the project's network, which is made if there is none yet; also of many who ask at once only one makes it. @throws Fault 409 */
export async function autoAllocatedTopology(context: NetworkContext, viewer: Viewer, projectId: string): Promise<string> {
  const known = await networkOf(context.database.db, projectId)
  if (known) return known
  if (projectId.length > 64)
    throw badRequest(`Invalid input for project_id. '${projectId}' exceeds maximum length of 64.`, 'HTTPBadRequest')
  const means = await meansOf(context, viewer)
  if (means.pools.length === 0) throw failure('Unable to provide project private network', NO_POOL)
  const locks = [
    lockOf(projectId),
    ...networkLocks([projectId]),
    ...(['subnet', 'router', 'port'] as const).map((resource) => quotaLock(resource, projectId)),
    ...means.pools.map((pool) => `subnetpool:${pool.id}`),
    `network:${means.externalNetworkId}`,
  ]
  return await mutate(context, locks, async (work) => (await networkOf(work.trx, projectId)) ?? (await build(work, projectId, means)))
}

async function build(work: Work, projectId: string, { externalNetworkId, pools }: Means): Promise<string> {
  const { trx } = work
  const { network, subnets } = await orFailure('Unable to provide project private network', () => makeNetwork(work, projectId, pools))
  const router = await orFailure('Unable to provide external connectivity', async () => {
    await checkQuota(work, 'router', [projectId])
    const asked = { name: 'auto_allocated_router', external_gateway_info: { network_id: externalNetworkId } }
    const [made] = await insertRouters(work, [projectId], [asked])
    for (const subnet of subnets) await joinSubnet(work, made!, subnet)
    return made!
  })
  await trx.deleteFrom('auto_allocated_topologies').where('project_id', '=', projectId).execute() // its network is gone
  await insertRow(trx, 'auto_allocated_topologies', { project_id: projectId, network_id: network.id, router_id: router.id })
  return network.id
}

async function makeNetwork(work: Work, projectId: string, pools: SubnetPoolRow[]) {
  const owners = pools.map(() => projectId)
  await checkQuota(work, 'network', [projectId])
  await checkQuota(work, 'subnet', owners)
  const [network] = await insertNetworks(work, [projectId], [{ name: 'auto_allocated_network' }])
  const asked = pools.map(({ ip_version }) => ({ name: `auto_allocated_subnet_v${ip_version}`, network_id: network!.id, ip_version }))
  const subnets = await insertSubnets(work, owners, asked, pools)
  await settleNetworks(work, [network!.id])
  return { network: network!, subnets }
}

/** What the operator's pools and networks do not allow is no fault of the project's; its quotas are its own. */
async function orFailure<T>(reason: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    if (error instanceof Fault && (error.status === 400 || error.status === 404 || error.code === 'SubnetAllocationError'))
      throw failure(reason, error.message)
    throw error
  }
}

/** A network that the project has deleted since is none. */
async function networkOf(db: Handle, projectId: string): Promise<string | undefined> {
  const found = await db
    .selectFrom('auto_allocated_topologies as t')
    .innerJoin('networks as n', 'n.id', 't.network_id')
    .select('n.id')
    .where('t.project_id', '=', projectId)
    .executeTakeFirst()
  return found?.id
}

/** What is gone already is fine. @throws Fault 409 while something else is on the network or the router: all of it stays then */
export async function deleteAutoAllocatedTopology(context: NetworkContext, projectId: string): Promise<void> {
  const { db } = context.database
  const [record] = await rowsWhere(db, 'auto_allocated_topologies', 'project_id', [projectId])
  if (!record) return
  const network = await loadNetwork(context, db, record.network_id)
  const routers = await rowsWhere(db, 'routers', 'id', [record.router_id])
  const locks = [lockOf(projectId), ...(network ? locksOf(network) : []), ...routers.flatMap(locksOfRouter)]
  await mutate(context, locks, async (work) => {
    const { trx } = work
    const [now] = await rowsWhere(trx, 'auto_allocated_topologies', 'project_id', [projectId])
    if (now?.network_id !== record.network_id) return
    const there = await loadNetwork(context, trx, record.network_id)
    if (there) {
      for (const router of await rowsWhere(trx, 'routers', 'id', [record.router_id])) {
        await leaveNetwork(work, router, there.id)
        await removeRouter(work, router.id)
      }
      await removeNetwork(work, there)
    }
    await trx.deleteFrom('auto_allocated_topologies').where('project_id', '=', projectId).execute()
  })
}

const loadNetwork = async (context: NetworkContext, db: Handle, id: string): Promise<Network | undefined> =>
  (await networkNoun.dress(db, await rowsWhere(db, 'networks', 'id', [id]), context))[0]
