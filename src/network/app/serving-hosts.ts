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

/** Where a new router is to be; empty while no agent lives: the first that reports takes it. */
export const hostForRouter = async (db: Handle, context: NetworkContext): Promise<string> =>
  (await candidates(db, context, 'L3 agent'))[0] ?? ''

/** Where a new network's addresses are to be served. */
export async function hostsForDhcp(db: Handle, context: NetworkContext): Promise<string[]> {
  const hosts = await candidates(db, context, 'DHCP agent')
  return hosts.length > 0 ? hosts.slice(0, DHCP_HOSTS) : ['']
}
