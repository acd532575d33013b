import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import { deleteRow, insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { FloatingIpRow, PortRow } from '../db/tables.ts'
import type { FixedIp } from '../rpc.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { floatingName } from './dns-names.ts'
import { allocationRows, chooseAllAddresses } from './ipam.ts'
import { networkNoun } from './networks.ts'
import { missing, type Noun, owned, refuseKnownIds, STANDARD, seeRows } from './noun.ts'
import { loadPorts, type Port, portNoun } from './port.ts'
import { isServers, NOWHERE, notice, removePortRows } from './port-removal.ts'
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
    dns_name: ['dns_name', 'text'],
    dns_domain: ['dns_domain', 'text'],
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
  dns_name?: string
  dns_domain?: string
}

/** An address of the external network; with `port_id` it leads to that port at once. @throws Fault 400, 404, 409 */
export async function createFloatingIps(context: NetworkContext, viewer: Viewer, asked: AskedFloatingIp[]): Promise<FloatingIp[]> {
  const networkIds = asked.map((one) => one.floating_network_id)
  await seeRows(context.database.db, networkNoun, viewer, networkIds)
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  const locks = [
    ...projects.map((project) => quotaLock('floatingip', project)),
    ...networkIds.map((id) => `network:${id}`),
    ...asked.flatMap((one) => (one.port_id ? [`port:${one.port_id}`, ROUTING_LOCK] : [])),
  ]
  return await mutate(context, locks, async (work) => {
    await checkQuota(work, 'floatingip', projects)
    await refuseKnownIds(work.trx, floatingIpNoun as Noun, asked)
    const rows = await takeAddresses(work, asked, projects)
    const led = rows.flatMap((row, i) => {
      const { port_id: portId, fixed_ip_address: fixed } = asked[i]!
      return portId ? [{ row, portId, fixed }] : []
    })
    const ways = await leadTo(work, viewer, led)
    const made = rows.map((row) => ({ ...row, ...ways.get(row.id) }))
    await insertRow(work.trx, 'floatingips', made)
    return made
  })
}

/** New floating addresses, each with a port of its own, that lead nowhere yet. @throws Fault 400, 404, 409 */
async function takeAddresses(work: Work, asked: AskedFloatingIp[], projects: string[]): Promise<FloatingIpRow[]> {
  const { trx } = work
  const networkIds = asked.map((one) => one.floating_network_id)
  const networks = new Map((await rowsWhere(trx, 'networks', 'id', networkIds)).map((network) => [network.id, network]))
  for (const id of networkIds) {
    if (!networks.has(id)) throw missing(networkNoun, id)
    if (networks.get(id)!.external !== 1)
      throw badRequest(`Bad floatingip request: Network ${id} is not a valid external network.`, 'BadRequest')
  }
  const four = (await rowsWhere(trx, 'subnets', 'network_id', networkIds)).filter((subnet) => subnet.ip_version === 4)
  const own = asked.map((one) => {
    const id = one.id ?? randomUUID()
    const networkId = one.floating_network_id
    const at = { id: randomUUID(), projectId: '', networkId, macAddress: newMac() }
    return { ...newPortRow({ ...at, deviceId: id, deviceOwner: 'network:floatingip' }), status: 'N/A' as const }
  })
  const wishes = asked.map((one, i) => {
    const networkId = one.floating_network_id
    const subnets = four.filter((subnet) => subnet.network_id === networkId)
    if (subnets.length === 0)
      throw badRequest(`Bad floatingip request: Network ${networkId} does not contain any IPv4 subnet.`, 'BadRequest')
    const wish = {
      ...(one.subnet_id ? { subnet_id: one.subnet_id } : {}),
      ...(one.floating_ip_address ? { ip_address: one.floating_ip_address } : {}),
    }
    const { mac_address: macAddress, device_owner: deviceOwner } = own[i]!
    return { networkId, subnets, macAddress, deviceOwner, asked: Object.keys(wish).length > 0 ? [wish] : undefined }
  })
  const ips = await chooseAllAddresses(work, wishes)
  await insertRow(trx, 'ports', own)
  await insertRow(
    trx,
    'allocations',
    own.flatMap((port, i) => allocationRows(port.id, port.network_id, ips[i]!)),
  )
  return asked.map((one, i) => ({
    ...standard(one, projects[i]!),
    id: own[i]!.device_id,
    floating_network_id: one.floating_network_id,
    floating_ip_address: ips[i]![0]!.address,
    own_port_id: own[i]!.id,
    ...floatingName(one),
    ...NOWHERE,
  }))
}

interface Lead {
  row: FloatingIpRow
  portId: string
  fixed: string | null | undefined
}

