import Type, { type TSchema } from 'typebox'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { addNetwork, addRouter, dhcpAgentsOf, l3AgentsOf, networksOf, removeNetwork, removeRouter, routersOf } from '../app/agent-duties.ts'
import { type Agent, agentById } from '../app/agents.ts'
import type { NetworkContext } from '../app/context.ts'
import { networkNoun } from '../app/networks.ts'
import { type Noun, see } from '../app/noun.ts'
import { routerNoun } from '../app/router.ts'
import { type Answered, many } from './answers.ts'
import { Fields, shown, viewerOf } from './request.ts'
import { Id, open } from './schemas.ts'
import { agentView, networkView, routerView } from './views.ts'

interface Duty<D> {
  /** `dhcp-network`: of the address below an agent, and of the policy. */
  name: string
  noun: Noun<any, D>
  body: TSchema
  agents: string
  view: (item: D) => Record<string, unknown>
  served: (context: NetworkContext, agent: Agent) => Promise<D[]>
  servers: (context: NetworkContext, item: D) => Promise<Agent[]>
  add: (context: NetworkContext, agent: Agent, item: D) => Promise<void>
  remove: (context: NetworkContext, agent: Agent, item: D) => Promise<void>
}

function dutyRoutes<D>(context: NetworkContext, duty: Duty<D>): Route[] {
  const { name, noun } = duty
  const path = `/agents/:id/${name}s`
  const agent = (request: ApiRequest) => agentById(context, request.params.id!)
  const item = (request: ApiRequest, id: string) => see(context, noun, viewerOf(request), id)
  return [
    {
      method: 'GET',
      path,
      doc: `List the ${noun.plural} that an agent serves`,
      policy: `get_${name}s`,
      query: Fields,
      response: many(noun.plural, noun.name as Answered),
      handler: async (request) => ({
        [noun.plural]: (await duty.served(context, await agent(request))).map((one) => shown(request, noun.name, duty.view(one))),
      }),
    },
    {
      method: 'POST',
      path,
      doc: `Let an agent serve a ${noun.name}`,
      policy: `create_${name}`,
      body: duty.body,
      status: 201,
      response: Type.Object({}),
      async handler(request) {
        await duty.add(context, await agent(request), await item(request, request.body[`${noun.name}_id`]))
        return new Reply({}, { status: 201 })
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:item`,
      doc: `Let an agent no longer serve a ${noun.name}`,
      policy: `delete_${name}`,
      response: 'nothing',
      async handler(request) {
        await duty.remove(context, await agent(request), await item(request, request.params.item!))
        return new Reply(undefined, { status: 204 })
      },
    },
    {
      method: 'GET',
      path: `/${noun.plural}/:id/${duty.agents}`,
      doc: `List the agents that serve a ${noun.name}`,
      policy: `get_${duty.agents}`,
      query: Fields,
      response: many('agents', 'agent'),
      handler: async (request) => ({
        agents: (await duty.servers(context, await item(request, request.params.id!))).map((one) =>
          shown(request, 'agent', agentView(one)),
        ),
      }),
    },
  ]
}

/** Which host serves a network's addresses, and which has a router. */
export const agentDutyRoutes = (context: NetworkContext): Route[] => [
  ...dutyRoutes(context, {
    name: 'dhcp-network',
    noun: networkNoun,
    body: open({ network_id: Id }, ['network_id']),
    agents: 'dhcp-agents',
    view: networkView,
    served: networksOf,
    servers: dhcpAgentsOf,
    add: addNetwork,
    remove: removeNetwork,
  }),
  ...dutyRoutes(context, {
    name: 'l3-router',
    noun: routerNoun,
    body: open({ router_id: Id }, ['router_id']),
    agents: 'l3-agents',
    view: routerView,
    served: routersOf,
    servers: l3AgentsOf,
    add: addRouter,
    remove: removeRouter,
  }),
]
