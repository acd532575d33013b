import type { Handle } from '../db/handle.ts'
import { rowsWhere } from '../db/rows.ts'
import { isAlive } from './agents.ts'
import type { NetworkContext } from './context.ts'

export type ServingAgent = 'DHCP agent' | 'L3 agent'

/** So many hosts serve a network's addresses, if there are as many: when one dies, guests still get theirs. */
export const DHCP_HOSTS = 2

/** Hosts whose agent lives and may be given work, those that have least of it first. */
export async function candidates(db: Handle, context: NetworkContext, agentType: ServingAgent): Promise<string[]> {
  const agents = (await rowsWhere(db, 'agents', 'agent_type', [agentType])).filter(
    (agent) => isAlive(agent) && agent.admin_state_up === 1 && !context.heartbeats.isDead(agent.host),
  )
  if (agents.length < 2) return agents.map((agent) => agent.host)
  const load = new Map((await loads(db, agentType)).map((row) => [row.host, Number(row.n)]))
  const loadOf = (host: string) => load.get(host) ?? 0
  return agents.map((agent) => agent.host).sort((a, b) => loadOf(a) - loadOf(b) || a.localeCompare(b))
}

const loads = (db: Handle, agentType: ServingAgent): Promise<{ host: string; n: number | string | bigint }[]> =>
  agentType === 'L3 agent'
    ? db
        .selectFrom('routers')
        .select((eb) => ['host', eb.fn.countAll().as('n')])
        .groupBy('host')
        .execute()
    : db
        .selectFrom('ports')
        .select((eb) => ['host', eb.fn.countAll().as('n')])
        .where('device_owner', '=', 'network:dhcp')
        .groupBy('host')
        .execute()

/** Where so many new routers are to be, in turn; empty while no agent lives: the first that reports takes them. */
export async function hostsForRouters(db: Handle, context: NetworkContext, routers: number): Promise<string[]> {
  const hosts = await candidates(db, context, 'L3 agent')
  return Array.from({ length: routers }, (_, i) => hosts[i % hosts.length] ?? '')
}

/** Where the addresses of so many new networks are to be served: each goes on where the one before ended. */
export async function hostsForDhcp(db: Handle, context: NetworkContext, networks: number): Promise<string[][]> {
  const hosts = await candidates(db, context, 'DHCP agent')
  const each = Math.min(DHCP_HOSTS, hosts.length)
  return Array.from({ length: networks }, (_, i) =>
    each === 0 ? [''] : Array.from({ length: each }, (_, j) => hosts[(i * each + j) % hosts.length]!),
  )
}
