import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { AllocationRow, SubnetRow } from '../db/tables.ts'
import type { FixedIp } from '../rpc.ts'
import { canonical, contains, eui64, numberOf, prefixOf, type Range, versionOf } from './addresses.ts'
import type { Work } from './context.ts'
import { freeAddress, isTaken } from './free-addresses.ts'

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

interface Wish {
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
export async function chooseAddresses(work: Work, wish: Wish): Promise<FixedIp[]> {
  const chosen: FixedIp[] = []
  const isChosen = (subnet: SubnetRow, address: string) => chosen.some((one) => one.subnetId === subnet.id && one.address === address)
  const isKept = (subnet: SubnetRow, address: string) =>
    wish.kept?.some((one) => one.subnetId === subnet.id && one.address === address) ?? false
  const own = async (subnet: SubnetRow, address: string) => {
    if (isChosen(subnet, address) || (!isKept(subnet, address) && (await isTaken(work, subnet.id, address))))
      throw conflict(`IP address ${address} already allocated in subnet ${subnet.id}`, 'IpAddressAlreadyAllocated')
    chosen.push({ subnetId: subnet.id, address })
  }
  const some = async (subnets: SubnetRow[]): Promise<boolean> => {
    for (const subnet of subnets) {
      const kept = wish.kept?.find((ip) => ip.subnetId === subnet.id && !isChosen(subnet, ip.address))
      const address = kept?.address ?? (await freeAddress(work, subnet.id, poolsOf(subnet), (one) => isChosen(subnet, one)))
      if (address === null) continue
      chosen.push({ subnetId: subnet.id, address })
      return true
    }
    return false
  }
  const noneLeft = () => conflict(`No more IP addresses available on network ${wish.networkId}.`, 'IpAddressGenerationFailure')
  const automatic = (subnet: SubnetRow) => isAutomatic(subnet) && !wish.deviceOwner.startsWith('network:router')

  if (wish.asked === undefined) {
    const [four, six] = [wish.subnets.filter((one) => one.ip_version === 4), wish.subnets.filter((one) => one.ip_version === 6)]
    const stateful = six.filter((subnet) => !automatic(subnet))
    if (four.length > 0 && !(await some(four))) throw noneLeft()
    if (stateful.length > 0 && !(await some(stateful))) throw noneLeft()
    for (const subnet of six.filter(automatic)) await own(subnet, eui64(prefixOf(subnet.cidr), wish.macAddress))
    return chosen
  }
  for (const ip of wish.asked) {
    const subnet = subnetFor(wish, ip)
    if (ip.ip_address !== undefined) await own(subnet, usable(subnet, ip.ip_address))
    else if (automatic(subnet)) await own(subnet, eui64(prefixOf(subnet.cidr), wish.macAddress))
    else if (!(await some([subnet]))) throw noneLeft()
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
