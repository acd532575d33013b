import { toJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { deleteRow, insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { PortRow, RouterRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { contains, prefixOf } from './addresses.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { type AskedGateway, setGateway } from './gateway.ts'
import { missing, type Noun, owned, STANDARD } from './noun.ts'
import { dressPorts, type Port } from './port.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { hostForRouter } from './serving-hosts.ts'
import { flags, named, standard } from './standard.ts'
import { checkRoutes, type HostRoute } from './subnet-rules.ts'

export interface Router extends RouterRow {
  gateway: Port | null
}

export const routerNoun: Noun<'routers', Router> = {
  name: 'router',
  plural: 'routers',
  type: 'Router',
  table: 'routers',
  columns: { ...STANDARD, admin_state_up: ['admin_state_up', 'flag'], status: ['status', 'text'] },
  visible: owned,
  async dress(db, rows) {
    const ids = rows.flatMap((row) => row.gateway_port_id ?? [])
    const ports = new Map((await dressPorts(db, await rowsWhere(db, 'ports', 'id', ids))).map((port) => [port.id, port]))
    return rows.map((row) => ({ ...row, gateway: ports.get(row.gateway_port_id ?? '') ?? null }))
  },
}

export interface AskedRouter {
  id?: string
  name?: string
  description?: string | null
  project_id?: string
  tags?: string[]
  admin_state_up?: boolean
  external_gateway_info?: AskedGateway | null
  routes?: HostRoute[] | null
  availability_zone_hints?: string[]
}

const MAX_ROUTES = 30
/** What a floating address needs of routers does not change while it is led to a port. */
export const ROUTING_LOCK = 'floating-routing'
export const routerLock = (id: string) => `router:${id}`

export function tellRouter({ after, context }: Work, routerId: string): void {
  after.push(() => context.bus.publish(events.routerChanged, { routerId }))
}

export async function loadRouter(db: Handle, id: string): Promise<Router | undefined> {
  const rows = await rowsWhere(db, 'routers', 'id', [id])
  return (await routerNoun.dress(db, rows, undefined as never))[0]
}

/** Ports by which a router stands in its networks; with its gateway's. */
export const portsOfRouter = async (db: Handle, routerId: string): Promise<PortRow[]> =>
  (await rowsWhere(db, 'ports', 'device_id', [routerId])).filter((port) => port.device_owner.startsWith('network:router'))

export async function createRouters(context: NetworkContext, viewer: Viewer, asked: AskedRouter[]): Promise<Router[]> {
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  const gateways = asked.flatMap((one) =>
    one.external_gateway_info?.network_id ? [`network:${one.external_gateway_info.network_id}`] : [],
  )
  return await mutate(context, [...projects.map((project) => quotaLock('router', project)), ...gateways], async (work) => {
    for (const [project, mine] of Map.groupBy(projects, (one) => one)) await checkQuota(work, 'router', project, mine.length)
    const made: Router[] = []
    for (const [i, one] of asked.entries()) made.push(await createRouter(work, projects[i]!, one))
    return made
  })
}

/** Behind the locks of its gateway's network and of the quota, the quota checked. */
export async function createRouter(work: Work, projectId: string, asked: AskedRouter): Promise<Router> {
  const row: RouterRow = {
    ...standard(asked, projectId),
    admin_state_up: Number(asked.admin_state_up ?? true),
    status: 'ACTIVE',
    enable_snat: 1,
    gateway_network_id: null,
    gateway_port_id: null,
    routes: toJson(checkRoutes(asked.routes ?? [], MAX_ROUTES)),
    zone_hints: toJson(asked.availability_zone_hints ?? []),
    host: await hostForRouter(work.trx, work.context),
  }
  await insertRow(work.trx, 'routers', row)
  if (asked.external_gateway_info) await setGateway(work, row, asked.external_gateway_info)
  if (asked.routes?.length) await checkNexthops(work, row.id, asked.routes)
  tellRouter(work, row.id)
  return (await loadRouter(work.trx, row.id))!
}

export async function updateRouter(context: NetworkContext, router: Router, asked: AskedRouter): Promise<Router> {
  const locks = [routerLock(router.id), ROUTING_LOCK, ...networksOf(router, asked.external_gateway_info)]
  return await mutate(context, locks, async (work) => {
    const { trx } = work
    const [now] = await rowsWhere(trx, 'routers', 'id', [router.id])
    if (!now) throw missing(routerNoun, router.id)
    if (asked.external_gateway_info !== undefined) await setGateway(work, now, asked.external_gateway_info)
    const columns: Partial<RouterRow> = { ...named(asked), ...flags(asked, { admin_state_up: 'admin_state_up' }) }
    if (asked.routes !== undefined) {
      const routes = checkRoutes(asked.routes ?? [], MAX_ROUTES)
      await checkNexthops(work, router.id, routes)
      columns.routes = toJson(routes)
    }
    await updateRow(trx, 'routers', router.id, columns)
    tellRouter(work, router.id)
    return (await loadRouter(trx, router.id))!
  })
}

const networksOf = (router: RouterRow, asked: AskedGateway | null | undefined) =>
  [router.gateway_network_id, asked?.network_id].flatMap((id) => (id ? [`network:${id}`] : []))

/** Adds routes to a router's, or takes them away; those that are there (or are not) are fine. */
export async function changeRoutes(
  context: NetworkContext,
  router: Router,
  change: 'add' | 'remove',
  routes: HostRoute[],
): Promise<Router> {
  return await mutate(context, [routerLock(router.id)], async (work) => {
    const [now] = await rowsWhere(work.trx, 'routers', 'id', [router.id])
    if (!now) throw missing(routerNoun, router.id)
    const key = (route: HostRoute) => `${route.destination} ${route.nexthop}`
    const given = checkRoutes(routes, MAX_ROUTES)
    const others = (JSON.parse(now.routes) as HostRoute[]).filter((one) => !given.some((route) => key(route) === key(one)))
    const after = checkRoutes(change === 'add' ? [...others, ...given] : others, MAX_ROUTES)
    await checkNexthops(work, router.id, after)
    await updateRow(work.trx, 'routers', router.id, { routes: toJson(after) })
    tellRouter(work, router.id)
    return (await loadRouter(work.trx, router.id))!
  })
}

/** A next hop must be a neighbour. @throws Fault 400 */
async function checkNexthops({ trx }: Work, routerId: string, routes: HostRoute[]): Promise<void> {
  const ports = await portsOfRouter(trx, routerId)
  const ips = await rowsWhere(
    trx,
    'allocations',
    'port_id',
    ports.map((port) => port.id),
  )
  const subnets = await rowsWhere(
    trx,
    'subnets',
    'id',
    ips.map((ip) => ip.subnet_id),
  )
  for (const { destination, nexthop } of routes) {
    if (!subnets.some((subnet) => contains(prefixOf(subnet.cidr), nexthop)))
      throw badRequest(
        `Invalid format for routes: ${destination} via ${nexthop}, the nexthop is not connected with router`,
        'InvalidRoutes',
      )
    if (ips.some((ip) => ip.address === nexthop))
      throw badRequest(`Invalid format for routes: ${destination} via ${nexthop}, the nexthop is used by router`, 'InvalidRoutes')
  }
}

/** The gateway goes with it. @throws Fault 409 while it has interfaces or floating addresses need it */
export async function deleteRouter(context: NetworkContext, router: Router): Promise<void> {
  await mutate(context, locksOfRouter(router), (work) => removeRouter(work, router.id))
}

export const locksOfRouter = (router: RouterRow) => [routerLock(router.id), ROUTING_LOCK, ...networksOf(router, null)]

/** Behind {@link locksOfRouter}. */
export async function removeRouter(work: Work, routerId: string): Promise<void> {
  const { trx } = work
  const [now] = await rowsWhere(trx, 'routers', 'id', [routerId])
  if (!now) throw missing(routerNoun, routerId)
  const ports = await portsOfRouter(trx, routerId)
  if (ports.some((port) => port.device_owner === 'network:router_interface'))
    throw conflict(`Router ${routerId} still has ports`, 'RouterInUse')
  await setGateway(work, now, null)
  await deleteRow(trx, 'routers', routerId)
  tellRouter(work, routerId)
}
