import { conflict } from '../../kernel/errors/errors.ts'
import { rowsWhere } from '../db/rows.ts'
import type { PortRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { type Agent, listAgents } from './agents.ts'
import { mutate, type NetworkContext } from './context.ts'
import { addDhcpPorts } from './dhcp-port.ts'
import { type Network, networkNoun } from './networks.ts'
import { missing } from './noun.ts'
import { removePortRows } from './port-removal.ts'
import { type Router, routerLock, routerNoun } from './router.ts'
import { placeRouter } from './scheduling.ts'
import type { ServingAgent } from './serving-hosts.ts'

/** @throws Fault 409 when the agent is not one that does this, or may not be used */
function check(agent: Agent, agentType: ServingAgent, { usable = false } = {}): void {
  const short = agentType === 'DHCP agent' ? 'DHCP' : 'L3'
  if (agent.agent_type !== agentType || (usable && agent.admin_state_up !== 1))
    throw conflict(`Agent ${agent.id} is not a valid ${short} Agent or has been disabled`, `Invalid${short === 'L3' ? 'L3' : 'DHCP'}Agent`)
}

const dhcpServers = async ({ database: { db } }: NetworkContext, column: 'network_id' | 'host', value: string): Promise<PortRow[]> =>
  (await rowsWhere(db, 'ports', column, [value])).filter((port) => port.device_owner === 'network:dhcp')

/** @throws Fault 409 for an agent of another kind */
export async function networksOf(context: NetworkContext, agent: Agent): Promise<Network[]> {
  if (agent.agent_type !== 'DHCP agent') return []
  const { db } = context.database
  const ids = (await dhcpServers(context, 'host', agent.host)).map((port) => port.network_id)
  return await networkNoun.dress(db, await rowsWhere(db, 'networks', 'id', ids), context)
}

export async function dhcpAgentsOf(context: NetworkContext, network: Network): Promise<Agent[]> {
  const hosts = (await dhcpServers(context, 'network_id', network.id)).map((port) => port.host)
  return (await listAgents(context)).filter((agent) => agent.agent_type === 'DHCP agent' && hosts.includes(agent.host))
}

/** One more host serves the network's addresses. @throws Fault 409 */
export async function addNetwork(context: NetworkContext, agent: Agent, network: Network): Promise<void> {
  check(agent, 'DHCP agent', { usable: true })
  await mutate(context, [`network:${network.id}`], async (work) => {
    if ((await rowsWhere(work.trx, 'networks', 'id', [network.id])).length === 0) throw missing(networkNoun, network.id)
    const servers = await rowsWhere(work.trx, 'ports', 'network_id', [network.id])
    if (servers.some((port) => port.device_owner === 'network:dhcp' && port.host === agent.host))
      throw conflict(`The network ${network.id} has been already hosted by the DHCP Agent ${agent.id}.`, 'NetworkHostedByDHCPAgent')
    await addDhcpPorts(work, [{ networkId: network.id, host: agent.host }])
    work.after.push(() => context.bus.publish(events.networkChanged, { networkId: network.id }))
  })
}

/** @throws Fault 409 */
export async function removeNetwork(context: NetworkContext, agent: Agent, network: Network): Promise<void> {
  check(agent, 'DHCP agent')
  await mutate(context, [`network:${network.id}`], async (work) => {
    const ports = await rowsWhere(work.trx, 'ports', 'network_id', [network.id])
    const server = ports.find((port) => port.device_owner === 'network:dhcp' && port.host === agent.host)
    if (!server) throw conflict(`The network ${network.id} is not hosted by the DHCP agent ${agent.id}.`, 'NetworkNotHostedByDhcpAgent')
    await removePortRows(work, [server])
    work.after.push(() => context.bus.publish(events.networkChanged, { networkId: network.id }))
  })
}

export async function routersOf(context: NetworkContext, agent: Agent): Promise<Router[]> {
  if (agent.agent_type !== 'L3 agent') return []
  const { db } = context.database
  return await routerNoun.dress(db, await rowsWhere(db, 'routers', 'host', [agent.host]), context)
}

export async function l3AgentsOf(context: NetworkContext, router: Router): Promise<Agent[]> {
  return (await listAgents(context)).filter((agent) => agent.agent_type === 'L3 agent' && agent.host === router.host)
}

/** Gives a router that is nowhere to this agent's host. @throws Fault 409 */
export async function addRouter(context: NetworkContext, agent: Agent, router: Router): Promise<void> {
  check(agent, 'L3 agent', { usable: true })
  await mutate(context, [routerLock(router.id)], async (work) => {
    const [now] = await rowsWhere(work.trx, 'routers', 'id', [router.id])
    if (!now) throw missing(routerNoun, router.id)
    if (now.host) throw conflict(`The router ${router.id} has been already hosted by the L3 Agent ${now.host}.`, 'RouterHostedByL3Agent')
    await placeRouter(work, router.id, agent.host)
  })
}

/** The router is nowhere until somebody gives it to an agent, or one starts. @throws Fault 409 */
export async function removeRouter(context: NetworkContext, agent: Agent, router: Router): Promise<void> {
  check(agent, 'L3 agent')
  await mutate(context, [routerLock(router.id)], async (work) => {
    const [now] = await rowsWhere(work.trx, 'routers', 'id', [router.id])
    if (!now) throw missing(routerNoun, router.id)
    if (now.host !== agent.host)
      throw conflict(`The router ${router.id} is not hosted by L3 agent ${agent.id}.`, 'RouterNotHostedByL3Agent')
    await placeRouter(work, router.id, '')
  })
}
