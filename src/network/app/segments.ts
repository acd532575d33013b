import { badRequest, conflict, unavailable } from '../../kernel/errors/errors.ts'
import { insertRow } from '../db/rows.ts'
import type { SegmentRow } from '../db/tables.ts'
import type { NetworkType, Segment } from '../rpc.ts'
import type { Work } from './context.ts'

const RANGES: Partial<Record<NetworkType, [first: number, last: number]>> = {
  vlan: [1, 4094],
  gre: [1, 2 ** 32 - 1],
  vxlan: [1, 2 ** 24 - 1],
}

/** Bytes that a frame may have inside, on a machine network of 1500. */
const MTU: Record<NetworkType, number> = { local: 1500, flat: 1500, vlan: 1500, gre: 1458, vxlan: 1450 }
export const mtuOf = (type: NetworkType): number => MTU[type]

export interface AskedSegment {
  networkType?: string | null
  physicalNetwork?: string | null
  segmentationId?: number | null
}

export type Chosen = Omit<Segment, 'networkId' | 'mtu'>

const wrong = (message: string) => badRequest(`Invalid input for operation: ${message}.`, 'InvalidInput')

/** What networks get: as asked, or the next one of the cloud's own kind. @throws Fault 400, 409 when it is in use */
export async function takeSegments(work: Work, asked: (AskedSegment & { networkId: string })[]): Promise<Chosen[]> {
  const { trx, context } = work
  const wanted = asked.map((one) => check(one, context.physicalNetworks, context.tenantNetworkType))
  const used = await usedIds(work, wanted)
  const rows: SegmentRow[] = []
  const chosen = wanted.map((one, i) => {
    const { networkType, physicalNetwork } = one
    if (networkType === 'local') return one
    const taken = used.get(rangeOf(one)) ?? new Set()
    const id = networkType === 'flat' ? 0 : (one.segmentationId ?? firstFree(networkType, taken))
    if (taken.has(id)) throw inUse(networkType, physicalNetwork, id)
    used.set(rangeOf(one), taken.add(id))
    rows.push({
      network_type: networkType,
      physical_network: physicalNetwork ?? '',
      segmentation_id: id,
      network_id: asked[i]!.networkId,
    })
    return networkType === 'flat' ? one : { ...one, segmentationId: id }
  })
  await insertRow(trx, 'segments', rows)
  return chosen
}

const rangeOf = ({ networkType, physicalNetwork }: Chosen) => `${networkType} ${physicalNetwork ?? ''}`

async function usedIds({ trx }: Work, wanted: Chosen[]): Promise<Map<string, Set<number>>> {
  const ranges = wanted.filter((one) => one.networkType !== 'local')
  if (ranges.length === 0) return new Map()
  const rows = await trx
    .selectFrom('segments')
    .select(['network_type', 'physical_network', 'segmentation_id'])
    .where('network_type', 'in', [...new Set(ranges.map((one) => one.networkType))])
    .where('physical_network', 'in', [...new Set(ranges.map((one) => one.physicalNetwork ?? ''))])
    .execute()
  const grouped = Map.groupBy(rows, (row) => `${row.network_type} ${row.physical_network}`)
  return new Map([...grouped].map(([range, some]) => [range, new Set(some.map((row) => row.segmentation_id))]))
}

function firstFree(networkType: NetworkType, taken: Set<number>): number {
  const [first, last] = RANGES[networkType]!
  let id = first
  while (taken.has(id)) id++
  if (id > last) throw unavailable('Unable to create the network. No tenant network is available for allocation.', 'NoNetworkAvailable')
  return id
}

function check(asked: AskedSegment, physicalNetworks: Record<string, string>, usual: NetworkType): Chosen {
  const plain = asked.networkType == null
  if (plain && (asked.physicalNetwork != null || asked.segmentationId != null)) throw wrong('network_type required')
  const networkType = (asked.networkType ?? usual) as NetworkType
  if (!Object.hasOwn(MTU, networkType)) throw wrong(`network_type value '${networkType}' not supported`)
  const onWire = networkType === 'flat' || networkType === 'vlan'
  const physicalNetwork = asked.physicalNetwork ?? (plain && onWire ? (Object.keys(physicalNetworks)[0] ?? null) : null)
  if (onWire && physicalNetwork === null) throw wrong(`physical_network required for ${networkType} provider network`)
  if (!onWire && physicalNetwork !== null) throw wrong(`provider:physical_network specified for ${networkType} network`)
  if (physicalNetwork !== null && !Object.hasOwn(physicalNetworks, physicalNetwork))
    throw wrong(`physical_network '${physicalNetwork}' unknown for ${networkType} provider network`)
  const segmentationId = asked.segmentationId ?? null
  const range = RANGES[networkType]
  if (segmentationId !== null && !range) throw wrong(`segmentation_id prohibited for ${networkType} provider network`)
  if (segmentationId !== null && (segmentationId < range![0] || segmentationId > range![1]))
    throw wrong(`segmentation_id out of range (${range![0]} through ${range![1]})`)
  return { networkType, physicalNetwork, segmentationId }
}

function inUse(type: NetworkType, physicalNetwork: string | null, id: number) {
  if (type === 'flat')
    return conflict(`Unable to create the flat network. Physical network ${physicalNetwork} is in use.`, 'FlatNetworkInUse')
  if (type === 'vlan')
    return conflict(`Unable to create the network. The VLAN ${id} on physical network ${physicalNetwork} is in use.`, 'VlanIdInUse')
  return conflict(`Unable to create the network. The tunnel ID ${id} is in use.`, 'TunnelIdInUse')
}
