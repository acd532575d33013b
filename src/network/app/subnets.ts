import { toJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import { deleteRow, insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { SubnetRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { overlaps, type Prefix, prefixOf } from './addresses.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { ensureDhcpPorts } from './dhcp-port.ts'
import { isAutomatic } from './ipam.ts'
import { networkNoun } from './networks.ts'
import { missing, type Noun, refuseKnownIds, STANDARD, seeRows } from './noun.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { flags, named, standard } from './standard.ts'
import { STATUS_LOCK, settleStatus } from './status.ts'
import { allocate, poolsById, poolsFor, type SubnetPool } from './subnet-pools.ts'
import {
  checkGatewayOutside,
  checkNameservers,
  checkPools,
  checkRoutes,
  gatewayFor,
  type HostRoute,
  type Pool,
  usualPools,
} from './subnet-rules.ts'

export type Subnet = SubnetRow

export const subnetNoun: Noun<'subnets', Subnet> = {
  name: 'subnet',
  plural: 'subnets',
  type: 'Subnet',
  table: 'subnets',
  columns: {
    ...STANDARD,
    network_id: ['network_id', 'text'],
    ip_version: ['ip_version', 'number'],
    cidr: ['cidr', 'text'],
    gateway_ip: ['gateway_ip', 'text'],
    enable_dhcp: ['enable_dhcp', 'flag'],
    ipv6_ra_mode: ['ipv6_ra_mode', 'text'],
    ipv6_address_mode: ['ipv6_address_mode', 'text'],
    subnetpool_id: ['subnetpool_id', 'text'],
  },
  visible: (projectId) => (query) =>
    query.where((eb) =>
      eb.or([
        eb('project_id', '=', projectId),
        eb(
          'network_id',
          'in',
          eb
            .selectFrom('networks')
            .select('networks.id')
            .where((inner: any) => inner.or([inner('networks.shared', '=', 1), inner('networks.project_id', '=', projectId)])),
        ),
      ]),
    ),
  dress: async (_db, rows) => rows,
}

export interface AskedSubnet {
  id?: string
  name?: string
  description?: string | null
  project_id?: string
  tags?: string[]
  network_id: string
  ip_version?: 4 | 6
  cidr?: string | null
  gateway_ip?: string | null
  enable_dhcp?: boolean
  allocation_pools?: Pool[] | null
  dns_nameservers?: string[] | null
  host_routes?: HostRoute[] | null
  service_types?: string[]
  ipv6_ra_mode?: string | null
  ipv6_address_mode?: string | null
  subnetpool_id?: string | null
  use_default_subnetpool?: boolean
  /** Bits of the prefix that the pool is to give. */
  prefixlen?: number | null
}

const MAX_ROUTES = 20
const wrong = (message: string) => badRequest(`Invalid input for operation: ${message}.`, 'InvalidInput')

/** All or none; the network's first subnet with DHCP brings its DHCP port. @throws Fault 400, 404 for the network, 409 */
export async function createSubnets(context: NetworkContext, viewer: Viewer, asked: AskedSubnet[]): Promise<Subnet[]> {
  const networkIds = [...new Set(asked.map((one) => one.network_id))]
  await seeRows(context.database.db, networkNoun, viewer, networkIds)
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  const pools = await poolsFor(context, viewer, asked)
  const locks = [
    ...pools.flatMap((pool) => (pool ? [`subnetpool:${pool.id}`] : [])),
    ...projects.map((project) => quotaLock('subnet', project)),
    ...networkIds.map((id) => `network:${id}`),
  ]
  return await mutate(context, locks, async (work) => {
    await checkQuota(work, 'subnet', projects)
    await refuseKnownIds(work.trx, subnetNoun as Noun, asked)
    const made = await insertSubnets(work, projects, asked, pools)
    await settleNetworks(work, networkIds)
    return made
  })
}

/** Each from its pool, if it has one. Behind the locks of networks, pools and quotas, the quotas checked; {@link settleNetworks} follows. */
export async function insertSubnets(work: Work, projects: string[], asked: AskedSubnet[], pools: (SubnetPool | null)[]): Promise<Subnet[]> {
  const { trx } = work
  const networkIds = asked.map((one) => one.network_id)
  const there = new Set((await rowsWhere(trx, 'networks', 'id', networkIds)).map((network) => network.id))
  for (const id of networkIds) if (!there.has(id)) throw missing(networkNoun, id)
  const beside = await rowsWhere(trx, 'subnets', 'network_id', networkIds)
  const poolIds = pools.flatMap((pool) => pool?.id ?? [])
  const poolsNow = await poolsById(trx, poolIds)
  const ofPools = await rowsWhere(trx, 'subnets', 'subnetpool_id', poolIds)
  const made: Subnet[] = []
  for (const [i, one] of asked.entries()) {
    const pool = pools[i] && poolsNow.get(pools[i].id)!
    const from = pool && { pool, subnets: [...ofPools, ...made].filter((subnet) => subnet.subnetpool_id === pool.id) }
    const neighbours = [...beside, ...made].filter((subnet) => subnet.network_id === one.network_id)
    made.push(subnetRow(one, projects[i]!, neighbours, from))
  }
  await insertRow(trx, 'subnets', made)
  return made
}

/** A new subnet beside the `others` of its network. @throws Fault 400, 409 */
function subnetRow(
  asked: AskedSubnet,
  projectId: string,
  others: Subnet[],
  from: { pool: SubnetPool; subnets: Subnet[] } | null,
): SubnetRow {
  if (!from && !asked.cidr) throw badRequest('Bad subnets request: a subnetpool must be specified in the absence of a cidr.', 'BadRequest')
  if (asked.cidr && asked.prefixlen)
    throw badRequest('Bad subnets request: cidr and prefixlen must not be supplied together.', 'BadRequest')
  const prefix = from ? allocate(from.pool, from.subnets, projectId, asked) : prefixOf(asked.cidr!)
  if (asked.ip_version !== undefined && asked.ip_version !== prefix.version)
    throw wrong(`cidr '${asked.cidr}' does not match the ip_version '${asked.ip_version}'`)
  if (prefix.version === 4 && (asked.ipv6_ra_mode || asked.ipv6_address_mode))
    throw wrong('ipv6_ra_mode and ipv6_address_mode need ip_version 6')
  checkModes(prefix, asked)
  if (prefix.length === 0) throw wrong(`cidr ${prefix.text} is too large`)
  for (const other of others)
    if (overlaps(prefixOf(other.cidr), prefix))
      throw wrong(`Requested subnet with cidr: ${prefix.text} for network: ${asked.network_id} overlaps with another subnet`)
  const gateway = gatewayFor(prefix, asked.gateway_ip)
  const pools = asked.allocation_pools ? checkPools(prefix, asked.allocation_pools) : usualPools(prefix, gateway)
  checkGatewayOutside(gateway, pools)
  return {
    ...standard(asked, projectId),
    network_id: asked.network_id,
    ip_version: prefix.version,
    cidr: prefix.text,
    gateway_ip: gateway,
    enable_dhcp: Number(asked.enable_dhcp ?? true),
    allocation_pools: toJson(pools),
    dns_nameservers: toJson(checkNameservers(asked.dns_nameservers ?? [])),
    host_routes: toJson(checkRoutes(asked.host_routes ?? [], MAX_ROUTES)),
    service_types: toJson(asked.service_types ?? []),
    ipv6_ra_mode: asked.ipv6_ra_mode ?? null,
    ipv6_address_mode: asked.ipv6_address_mode ?? null,
    subnetpool_id: from?.pool.id ?? null,
  }
}

const OWN_ADDRESSES = ['slaac', 'dhcpv6-stateless']

/** @throws Fault 400 for modes that contradict each other, or that no guest could follow */
function checkModes(prefix: Prefix, { ipv6_ra_mode, ipv6_address_mode, enable_dhcp = true }: AskedSubnet): void {
  if (!ipv6_ra_mode && !ipv6_address_mode) return
  if (!enable_dhcp) throw wrong('ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False')
  if (ipv6_ra_mode && ipv6_address_mode && ipv6_ra_mode !== ipv6_address_mode)
    throw wrong(
      `ipv6_ra_mode set to '${ipv6_ra_mode}' with ipv6_address_mode set to '${ipv6_address_mode}' is not valid. If both attributes are set, they must be the same value`,
    )
  if (prefix.length !== 64 && [ipv6_ra_mode, ipv6_address_mode].some((mode) => OWN_ADDRESSES.includes(mode ?? '')))
    throw wrong(
      `Invalid CIDR ${prefix.text} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64`,
    )
}

/** Their DHCP ports as their subnets want them; agents are told. */
export async function settleNetworks(work: Work, networkIds: string[]): Promise<void> {
  await ensureDhcpPorts(work, networkIds)
  for (const networkId of networkIds) work.after.push(() => work.context.bus.publish(events.networkChanged, { networkId }))
}

export async function updateSubnet(context: NetworkContext, subnet: Subnet, asked: Partial<AskedSubnet>): Promise<Subnet> {
  const locks = [`network:${subnet.network_id}`, ...(asked.enable_dhcp === false ? [STATUS_LOCK] : [])]
  return await mutate(context, locks, async (work) => {
    const { trx } = work
    const [now] = await rowsWhere(trx, 'subnets', 'id', [subnet.id])
    if (!now) throw missing(subnetNoun, subnet.id)
    const prefix = prefixOf(now.cidr)
    const columns: Partial<SubnetRow> = { ...named(asked), ...flags(asked, { enable_dhcp: 'enable_dhcp' }) }
    const pools: Pool[] = asked.allocation_pools ? checkPools(prefix, asked.allocation_pools) : JSON.parse(now.allocation_pools)
    if (asked.gateway_ip !== undefined) {
      columns.gateway_ip = gatewayFor(prefix, asked.gateway_ip)
      if (columns.gateway_ip !== now.gateway_ip) await refuseGatewayInUse(work, now)
    }
    checkGatewayOutside(columns.gateway_ip === undefined ? now.gateway_ip : columns.gateway_ip, pools)
    if (asked.allocation_pools) columns.allocation_pools = toJson(pools)
    if (asked.dns_nameservers !== undefined) columns.dns_nameservers = toJson(checkNameservers(asked.dns_nameservers ?? []))
    if (asked.host_routes !== undefined) columns.host_routes = toJson(checkRoutes(asked.host_routes ?? [], MAX_ROUTES))
    if (asked.service_types !== undefined) columns.service_types = toJson(asked.service_types)
    await updateRow(trx, 'subnets', now.id, columns)
    await settleNetworks(work, [now.network_id])
    if (now.enable_dhcp === 1 && columns.enable_dhcp === 0) await settleWaiting(work, now.network_id)
    await tellRouters(work, now.id)
    return (await rowsWhere(trx, 'subnets', 'id', [now.id]))[0]!
  })
}

/** Ports that waited for an address service which there is no more. Behind {@link STATUS_LOCK}. */
async function settleWaiting(work: Work, networkId: string): Promise<void> {
  const waiting = work.trx.selectFrom('ports').selectAll().where('network_id', '=', networkId).where('wired', '=', 1)
  await settleStatus(work, await waiting.where('dhcp_ready', '=', 0).execute())
}

async function refuseGatewayInUse({ trx }: Work, subnet: SubnetRow): Promise<void> {
  if (subnet.gateway_ip === null) return
  const user = await trx
    .selectFrom('allocations as a')
    .innerJoin('ports as p', 'p.id', 'a.port_id')
    .select('p.id')
    .where('a.subnet_id', '=', subnet.id)
    .where('a.address', '=', subnet.gateway_ip)
    .where('p.device_owner', '=', 'network:router_interface')
    .executeTakeFirst()
  if (user) throw conflict(`Current gateway ip ${subnet.gateway_ip} already in use by port ${user.id}. Unable to update.`, 'GatewayIpInUse')
}

async function tellRouters({ trx, after, context }: Work, subnetId: string): Promise<void> {
  const routers = await trx
    .selectFrom('allocations as a')
    .innerJoin('ports as p', 'p.id', 'a.port_id')
    .select('p.device_id')
    .distinct()
    .where('a.subnet_id', '=', subnetId)
    .where('p.device_owner', 'like', 'network:router%')
    .execute()
  for (const { device_id } of routers) after.push(() => context.bus.publish(events.routerChanged, { routerId: device_id }))
}

/** Its DHCP port's address, or that port, goes with it. @throws Fault 409 when other ports have addresses of it */
export async function deleteSubnet(context: NetworkContext, subnet: Subnet): Promise<void> {
  const automatic = isAutomatic(subnet)
  await mutate(context, [`network:${subnet.network_id}`, ...(automatic ? [STATUS_LOCK] : [])], async (work) => {
    const { trx } = work
    const users = await trx
      .selectFrom('allocations as a')
      .innerJoin('ports as p', 'p.id', 'a.port_id')
      .select('p.id')
      .where('a.subnet_id', '=', subnet.id)
      .where('p.device_owner', '!=', 'network:dhcp')
      .$if(automatic, (query) => query.where('p.device_owner', 'like', 'network:router%'))
      .execute()
    if (users.length > 0)
      throw conflict(
        `Unable to complete operation on subnet ${subnet.id}: One or more ports have an IP allocation from this subnet.`,
        'SubnetInUse',
        { ports: users.map((one) => one.id) },
      )
    // guests made these themselves: nothing holds them when the prefix is no longer announced
    if (automatic) await trx.deleteFrom('allocations').where('subnet_id', '=', subnet.id).execute()
    if (!(await deleteRow(trx, 'subnets', subnet.id))) throw missing(subnetNoun, subnet.id)
    await settleNetworks(work, [subnet.network_id])
    if (automatic) await settleWaiting(work, subnet.network_id)
  })
}
