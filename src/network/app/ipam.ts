import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { AllocationRow, SubnetRow } from '../db/tables.ts'
import type { FixedIp } from '../rpc.ts'
import { canonical, contains, eui64, numberOf, prefixOf, type Range, versionOf } from './addresses.ts'
import type { Work } from './context.ts'
import { FreeAddresses, type Wanted } from './free-addresses.ts'

export interface AskedIp {
  subnet_id?: string
  ip_address?: string
}

const AUTOMATIC = ['slaac', 'dhcpv6-stateless']
/** Guests make their own addresses here, from their MAC. */
export const isAutomatic = (subnet: SubnetRow) => subnet.ip_version === 6 && AUTOMATIC.includes(subnet.ipv6_address_mode ?? '')

export const poolsOf = (subnet: SubnetRow): Range[] =>
  (JSON.parse(subnet.allocation_pools) as { start: string; end: string }[]).map(({ start, end }) => ({
    version: subnet.ip_version,
    first: numberOf(start),
    last: numberOf(end),
  }))

export interface Wish {
  networkId: string
  subnets: SubnetRow[]
  macAddress: string
  deviceOwner: string
  /** Undefined: one of each family, as the network has them. */
  asked: AskedIp[] | undefined
  /** Addresses that the port has already and may keep. */
  kept?: FixedIp[]
}

/** Chooses addresses and takes them. @throws Fault 400, 409 when there is none left or it is somebody else's */
export const chooseAddresses = async (work: Work, wish: Wish): Promise<FixedIp[]> => (await chooseAllAddresses(work, [wish]))[0]!

/** For each wish, as {@link chooseAddresses}; those before it have theirs already. */
export async function chooseAllAddresses(work: Work, wishes: Wish[]): Promise<FixedIp[][]> {
  const plans = wishes.map((wish) => ({ wish, needs: needsOf(wish) }))
  const free = await FreeAddresses.of(work, wantedOf(plans.flatMap(({ needs }) => needs)))
  const chosen: FixedIp[][] = []
  for (const { wish, needs } of plans) chosen.push(await choose(free, wish, needs))
  return chosen
}

/** A certain address of a subnet, or one of one of several subnets. */
type Need = { subnet: SubnetRow; address: string } | { subnets: SubnetRow[] }

/** @throws Fault 400 */
function needsOf(wish: Wish): Need[] {
  const automatic = (subnet: SubnetRow) => isAutomatic(subnet) && !wish.deviceOwner.startsWith('network:router')
  const made = (subnet: SubnetRow) => ({ subnet, address: eui64(prefixOf(subnet.cidr), wish.macAddress) })
  if (wish.asked === undefined) {
    const [four, six] = [wish.subnets.filter((one) => one.ip_version === 4), wish.subnets.filter((one) => one.ip_version === 6)]
    const any = [four, six.filter((subnet) => !automatic(subnet))].filter((subnets) => subnets.length > 0)
    return [...any.map((subnets) => ({ subnets })), ...six.filter(automatic).map(made)]
  }
  return wish.asked.map((ip) => {
    const subnet = subnetFor(wish, ip)
    if (ip.ip_address !== undefined) return { subnet, address: usable(subnet, ip.ip_address) }
    return automatic(subnet) ? made(subnet) : { subnets: [subnet] }
  })
}

function wantedOf(needs: Need[]): Wanted[] {
  const wanted = new Map<string, Wanted>()
  for (const need of needs) {
    const subnet = 'subnet' in need ? need.subnet : need.subnets[0]!
    const own = wanted.get(subnet.id) ?? { subnetId: subnet.id, pools: poolsOf(subnet), free: 0, own: [] }
    wanted.set(subnet.id, own)
    if ('subnet' in need) own.own.push(need.address)
    else own.free++
  }
  return [...wanted.values()]
}

async function choose(free: FreeAddresses, wish: Wish, needs: Need[]): Promise<FixedIp[]> {
  const chosen: FixedIp[] = []
  const kept = (subnetId: string) =>
    (wish.kept ?? []).filter(
      (ip) => ip.subnetId === subnetId && !chosen.some((one) => one.subnetId === subnetId && one.address === ip.address),
    )
  for (const need of needs) {
    if ('subnet' in need) {
      const { subnet, address } = need
      if (!kept(subnet.id).some((ip) => ip.address === address) && !(await free.take(subnet.id, address)))
        throw conflict(`IP address ${address} already allocated in subnet ${subnet.id}`, 'IpAddressAlreadyAllocated')
      chosen.push({ subnetId: subnet.id, address })
      continue
    }
    let one: FixedIp | undefined
    for (const subnet of need.subnets) {
      const address = kept(subnet.id)[0]?.address ?? (await free.any(subnet.id, poolsOf(subnet)))
      if (address !== null) one = { subnetId: subnet.id, address }
      if (one) break
    }
    if (!one) throw conflict(`No more IP addresses available on network ${wish.networkId}.`, 'IpAddressGenerationFailure')
    chosen.push(one)
  }
  return chosen
}

function subnetFor({ subnets, networkId }: Wish, { subnet_id, ip_address }: AskedIp): SubnetRow {
  if (subnet_id === undefined && ip_address === undefined)
    throw badRequest('Invalid input for operation: IP allocation requires subnet_id or ip_address.', 'InvalidInput')
  if (subnet_id !== undefined) {
    const subnet = subnets.find((one) => one.id === subnet_id)
    if (!subnet)
      throw badRequest(
        `Invalid input for operation: Failed to create port on network ${networkId}, because fixed_ips included invalid subnet ${subnet_id}.`,
        'InvalidInput',
      )
    return subnet
  }
  const address = canonical(ip_address!)
  const subnet = subnets.find((one) => contains(prefixOf(one.cidr), address))
  if (!subnet)
    throw badRequest(`IP address ${address} is not a valid IP for any of the subnets on the specified network.`, 'InvalidIpForNetwork')
  return subnet
}

/** The address as it is kept, if a port of this subnet may have it. @throws Fault 400 */
function usable(subnet: SubnetRow, text: string): string {
  const address = canonical(text)
  const prefix = prefixOf(subnet.cidr)
  const value = numberOf(address)
  const edge = subnet.ip_version === 4 && prefix.length < 31 && (value === prefix.first || value === prefix.last)
  if (versionOf(address) !== subnet.ip_version || !contains(prefix, address) || edge)
    throw badRequest(`IP address ${address} is not a valid IP for the specified subnet.`, 'InvalidIpForSubnet')
  return address
}

export const allocationRows = (portId: string, networkId: string, ips: FixedIp[]): AllocationRow[] =>
  ips.map(({ subnetId, address }, position) => ({ subnet_id: subnetId, address, port_id: portId, network_id: networkId, position }))
