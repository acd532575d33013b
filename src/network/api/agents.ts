import Type from 'typebox'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { agentById, deleteAgent, listAgents, updateAgent } from '../app/agents.ts'
import type { NetworkContext } from '../app/context.ts'
import { converted } from './convert.ts'
import { shown } from './request.ts'
import { AgentBody } from './schemas.ts'
import { agentView } from './views.ts'

const View = Type.Record(Type.String(), Type.Unknown())
const FILTERS = ['id', 'host', 'agent_type', 'binary', 'alive', 'admin_state_up', 'availability_zone', 'description'] as const

export function agentRoutes(context: NetworkContext): Route[] {
  const one = Type.Object({ agent: View })
  const see = (request: ApiRequest) => agentById(context, request.params.id!)
  return [
    {
      method: 'GET',
      path: '/agents',
      doc: 'List the agents of the hosts, and whether they are alive: those that one may see',
      policy: 'regular_user',
      response: Type.Object({ agents: Type.Array(View) }),
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
      response: one,
      handler: async (request) => ({ agent: shown(request, 'agent', agentView(await see(request))) }),
    },
    {
      method: 'PUT',
      path: '/agents/:id',
      doc: 'Describe an agent, or mark it as not to be used',
      policy: 'update_agent',
      body: AgentBody,
      response: one,
      handler: async (request) => ({ agent: agentView(await updateAgent(context, await see(request), converted(request.body.agent))) }),
    },
    {
      method: 'DELETE',
      path: '/agents/:id',
      doc: 'Forget an agent; one that still reports comes back',
      policy: 'delete_agent',
      async handler(request) {
        await deleteAgent(context, await see(request))
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}
