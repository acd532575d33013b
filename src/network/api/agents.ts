import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { agentById, deleteAgent, listAgents, updateAgent } from '../app/agents.ts'
import type { NetworkContext } from '../app/context.ts'
import { many, one } from './answers.ts'
import { converted } from './convert.ts'
import { Fields, filteredBy, shown } from './request.ts'
import { refuseOthers } from './resource.ts'
import { AgentBody, agentChange } from './schemas.ts'
import { agentView } from './views.ts'

const FILTERS = ['id', 'host', 'agent_type', 'binary', 'alive', 'admin_state_up', 'availability_zone', 'description'] as const

export function agentRoutes(context: NetworkContext): Route[] {
  const see = (request: ApiRequest) => agentById(context, request.params.id!)
  return [
    {
      method: 'GET',
      path: '/agents',
      doc: 'List the agents of the hosts, and whether they are alive: those that one may see',
      policy: 'regular_user',
      query: filteredBy(FILTERS),
      response: many('agents', 'agent'),
      async handler(request) {
        if (!request.allowed('get_agent')) return { agents: [] }
        const agents = (await listAgents(context)).map(agentView).filter((agent) =>
          FILTERS.every((name) => {
            const wanted = [request.query[name] ?? []].flat().map((value) => String(value).toLowerCase())
            return wanted.length === 0 || wanted.includes(String(agent[name]).toLowerCase())
          }),
        )
        return { agents: agents.map((agent) => shown(request, 'agent', agent)) }
      },
    },
    {
      method: 'GET',
      path: '/agents/:id',
      doc: 'Show an agent',
      policy: 'get_agent',
      query: Fields,
      response: one('agent'),
      handler: async (request) => ({ agent: shown(request, 'agent', agentView(await see(request))) }),
    },
    {
      method: 'PUT',
      path: '/agents/:id',
      doc: 'Describe an agent, or mark it as not to be used',
      policy: 'update_agent',
      body: AgentBody,
      response: one('agent'),
      async handler(request) {
        refuseOthers(agentChange, 'agent', request.body.agent, (name) => `Cannot update read-only attribute ${name}`)
        return { agent: agentView(await updateAgent(context, await see(request), converted(request.body.agent))) }
      },
    },
    {
      method: 'DELETE',
      path: '/agents/:id',
      doc: 'Forget an agent; one that still reports comes back',
      policy: 'delete_agent',
      response: 'nothing',
      async handler(request) {
        await deleteAgent(context, await see(request))
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}
