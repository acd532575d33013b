import type { PortRow } from '../db/tables.ts'
import type { NetworkContext } from './context.ts'
import type { AddressPair } from './port.ts'

type WithPairs = Pick<PortRow, 'allowed_address_pairs'>

export const pairsOf = (port: WithPairs): AddressPair[] => JSON.parse(port.allowed_address_pairs)

const cidrOf = (address: string) => (address.includes('/') ? address : `${address}/${address.includes(':') ? 128 : 32}`)

/** What a port with these addresses brings into its groups: every address (CIDR) that it has or may send from. */
export const memberAddresses = (port: WithPairs, addresses: string[]): string[] => [
  ...new Set([...addresses, ...pairsOf(port).map((pair) => pair.ip_address)].map(cidrOf)),
]

/** Every address (CIDR) that the ports of these groups have or may send from. */
export async function groupAddresses({ database: { db } }: NetworkContext, groupIds: string[]): Promise<Record<string, string[]>> {
  if (groupIds.length === 0) return {}
  const found = new Map(groupIds.map((id) => [id, new Set<string>()]))
  const addresses = await db
    .selectFrom('port_security_groups as g')
    .innerJoin('allocations as a', 'a.port_id', 'g.port_id')
    .select(['g.security_group_id', 'a.address'])
    .where('g.security_group_id', 'in', groupIds)
    .execute()
  const pairs = await db
    .selectFrom('ports as p')
    .crossJoin('port_security_groups as g') // the few ports with pairs first: SQLite keeps to the order of a cross join
    .select(['g.security_group_id', 'p.allowed_address_pairs'])
    .where('p.allowed_address_pairs', '>', '[]')
    .whereRef('g.port_id', '=', 'p.id')
    .where('g.security_group_id', 'in', groupIds)
    .execute()
  for (const { security_group_id, address } of addresses) found.get(security_group_id)!.add(cidrOf(address))
  for (const row of pairs) for (const { ip_address } of pairsOf(row)) found.get(row.security_group_id)!.add(cidrOf(ip_address))
  return Object.fromEntries([...found].map(([group, all]) => [group, [...all].sort()]))
}