/** The columns of floating addresses that lead to ports, by the addresses' ids. @throws Fault 400, 404, 409 */
async function leadTo(work: Work, viewer: Viewer, leads: Lead[]): Promise<Map<string, Partial<FloatingIpRow>>> {
  if (leads.length === 0) return new Map()
  const { trx } = work
  const portIds = leads.map((one) => one.portId)
  const ports = new Map((await loadPorts(trx, portIds)).map((port) => [port.id, port]))
  const ends = leads.map(({ row, portId, fixed }) => {
    const port = ports.get(portId)
    if (!port || (!viewer.isAdmin && port.project_id !== viewer.projectId)) throw missing(portNoun, portId)
    return { row, portId, ip: fixedIpOf(port, fixed) }
  })
  const there = (await rowsWhere(trx, 'floatingips', 'port_id', portIds)).map((one) => ({ ...one, address: one.fixed_ip_address }))
  const all = [...there, ...ends.map(({ row, portId, ip }) => ({ ...row, port_id: portId, address: ip.address }))]
  const routers = await routersBetween(
    work,
    ends.map(({ row, ip }) => ({ subnetId: ip.subnetId, externalId: row.floating_network_id })),
  )
  const at = timestamp()
  const ways = ends.map(({ row, portId, ip }) => {
    const rival = all.find((one) => one.port_id === portId && one.address === ip.address && one.id !== row.id)
    if (rival)
      throw conflict(
        `Cannot associate floating IP ${row.floating_ip_address} (${row.id}) with port ${portId} using fixed IP ${ip.address}, as that fixed IP already has a floating IP on external network ${rival.floating_network_id}.`,
        'FloatingIPPortAlreadyAssociated',
      )
    const routerId = routers.get(`${ip.subnetId} ${row.floating_network_id}`)
    if (!routerId)
      throw notFound(
        `External network ${row.floating_network_id} is not reachable from subnet ${ip.subnetId}. Therefore, cannot associate Port ${portId} with a Floating IP.`,
        'ExternalGatewayForFloatingIPNotFound',
      )
    const way = { port_id: portId, fixed_ip_address: ip.address, router_id: routerId, status: 'DOWN' as const, associated_at: at }
    return [row.id, way] as const
  })
  for (const routerId of new Set(ways.map(([, way]) => way.router_id))) tellRouter(work, routerId)
  await tellServers(work, [...ports.values()])
  return new Map(ways)
}

/** Where a floating address ends: the address that is asked for, or the only one. @throws Fault 400 */
function fixedIpOf(port: Port, fixed: string | null | undefined): FixedIp {
  const four = port.fixedIps.filter((ip) => !ip.address.includes(':'))
  const ip = fixed ? four.find((one) => one.address === fixed) : four[0]
  if (!ip)
    throw badRequest(
      `Bad floatingip request: Port ${port.id} does not have ${fixed ? `the fixed IP ${fixed}` : 'any IPv4 address'}.`,
      'BadRequest',
    )
  if (!fixed && four.length > 1)
    throw badRequest(
      `Bad floatingip request: Port ${port.id} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP.`,
      'BadRequest',
    )
  return ip
}

/** Compute shows floating addresses beside the fixed ones. */
const tellServers = (work: Work, ports: PortRow[]): Promise<void> => notice(work, ports.filter(isServers), 'network-changed', null)

/** By subnet and external network: a router that stands in both. */
async function routersBetween({ trx }: Work, pairs: { subnetId: string; externalId: string }[]): Promise<Map<string, string>> {
  const rows = await trx
    .selectFrom('allocations as a')
    .innerJoin('ports as p', 'p.id', 'a.port_id')
    .innerJoin('routers as r', 'r.id', 'p.device_id')
    .select(['a.subnet_id', 'r.gateway_network_id', 'r.id'])
    .where('a.subnet_id', 'in', [...new Set(pairs.map((one) => one.subnetId))])
    .where('p.device_owner', '=', 'network:router_interface')
    .where('r.gateway_network_id', 'in', [...new Set(pairs.map((one) => one.externalId))])
    .execute()
  return new Map(rows.map((row) => [`${row.subnet_id} ${row.gateway_network_id}`, row.id]))
}

/** `port_id` null leads it nowhere. @throws Fault 400, 404, 409 */
export async function updateFloatingIp(
  context: NetworkContext,
  viewer: Viewer,
  floating: FloatingIp,
  asked: Partial<AskedFloatingIp>,
): Promise<FloatingIp> {
  const end = asked.port_id ?? floating.port_id
  const locks = [`floatingip:${floating.id}`, ...(end ? [`port:${end}`] : []), ROUTING_LOCK]
  return await mutate(context, locks, async (work) => {
    const { trx } = work
    const [now] = await rowsWhere(trx, 'floatingips', 'id', [floating.id])
    if (!now) throw missing(floatingIpNoun, floating.id)
    const columns: Partial<FloatingIpRow> = asked.description === undefined ? {} : { description: asked.description ?? '' }
    if (asked.fixed_ip_address && asked.port_id === undefined && !now.port_id)
      throw badRequest('Bad floatingip request: fixed_ip_address cannot be specified without a port_id.', 'BadRequest')
    const port = asked.port_id === undefined && asked.fixed_ip_address ? now.port_id : asked.port_id
    if (port && port !== end)
      throw conflict(`Floating IP ${now.id} has been led to another port meanwhile: ask again.`, 'FloatingIPChanged')
    if (port !== undefined) {
      if (now.router_id) tellRouter(work, now.router_id)
      if (now.port_id) await tellServers(work, await rowsWhere(trx, 'ports', 'id', [now.port_id]))
      const lead = port && (await leadTo(work, viewer, [{ row: now, portId: port, fixed: asked.fixed_ip_address }])).get(now.id)
      Object.assign(columns, lead || NOWHERE)
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
    await removePortRows(work, await rowsWhere(trx, 'ports', 'id', [now.own_port_id]))
    if (now.router_id) tellRouter(work, now.router_id)
  })
}
