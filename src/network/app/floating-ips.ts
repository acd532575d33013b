import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { deleteRow, insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { FloatingIpRow } from '../db/tables.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { allocationRows, chooseAddresses } from './ipam.ts'
import { networkNoun } from './networks.ts'
import { missing, type Noun, owned, STANDARD, seeRow } from './noun.ts'
import { loadPort, portNoun } from './port.ts'
import { isServers, notice, removePortRow } from './port-removal.ts'
import { newMac, newPortRow } from './port-row.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { ROUTING_LOCK, tellRouter } from './router.ts'
import { standard } from './standard.ts'

export type FloatingIp = FloatingIpRow

export const floatingIpNoun: Noun<'floatingips', FloatingIp> = {
  name: 'floatingip',
  plural: 'floatingips',
  type: 'Floating IP',
  table: 'floatingips',
  columns: {
    ...STANDARD,
    floating_network_id: ['floating_network_id', 'text'],
    floating_ip_address: ['floating_ip_address', 'text'],
    fixed_ip_address: ['fixed_ip_address', 'text'],
    port_id: ['port_id', 'text'],
    router_id: ['router_id', 'text'],
    status: ['status', 'text'],
  },
  visible: owned,
  dress: async (_db, rows) => rows,
}

export interface AskedFloatingIp {
  id?: string
  description?: string | null
  project_id?: string
  tags?: string[]
  floating_network_id: string
  subnet_id?: string | null
  floating_ip_address?: string | null
  port_id?: string | null
  fixed_ip_address?: string | null
}

/** An address of the external network; with `port_id` it leads to that port at once. @throws Fault 400, 404, 409 */
export async function createFloatingIps(context: NetworkContext, viewer: Viewer, asked: AskedFloatingIp[]): Promise<FloatingIp[]> {
  for (const one of asked) await seeRow(context.database.db, networkNoun, viewer, one.floating_network_id)
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  const locks = [
    ...projects.map((project) => quotaLock('floatingip', project)),
    ...asked.map((one) => `network:${one.floating_network_id}`),
    ...asked.flatMap((one) => (one.port_id ? [`port:${one.port_id}`, ROUTING_LOCK] : [])),
  ]
  return await mutate(context, locks, async (work) => {
    for (const [project, mine] of Map.groupBy(projects, (one) => one)) await checkQuota(work, 'floatingip', project, mine.length)
    const made: FloatingIp[] = []
    for (const [i, one] of asked.entries()) made.push(await createFloatingIp(work, viewer, projects[i]!, one))
    return made
  })
}

async function createFloatingIp(work: Work, viewer: Viewer, projectId: string, asked: AskedFloatingIp): Promise<FloatingIp> {
  const { trx } = work
  const networkId = asked.floating_network_id
  const [network] = await rowsWhere(trx, 'networks', 'id', [networkId])
  if (!network) throw missing(networkNoun, networkId)
  if (network.external !== 1)
    throw badRequest(`Bad floatingip request: Network ${networkId} is not a valid external network.`, 'BadRequest')
  const id = asked.id ?? randomUUID()
  const own = newPortRow({
    id: randomUUID(),
    projectId: '',
    networkId,
    macAddress: newMac(),
    deviceId: id,
    deviceOwner: 'network:floatingip',
  })
  const four = (await rowsWhere(trx, 'subnets', 'network_id', [networkId])).filter((subnet) => subnet.ip_version === 4)
  if (four.length === 0) throw badRequest(`Bad floatingip request: Network ${networkId} does not contain any IPv4 subnet.`, 'BadRequest')
  const wish = {
    ...(asked.subnet_id ? { subnet_id: asked.subnet_id } : {}),
    ...(asked.floating_ip_address ? { ip_address: asked.floating_ip_address } : {}),
  }
  const [ip] = await chooseAddresses(work, {
    networkId,
    subnets: four,
    macAddress: own.mac_address,
    deviceOwner: own.device_owner,
    asked: Object.keys(wish).length > 0 ? [wish] : undefined,
  })
  await insertRow(trx, 'ports', own)
  await insertRow(trx, 'allocations', allocationRows(own.id, networkId, [ip!]))
  const row: FloatingIpRow = {
    ...standard(asked, projectId),
    id,
    floating_network_id: networkId,
    floating_ip_address: ip!.address,
    own_port_id: own.id,
    port_id: null,
    fixed_ip_address: null,
    router_id: null,
    status: 'DOWN',
    associated_at: null,
  }
  await insertRow(trx, 'floatingips', {
    ...row,
    ...(asked.port_id ? await leadTo(work, viewer, row, asked.port_id, asked.fixed_ip_address) : {}),
  })
  return (await rowsWhere(trx, 'floatingips', 'id', [id]))[0]!
}

/** The columns of a floating address that leads to `portId`. @throws Fault 400, 404, 409 */
async function leadTo(
  work: Work,
  viewer: Viewer,
  row: FloatingIpRow,
  portId: string,
  fixed: string | null | undefined,
): Promise<Partial<FloatingIpRow>> {
  const { trx } = work
  const port = await loadPort(trx, portId)
  if (!port || (!viewer.isAdmin && port.project_id !== viewer.projectId)) throw missing(portNoun, portId)
  const four = port.fixedIps.filter((ip) => !ip.address.includes(':'))
  const ip = fixed ? four.find((one) => one.address === fixed) : four[0]
  if (!ip)
    throw badRequest(
      `Bad floatingip request: Port ${portId} does not have ${fixed ? `the fixed IP ${fixed}` : 'any IPv4 address'}.`,
      'BadRequest',
    )
  if (!fixed && four.length > 1)
    throw badRequest(
      `Bad floatingip request: Port ${portId} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP.`,
      'BadRequest',
    )
  const rival = await trx
    .selectFrom('floatingips')
    .selectAll()
    .where('port_id', '=', portId)
    .where('fixed_ip_address', '=', ip.address)
    .where('id', '!=', row.id)
    .executeTakeFirst()
  if (rival)
    throw conflict(
      `Cannot associate floating IP ${row.floating_ip_address} (${row.id}) with port ${portId} using fixed IP ${ip.address}, as that fixed IP already has a floating IP on external network ${rival.floating_network_id}.`,
      'FloatingIPPortAlreadyAssociated',
    )
  const routerId = await routerBetween(work, ip.subnetId, row.floating_network_id)
  if (!routerId)
    throw notFound(
      `External network ${row.floating_network_id} is not reachable from subnet ${ip.subnetId}. Therefore, cannot associate Port ${portId} with a Floating IP.`,
      'ExternalGatewayForFloatingIPNotFound',
    )
  tellRouter(work, routerId)
  await tellServer(work, portId)
  return { port_id: portId, fixed_ip_address: ip.address, router_id: routerId, status: 'DOWN', associated_at: timestamp() }
}

/** Compute shows floating addresses beside the fixed ones. */
async function tellServer(work: Work, portId: string): Promise<void> {
  const [port] = await rowsWhere(work.trx, 'ports', 'id', [portId])
  if (port && isServers(port)) await notice(work, port, 'network-changed', null)
}

async function routerBetween({ trx }: Work, subnetId: string, externalId: string): Promise<string | undefined> {
  const row = await trx
    .selectFrom('allocations as a')
    .innerJoin('ports as p', 'p.id', 'a.port_id')
    .innerJoin('routers as r', 'r.id', 'p.device_id')
    .select('r.id')
    .where('a.subnet_id', '=', subnetId)
    .where('p.device_owner', '=', 'network:router_interface')
    .where('r.gateway_network_id', '=', externalId)
    .executeTakeFirst()
  return row?.id
}

/** `port_id` null leads it nowhere. @throws Fault 400, 404, 409 */
export async function updateFloatingIp(
  context: NetworkContext,
  viewer: Viewer,
  floating: FloatingIp,
  asked: Partial<AskedFloatingIp>,
): Promise<FloatingIp> {
  const locks = [`floatingip:${floating.id}`, ...(asked.port_id ? [`port:${asked.port_id}`] : []), ROUTING_LOCK]
  return await mutate(context, locks, async (work) => {
    const { trx } = work
    const [now] = await rowsWhere(trx, 'floatingips', 'id', [floating.id])
    if (!now) throw missing(floatingIpNoun, floating.id)
    const columns: Partial<FloatingIpRow> = asked.description === undefined ? {} : { description: asked.description ?? '' }
    if (asked.fixed_ip_address && asked.port_id === undefined && !now.port_id)
      throw badRequest('Bad floatingip request: fixed_ip_address cannot be specified without a port_id.', 'BadRequest')
    const port = asked.port_id === undefined && asked.fixed_ip_address ? now.port_id : asked.port_id
    if (port !== undefined) {
      if (now.router_id) tellRouter(work, now.router_id)
      if (now.port_id) await tellServer(work, now.port_id)
      const nowhere = { port_id: null, fixed_ip_address: null, router_id: null, status: 'DOWN' as const, associated_at: null }
      Object.assign(columns, port ? await leadTo(work, viewer, now, port, asked.fixed_ip_address) : nowhere)
    }
    await updateRow(trx, 'floatingips', now.id, columns)
    return (await rowsWhere(trx, 'floatingips', 'id', [now.id]))[0]!
  })
}

export async function deleteFloatingIp(context: NetworkContext, floating: FloatingIp): Promise<void> {
  await mutate(context, [`floatingip:${floating.id}`], async (work) => {
    const { trx } = work
    const [now] = await rowsWhere(trx, 'floatingips', 'id', [floating.id])
    if (!now) throw missing(floatingIpNoun, floating.id)
    await deleteRow(trx, 'floatingips', now.id)
    for (const port of await rowsWhere(trx, 'ports', 'id', [now.own_port_id])) await removePortRow(work, port)
    if (now.router_id) tellRouter(work, now.router_id)
  })
}
