import { toJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { deleteRow, deleteRows, insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { NetworkRow, StandardRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { dnsDomain } from './dns-names.ts'
import { missing, type Noun, refuseKnownIds, STANDARD } from './noun.ts'
import { removePortRows } from './port-removal.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { type Chosen, mtuOf, takeSegments } from './segments.ts'
import { flags, named, standard } from './standard.ts'

export interface Network extends NetworkRow {
  subnetIds: string[]
}

export const networkNoun: Noun<'networks', Network> = {
  name: 'network',
  plural: 'networks',
  type: 'Network',
  table: 'networks',
  columns: {
    ...STANDARD,
    admin_state_up: ['admin_state_up', 'flag'],
    shared: ['shared', 'flag'],
    'router:external': ['external', 'flag'],
    is_default: ['is_default', 'flag'],
    port_security_enabled: ['port_security', 'flag'],
    mtu: ['mtu', 'number'],
    dns_domain: ['dns_domain', 'text'],
    'provider:network_type': ['network_type', 'text'],
    'provider:physical_network': ['physical_network', 'text'],
    'provider:segmentation_id': ['segmentation_id', 'number'],
  },
  filters: {
    status: (values) => (query) => (values.includes('ACTIVE') ? query : query.where('id', '=', '')),
    subnets: (values) => (query) =>
      query.where((eb) => eb('id', 'in', eb.selectFrom('subnets').select('network_id').where('subnets.id', 'in', values))),
  },
  visible: (projectId) => (query) =>
    query.where((eb) => eb.or([eb('project_id', '=', projectId), eb('shared', '=', 1), eb('external', '=', 1)])),
  async dress(db, rows) {
    const subnets = Map.groupBy(
      await rowsWhere(
        db,
        'subnets',
        'network_id',
        rows.map((row) => row.id),
      ),
      (subnet) => subnet.network_id,
    )
    return rows.map((row) => ({ ...row, subnetIds: (subnets.get(row.id) ?? []).map((subnet) => subnet.id).sort() }))
  },
}

export interface AskedNetwork {
  id?: string
  name?: string
  description?: string | null
  project_id?: string
  tags?: string[]
  admin_state_up?: boolean
  shared?: boolean
  'router:external'?: boolean
  is_default?: boolean
  port_security_enabled?: boolean
  mtu?: number
  dns_domain?: string
  availability_zone_hints?: string[]
  'provider:network_type'?: string | null
  'provider:physical_network'?: string | null
  'provider:segmentation_id'?: number | null
  segments?: unknown
}

const FLAGS = {
  admin_state_up: 'admin_state_up',
  shared: 'shared',
  'router:external': 'external',
  is_default: 'is_default',
  port_security_enabled: 'port_security',
} as const

/** There is one default external network at most. */
const DEFAULT_LOCK = 'default-external-network'

/** All or none. @throws Fault 400, 409 */
export async function createNetworks(context: NetworkContext, viewer: Viewer, asked: AskedNetwork[]): Promise<Network[]> {
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  const locks = [...networkLocks(projects), ...(asked.some((one) => one.is_default) ? [DEFAULT_LOCK] : [])]
  return await mutate(context, locks, async (work) => {
    await checkQuota(work, 'network', projects)
    await refuseKnownIds(work.trx, networkNoun as Noun, asked)
    return await insertNetworks(work, projects, asked)
  })
}

export const networkLocks = (projects: string[]) => [...projects.map((project) => quotaLock('network', project)), 'segments']

/** Behind {@link networkLocks}, their quotas checked. */
export async function insertNetworks(work: Work, projects: string[], asked: AskedNetwork[]): Promise<Network[]> {
  const bases = asked.map((one, i) => standard(one, projects[i]!))
  const wanted = asked.map((one, i) => ({
    networkId: bases[i]!.id,
    networkType: one['provider:network_type'],
    physicalNetwork: one['provider:physical_network'],
    segmentationId: one['provider:segmentation_id'],
  }))
  const segments = await takeSegments(work, wanted)
  const rows = asked.map((one, i) => networkRow(bases[i]!, one, segments[i]!))
  await refuseSecondDefault(
    work,
    rows.filter((row) => row.is_default).map((row) => row.id),
  )
  await insertRow(work.trx, 'networks', rows)
  return rows.map((row) => ({ ...row, subnetIds: [] }))
}

function networkRow(base: StandardRow, asked: AskedNetwork, segment: Chosen): NetworkRow {
  return {
    ...base,
    admin_state_up: 1,
    shared: 0,
    external: 0,
    is_default: 0,
    port_security: 1,
    ...flags(asked, FLAGS),
    ...(asked['router:external'] ? {} : { is_default: 0 }),
    network_type: segment.networkType,
    physical_network: segment.physicalNetwork,
    segmentation_id: segment.segmentationId,
    mtu: mtuWithin(asked.mtu, mtuOf(segment.networkType)),
    dns_domain: dnsDomain(asked.dns_domain ?? ''),
    zone_hints: toJson(asked.availability_zone_hints ?? []),
  }
}

async function refuseSecondDefault({ trx }: Work, wanted: string[]): Promise<void> {
  if (wanted.length === 0) return
  const other = [(await defaultExternalNetwork(trx)) ?? wanted[0]!, ...wanted].find((id) => id !== wanted[0])
  if (other) throw conflict(`A default external network already exists: ${other}.`, 'DefaultExternalNetworkExists')
}

/** Its id, if there is one. */
export async function defaultExternalNetwork(db: Handle): Promise<string | undefined> {
  const found = await db.selectFrom('networks').select('id').where('is_default', '=', 1).where('external', '=', 1).executeTakeFirst()
  return found?.id
}

/** 0 means what fits. */
function mtuWithin(asked: number | undefined, most: number): number {
  if (!asked) return most
  if (asked < 68 || asked > most)
    throw badRequest(`Invalid input for operation: Requested MTU is too big, maximum is ${most}.`, 'InvalidInput')
  return asked
}

export async function updateNetwork(context: NetworkContext, network: Network, asked: AskedNetwork): Promise<Network> {
  for (const name of ['provider:network_type', 'provider:physical_network', 'provider:segmentation_id'] as const)
    if (asked[name] !== undefined)
      throw badRequest('Invalid input for operation: Plugin does not support updating provider attributes.', 'InvalidInput')
  const locks = [`network:${network.id}`, ...(asked.is_default ? [DEFAULT_LOCK] : [])]
  return await mutate(context, locks, async (work) => {
    const { trx } = work
    const [now] = await rowsWhere(trx, 'networks', 'id', [network.id])
    if (!now) throw missing(networkNoun, network.id)
    if (now.shared && asked.shared === false) await refuseIfForeign(trx, now)
    if (now.external && asked['router:external'] === false) await refuseIfGateway(trx, now)
    const external = asked['router:external'] ?? now.external === 1
    if (asked.is_default && external) await refuseSecondDefault(work, [network.id])
    const columns: Partial<NetworkRow> = {
      ...named(asked),
      ...flags(asked, FLAGS),
      ...(external ? {} : { is_default: 0 }),
      ...(asked.mtu !== undefined ? { mtu: mtuWithin(asked.mtu, mtuOf(network.network_type)) } : {}),
      ...(asked.dns_domain !== undefined ? { dns_domain: dnsDomain(asked.dns_domain) } : {}),
    }
    await updateRow(trx, 'networks', network.id, columns)
    work.after.push(() => context.bus.publish(events.networkChanged, { networkId: network.id }))
    const rows = await rowsWhere(trx, 'networks', 'id', [network.id])
    return (await networkNoun.dress(trx, rows, context))[0]!
  })
}

async function refuseIfForeign(trx: Handle, network: NetworkRow): Promise<void> {
  const ports = await rowsWhere(trx, 'ports', 'network_id', [network.id])
  if (ports.some((port) => port.project_id !== network.project_id && port.project_id !== ''))
    throw conflict(
      `Unable to reconfigure sharing settings for network ${network.name || network.id}. Multiple tenants are using it.`,
      'InvalidSharedSetting',
    )
}

async function refuseIfGateway(trx: Handle, network: NetworkRow): Promise<void> {
  const ports = await rowsWhere(trx, 'ports', 'network_id', [network.id])
  if (ports.some((port) => port.device_owner === 'network:router_gateway'))
    throw conflict(
      `External network ${network.id} cannot be updated to be made non-external, since it has existing gateway ports.`,
      'ExternalNetworkInUse',
    )
}

/** With its subnets, the ports of its DHCP, and floating addresses that lead nowhere. @throws Fault 409 naming other ports that are on it */
export async function deleteNetwork(context: NetworkContext, network: Network): Promise<void> {
  await mutate(context, locksOf(network), (work) => removeNetwork(work, network))
}

export const locksOf = (network: Network) => [`network:${network.id}`, ...network.subnetIds.map((id) => `subnet:${id}`)]

/** Behind {@link locksOf}. */
export async function removeNetwork(work: Work, network: Network): Promise<void> {
  const { trx, context } = work
  const ports = await rowsWhere(trx, 'ports', 'network_id', [network.id])
  const idle = (await rowsWhere(trx, 'floatingips', 'floating_network_id', [network.id])).filter((one) => one.port_id === null)
  const going = new Set(idle.map((one) => one.own_port_id))
  const others = ports.filter((port) => port.device_owner !== 'network:dhcp' && !going.has(port.id))
  if (others.length > 0)
    throw conflict(
      `Unable to complete operation on network ${network.id}. There are one or more ports still in use on the network, id for these ports is ${others.map((port) => port.id).join(',')}.`,
      'NetworkInUse',
    )
  await deleteRows(
    trx,
    'floatingips',
    'id',
    idle.map((one) => one.id),
  )
  await removePortRows(work, ports)
  await trx.deleteFrom('subnets').where('network_id', '=', network.id).execute()
  await trx.deleteFrom('segments').where('network_id', '=', network.id).execute()
  if (!(await deleteRow(trx, 'networks', network.id))) throw missing(networkNoun, network.id)
  work.after.push(() => context.bus.publish(events.networkChanged, { networkId: network.id }))
}
