import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import { canonical, contains, numberOf, overlaps, type Prefix, prefixOf, type Range, textOf } from './addresses.ts'

export interface Pool {
  start: string
  end: string
}

const wrong = (message: string) => badRequest(`Invalid input for operation: ${message}.`, 'InvalidInput')

/** Undefined: the first address of the subnet; null: none. @throws Fault 400 */
export function gatewayFor(prefix: Prefix, asked: string | null | undefined): string | null {
  if (asked === null) return null
  if (asked === undefined) return prefix.length >= (prefix.version === 4 ? 31 : 127) ? null : textOf(prefix.version, prefix.first + 1n)
  const gateway = canonical(asked, 'gateway IP address')
  if (gateway.includes(':') !== (prefix.version === 6))
    throw wrong(`gateway_ip '${asked}' does not match the ip_version '${prefix.version}'`)
  const value = numberOf(gateway)
  if (prefix.version === 4 && prefix.length < 31 && (value === prefix.first || value === prefix.last))
    throw wrong(`Gateway ${asked} is not valid on subnet`)
  return gateway
}

/** All addresses that ports may have, but for the gateway's. */
export function usualPools(prefix: Prefix, gateway: string | null): Pool[] {
  const small = prefix.length >= (prefix.version === 4 ? 31 : 127)
  const first = small ? prefix.first : prefix.first + 1n
  const last = small || prefix.version === 6 ? prefix.last : prefix.last - 1n
  const at = gateway !== null && contains(prefix, gateway) ? numberOf(gateway) : null
  const ranges =
    at === null || at < first || at > last
      ? [[first, last]]
      : [
          [first, at - 1n],
          [at + 1n, last],
        ]
  return ranges
    .filter(([start, end]) => start! <= end!)
    .map(([start, end]) => ({ start: textOf(prefix.version, start!), end: textOf(prefix.version, end!) }))
}

/** @throws Fault 400 or 409 saying which pool is wrong */
export function checkPools(prefix: Prefix, pools: Pool[]): Pool[] {
  const ranges: Range[] = []
  for (const { start, end } of pools) {
    const range = { version: prefix.version, first: numberOf(start), last: numberOf(end) }
    if (range.first > range.last) throw badRequest(`The allocation pool ${start}-${end} is not valid.`, 'InvalidAllocationPool')
    const edge = prefix.version === 4 && prefix.length < 31 ? 1n : 0n
    if (!contains(prefix, start) || !contains(prefix, end) || range.first < prefix.first + edge || range.last > prefix.last - edge)
      throw badRequest(`The allocation pool ${start}-${end} spans beyond the subnet cidr ${prefix.text}.`, 'OutOfBoundsAllocationPool')
    const other = ranges.find((one) => overlaps(one, range))
    if (other)
      throw conflict(
        `Found overlapping allocation pools: ${textOf(other.version, other.first)}-${textOf(other.version, other.last)} ${start}-${end} for subnet ${prefix.text}.`,
        'OverlappingAllocationPools',
      )
    ranges.push(range)
  }
  return pools.map(({ start, end }) => ({ start: canonical(start), end: canonical(end) }))
}

/** @throws Fault 409 */
export function checkGatewayOutside(gateway: string | null, pools: Pool[]): void {
  if (gateway === null) return
  for (const { start, end } of pools)
    if (gateway.includes(':') === start.includes(':') && numberOf(gateway) >= numberOf(start) && numberOf(gateway) <= numberOf(end))
      throw conflict(`Gateway ip ${gateway} conflicts with allocation pool ${start}-${end}.`, 'GatewayConflictWithAllocationPools')
}

/** @throws Fault 400 */
export function checkNameservers(addresses: string[]): string[] {
  if (addresses.length > 5) throw badRequest('The number of DNS nameservers exceeds the limit of 5.', 'DNSNameServersExhausted')
  const kept = addresses.map((address) => canonical(address, 'nameserver'))
  if (new Set(kept).size < kept.length) throw badRequest('The list of nameservers has duplicates.', 'InvalidInput')
  return kept
}

export interface HostRoute {
  destination: string
  nexthop: string
}

/** @throws Fault 400 */
export function checkRoutes(routes: HostRoute[], most: number): HostRoute[] {
  if (routes.length > most) throw badRequest(`The number of routes exceeds the maximum ${most}.`, 'RoutesExhausted')
  return routes.map(({ destination, nexthop }) => {
    const prefix = prefixOf(destination, 'route destination')
    const via = canonical(nexthop, 'nexthop')
    if (via.includes(':') !== (prefix.version === 6)) throw wrong(`route to ${destination} via ${nexthop} mixes IP versions`)
    return { destination: prefix.text, nexthop: via }
  })
}
