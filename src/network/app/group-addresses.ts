import type { Kysely } from 'kysely'
import { prepared } from '../../kernel/db/prepared.ts'
import type { NetworkTables, PortRow } from '../db/tables.ts'
import type { NetworkContext } from './context.ts'
import type { AddressPair } from './port.ts'

type WithPairs = Pick<PortRow, 'allowed_address_pairs'>

export const pairsOf = (port: WithPairs): AddressPair[] => JSON.parse(port.allowed_address_pairs)

const cidrOf = (address: string) => (address.includes('/') ? address : `${address}/${address.includes(':') ? 128 : 32}`)

/** What a port with these addresses brings into its groups: every address (CIDR) that it has or may send from. */
export const memberAddresses = (port: WithPairs, addresses: string[]): string[] => [
  ...new Set([...addresses, ...pairsOf(port).map((pair) => pair.ip_address)].map(cidrOf)),
]

const membersOf = prepared((db: Kysely<NetworkTables>, { groupId }: { groupId: string }) =>
  db
    .selectFrom('port_security_groups as g')
    .innerJoin('allocations as a', 'a.port_id', 'g.port_id')
    .select('a.address')
    .where('g.security_group_id', '=', groupId),
)

const pairsOfMembers = prepared((db: Kysely<NetworkTables>, { groupId }: { groupId: string }) =>
  db
    .selectFrom('ports as p')
    .crossJoin('port_security_groups as g') // the few ports with pairs first: SQLite keeps to the order of a cross join
    .select('p.allowed_address_pairs')
    .where('p.allowed_address_pairs', '>', '[]')
    .whereRef('g.port_id', '=', 'p.id')
    .where('g.security_group_id', '=', groupId),
)

/** Every address (CIDR) that the ports of these groups have or may send from, in no order: a new host on which there is a member asks for them all. */
export async function groupAddresses({ database: { db } }: NetworkContext, groupIds: string[]): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {}
  for (const groupId of new Set(groupIds)) {
    const [members, pairs] = await Promise.all([membersOf(db, { groupId }), pairsOfMembers(db, { groupId })])
    const addresses = new Set<string>()
    for (const { address } of members.rows) addresses.add(cidrOf(address))
    for (const row of pairs.rows) for (const { ip_address } of pairsOf(row)) addresses.add(cidrOf(ip_address))
    found[groupId] = [...addresses]
  }
  return found
}
