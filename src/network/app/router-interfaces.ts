import { randomUUID } from 'node:crypto'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { PortRow, RouterRow, SubnetRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { overlaps, prefixOf } from './addresses.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { allocationRows, chooseAddresses } from './ipam.ts'
import { missing, seeRow } from './noun.ts'
import { portNoun } from './port.ts'
import { removePortRows, tellMembersChanged } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { portsOfRouter, ROUTING_LOCK, type Router, routerLock, routerNoun, tellRouter } from './router.ts'
import { subnetNoun } from './subnets.ts'

export interface AskedInterface {
  subnet_id?: string
  port_id?: string
}

export interface RouterInterface {
  portId: string
  subnetIds: string[]
  networkId: string
}

const wrong = (message: string) => badRequest(`Bad router request: ${message}.`, 'BadRequest')
const OWNER = 'network:router_interface'

function one(asked: AskedInterface, verb: string): void {
  if (!asked.port_id && !asked.subnet_id)
    throw badRequest(`Either subnet_id or port_id must be specified to ${verb} an interface.`, 'BadRequest')
}

/** Puts a router into a subnet, with the subnet's gateway address, or behind a port that is there. @throws Fault 400, 404, 409 */
export async function addInterface(
  context: NetworkContext,
  viewer: Viewer,
  router: Router,
  asked: AskedInterface,
): Promise<RouterInterface> {
  one(asked, 'add')
  if (asked.port_id && asked.subnet_id) throw wrong('Cannot specify both subnet-id and port-id')
  const { db } = context.database
  const networkId = asked.port_id
    ? (await seeRow(db, portNoun, viewer, asked.port_id)).network_id
    : (await seeRow(db, subnetNoun, viewer, asked.subnet_id!)).network_id
  const locks = [routerLock(router.id), `network:${networkId}`, quotaLock('port', router.project_id)]
  return await mutate(context, locks, async (work) => {
    const now = await there(work, router)
    if (asked.port_id) return await joinPort(work, now, asked.port_id)
    return await joinSubnet(work, now, await seeRow(work.trx, subnetNoun, viewer, asked.subnet_id!))
  })
}

async function there({ trx }: Work, { id }: Router): Promise<RouterRow> {
  const [router] = await rowsWhere(trx, 'routers', 'id', [id])
  if (!router) throw missing(routerNoun, id)
  return router
}

function tellJoined(work: Work, router: RouterRow, joined: RouterInterface): RouterInterface {
  tellRouter(work, router.id)
  work.after.push(() => work.context.bus.publish(events.networkChanged, { networkId: joined.networkId }))
  return joined
}

/** Behind the locks of router, network and the ports' quota. @throws Fault 400, 409 */
export async function joinSubnet(work: Work, router: RouterRow, subnet: SubnetRow): Promise<RouterInterface> {
  const { trx } = work
  if (!subnet.gateway_ip) throw wrong('Subnet for router interface must have a gateway IP')
  await checkSubnets(work, router, [subnet])
  await checkQuota(work, 'port', [router.project_id])
  const row = newPortRow({
    id: randomUUID(),
    projectId: router.project_id,
    networkId: subnet.network_id,
    macAddress: newMac(),
    deviceId: router.id,
    deviceOwner: OWNER,
    host: router.host,
  })
  const ips = await chooseAddresses(work, {
    networkId: subnet.network_id,
    subnets: [subnet],
    macAddress: row.mac_address,
    deviceOwner: OWNER,
    asked: [{ subnet_id: subnet.id, ip_address: subnet.gateway_ip }],
  })
  await insertRow(trx, 'ports', row)
  await insertRow(trx, 'allocations', allocationRows(row.id, row.network_id, ips))
  return tellJoined(work, router, { portId: row.id, subnetIds: [subnet.id], networkId: subnet.network_id })
}

async function joinPort(work: Work, router: RouterRow, portId: string): Promise<RouterInterface> {
  const { trx } = work
  const [port] = await rowsWhere(trx, 'ports', 'id', [portId])
  if (!port) throw missing(portNoun, portId)
  if (port.device_id)
    throw conflict(
      `Unable to complete operation on port ${port.id} for network ${port.network_id}. Port already has an attached device ${port.device_id}.`,
      'PortInUse',
    )
  const ips = await rowsWhere(trx, 'allocations', 'port_id', [portId])
  const subnets = await rowsWhere(
    trx,
    'subnets',
    'id',
    ips.map((ip) => ip.subnet_id),
  )
  if (subnets.length === 0) throw wrong('Router port must have at least one fixed IP')
  await checkSubnets(work, router, subnets)
  const groups = await rowsWhere(trx, 'port_security_groups', 'port_id', [portId])
  tellMembersChanged(
    work,
    groups.map((row) => row.security_group_id),
  )
  await trx.deleteFrom('port_security_groups').where('port_id', '=', portId).execute()
  await updateRow(trx, 'ports', portId, {
    device_id: router.id,
    device_owner: OWNER,
    port_security: 0,
    allowed_address_pairs: '[]',
    host: router.host,
    vif_type: 'ovs',
    // until the router's host says that it is in place
    wired: 0,
    status: 'DOWN',
  })
  return tellJoined(work, router, { portId, subnetIds: subnets.map((subnet) => subnet.id), networkId: port.network_id })
}

/** One router has no two ways to an address. @throws Fault 400 */
export async function checkSubnets({ trx }: Work, router: RouterRow, fresh: SubnetRow[]): Promise<void> {
  const ports = (await portsOfRouter(trx, router.id)).filter((port) => port.device_owner === OWNER)
  const ips = await rowsWhere(
    trx,
    'allocations',
    'port_id',
    ports.map((port) => port.id),
  )
  const there = await rowsWhere(
    trx,
    'subnets',
    'id',
    ips.map((ip) => ip.subnet_id),
  )
  for (const subnet of fresh) {
    const other = there.find((known) => known.id === subnet.id || overlaps(prefixOf(known.cidr), prefixOf(subnet.cidr)))
    if (other?.id === subnet.id) throw wrong(`Router already has a port on subnet ${subnet.id}`)
    if (other) throw wrong(`Cidr ${subnet.cidr} of subnet ${subnet.id} overlaps with cidr ${other.cidr} of subnet ${other.id}`)
  }
}

/** @throws Fault 404 when the router is not there, 409 when floating addresses or routes need it */
export async function removeInterface(context: NetworkContext, router: Router, asked: AskedInterface): Promise<RouterInterface> {
  one(asked, 'remove')
  const seen = await findInterface(context.database.db, router, asked)
  return await mutate(context, [routerLock(router.id), ROUTING_LOCK, `network:${seen.port.network_id}`], async (work) => {
    const now = await there(work, router)
    const { port, subnets } = await findInterface(work.trx, now, asked)
    await leave(work, now, [port], subnets)
    return { portId: port.id, subnetIds: subnets.map((subnet) => subnet.id), networkId: port.network_id }
  })
}

/** The ports are in one network. */
async function leave(work: Work, router: RouterRow, ports: PortRow[], subnets: SubnetRow[]): Promise<void> {
  if (ports.length === 0) return
  await refuseInUse(work, router, subnets)
  await removePortRows(work, ports)
  tellRouter(work, router.id)
  work.after.push(() => work.context.bus.publish(events.networkChanged, { networkId: ports[0]!.network_id }))
}

/** Takes a router out of all subnets of a network. Behind the locks of router, network and routing. @throws Fault 409 when floating addresses or routes need it */
export async function leaveNetwork(work: Work, router: RouterRow, networkId: string): Promise<void> {
  const { trx } = work
  const ports = (await portsOfRouter(trx, router.id)).filter((port) => port.device_owner === OWNER && port.network_id === networkId)
  const subnets = await rowsWhere(trx, 'subnets', 'network_id', ports.length > 0 ? [networkId] : [])
  const ips = await rowsWhere(
    trx,
    'allocations',
    'port_id',
    ports.map((port) => port.id),
  )
  await leave(
    work,
    router,
    ports,
    subnets.filter((subnet) => ips.some((ip) => ip.subnet_id === subnet.id)),
  )
}

async function findInterface(db: Handle, of: RouterRow, wanted: AskedInterface): Promise<{ port: PortRow; subnets: SubnetRow[] }> {
  const ports = (await portsOfRouter(db, of.id)).filter((port) => port.device_owner === OWNER)
  const ips = await rowsWhere(
    db,
    'allocations',
    'port_id',
    ports.map((port) => port.id),
  )
  const port = ports.find(
    (each) =>
      (!wanted.port_id || each.id === wanted.port_id) &&
      (!wanted.subnet_id || ips.some((ip) => ip.port_id === each.id && ip.subnet_id === wanted.subnet_id)),
  )
  if (!port) throw gone(of, wanted)
  const subnets = await rowsWhere(
    db,
    'subnets',
    'id',
    ips.flatMap((ip) => (ip.port_id === port.id ? [ip.subnet_id] : [])),
  )
  return { port, subnets }
}

const gone = (router: RouterRow, asked: AskedInterface) =>
  asked.port_id
    ? notFound(`Router ${router.id} does not have an interface with id ${asked.port_id}`, 'RouterInterfaceNotFound')
    : notFound(`Router ${router.id} has no interface on subnet ${asked.subnet_id}`, 'RouterInterfaceNotFoundForSubnet')

/** @throws Fault 409 */
export async function refuseInUse({ trx }: Work, router: RouterRow, subnets: SubnetRow[]): Promise<void> {
  const floating = await rowsWhere(trx, 'floatingips', 'router_id', [router.id])
  for (const subnet of subnets) {
    const prefix = prefixOf(subnet.cidr)
    const holds = (address: string | null) => address !== null && overlaps(prefixOf(address), prefix)
    if (floating.some((ip) => holds(ip.fixed_ip_address)))
      throw conflict(
        `Router interface for subnet ${subnet.id} on router ${router.id} cannot be deleted, as it is required by one or more floating IPs.`,
        'RouterInterfaceInUseByFloatingIP',
      )
    if ((JSON.parse(router.routes) as { nexthop: string }[]).some((route) => holds(route.nexthop)))
      throw conflict(
        `Router interface for subnet ${subnet.id} on router ${router.id} cannot be deleted, as it is required by one or more routes.`,
        'RouterInterfaceInUseByRoute',
      )
  }
}
