import { toJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { deleteRow, insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { PortRow, RouterRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { contains, prefixOf } from './addresses.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { type AskedGateway, refuseGatewayInUse, setGateway, withGateways } from './gateway.ts'
import { missing, type Noun, owned, refuseKnownIds, STANDARD } from './noun.ts'
import { dressPorts, type Port } from './port.ts'
import { removePortRows } from './port-removal.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { hostsForRouters } from './serving-hosts.ts'
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
export const portsOfRouters = async (db: Handle, routerIds: string[]): Promise<PortRow[]> =>
  (await rowsWhere(db, 'ports', 'device_id', routerIds)).filter((port) => port.device_owner.startsWith('network:router'))

export const portsOfRouter = (db: Handle, routerId: string): Promise<PortRow[]> => portsOfRouters(db, [routerId])

export async function createRouters(context: NetworkContext, viewer: Viewer, asked: AskedRouter[]): Promise<Router[]> {
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  const gateways = asked.flatMap((one) =>
    one.external_gateway_info?.network_id ? [`network:${one.external_gateway_info.network_id}`] : [],
  )
  return await mutate(context, [...projects.map((project) => quotaLock('router', project)), ...gateways], async (work) => {
    await checkQuota(work, 'router', projects)
    await refuseKnownIds(work.trx, routerNoun as Noun, asked)
    return await insertRouters(work, projects, asked)
  })
}

/** Behind the locks of their gateways' networks and of the quotas, the quotas checked. */
export async function insertRouters(work: Work, projects: string[], asked: AskedRouter[]): Promise<Router[]> {
  const hosts = await hostsForRouters(work.trx, work.context, asked.length)
  const rows = await withGateways(
    work,
    asked.map((one, i) => newRouter(one, projects[i]!, hosts[i]!)),
    asked.map((one) => one.external_gateway_info),
  )
  await checkNexthops(
    work,
    rows.map(({ id }, i) => ({ id, routes: asked[i]!.routes ?? [] })),
  )
  await insertRow(work.trx, 'routers', rows)
  for (const { id } of rows) tellRouter(work, id)
  return await routerNoun.dress(work.trx, rows, work.context)
}

const newRouter = (asked: AskedRouter, projectId: string, host: string): RouterRow => ({
  ...standard(asked, projectId),
  admin_state_up: Number(asked.admin_state_up ?? true),
  status: 'ACTIVE',
  enable_snat: 1,
  gateway_network_id: null,
  gateway_port_id: null,
  routes: toJson(checkRoutes(asked.routes ?? [], MAX_ROUTES)),
  zone_hints: toJson(asked.availability_zone_hints ?? []),
  host,
})

export async function updateRouter(context: NetworkContext, router: Router, asked: AskedRouter): Promise<Router> {
  const locks = [routerLock(router.id), ROUTING_LOCK, ...networksOf(router, asked.external_gateway_info)]
  return await mutate(context, locks, async (work) => {
    const { trx } = work
    const [now] = await rowsWhere(trx, 'routers', 'id', [router.id])
    if (!now) throw missing(routerNoun, router.id)
    const columns: Partial<RouterRow> = { ...named(asked), ...flags(asked, { admin_state_up: 'admin_state_up' }) }
    // looked at before the gateway changes, as in Neutron
    if (asked.routes !== undefined) {
      const routes = checkRoutes(asked.routes ?? [], MAX_ROUTES)
      await checkNexthops(work, [{ id: router.id, routes }])
      columns.routes = toJson(routes)
    }
    if (asked.external_gateway_info !== undefined) await setGateway(work, now, asked.external_gateway_info)
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
    await checkNexthops(work, [{ id: router.id, routes: after }])
    await updateRow(work.trx, 'routers', router.id, { routes: toJson(after) })
    tellRouter(work, router.id)
    return (await loadRouter(work.trx, router.id))!
  })
}

/** A next hop must be a neighbour when the route is given; whether it stays one is the operator's business, as in Neutron. @throws Fault 400 */
async function checkNexthops({ trx }: Work, routers: { id: string; routes: HostRoute[] }[]): Promise<void> {
  const routed = routers.filter((router) => router.routes.length > 0)
  const ports = await portsOfRouters(
    trx,
    routed.map((router) => router.id),
  )
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
  const routerOf = new Map(ports.map((port) => [port.id, port.device_id]))
  const prefixes = new Map(subnets.map((subnet) => [subnet.id, prefixOf(subnet.cidr)]))
  for (const { id, routes } of routed) {
    const own = ips.filter((ip) => routerOf.get(ip.port_id) === id)
    for (const route of routes) {
      if (!own.some((ip) => contains(prefixes.get(ip.subnet_id)!, route.nexthop))) throw invalid(route, 'not connected with')
      if (own.some((ip) => ip.address === route.nexthop)) throw invalid(route, 'used by')
    }
  }
}

const invalid = ({ destination, nexthop }: HostRoute, why: string) =>
  badRequest(`Invalid format for routes: ${destination} via ${nexthop}, the nexthop is ${why} router`, 'InvalidRoutes')

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
  await refuseGatewayInUse(work, now)
  await removePortRows(
    work,
    ports.filter((port) => port.id === now.gateway_port_id),
  )
  await deleteRow(trx, 'routers', routerId)
  tellRouter(work, routerId)
}
