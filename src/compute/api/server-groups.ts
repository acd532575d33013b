import Type from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import type { ComputeContext } from '../app/context.ts'
import { createServerGroup, deleteServerGroup, findServerGroup, listServerGroups, type ServerGroup } from '../app/server-group.ts'
import { ServerGroupView, Shown } from './answers.ts'
import { Choice, Count, closed, Name, Wrapped, wholeNumber } from './common.ts'
import { refuseUnknown, required } from './since.ts'

const POLICIES = ['anti-affinity', 'affinity', 'soft-anti-affinity', 'soft-affinity']
const Body = Wrapped(
  'server_group',
  Type.Object(
    {
      name: Name,
      policies: Type.Optional(Type.Array(Choice(POLICIES), { minItems: 1, maxItems: 1 })),
      policy: Type.Optional(Choice(POLICIES)),
      rules: Type.Optional(Type.Object({ max_server_per_host: Type.Optional(Count(1)) }, closed)),
    },
    closed,
  ),
)

export function serverGroupRoutes(context: ComputeContext): Route[] {
  const policy = (name: string) => `os_compute_api:os-server-groups:${name}`
  const find = (request: ApiRequest) =>
    findServerGroup(context, request.params.id!, request.context.isAdmin ? null : request.context.projectId)
  const target = async (request: ApiRequest) => ({ project_id: (await find(request)).project_id })
  const Answer = Shown('server_group', ServerGroupView)
  return [
    {
      method: 'GET',
      path: '/os-server-groups',
      doc: 'List server groups',
      policy: policy('index'),
      query: queryOf('all_projects', 'limit', 'offset'),
      response: Shown('server_groups', Type.Array(ServerGroupView)),
      async handler(request) {
        const all = request.context.isAdmin && request.query.all_projects !== undefined
        const groups = await listServerGroups(context, all ? null : request.context.projectId)
        const from = wholeNumber('offset', request.query.offset) ?? 0
        const limit = wholeNumber('limit', request.query.limit) ?? 1000
        return { server_groups: groups.slice(from, from + limit).map((one) => view(request, one)) }
      },
    },
    {
      method: 'POST',
      path: '/os-server-groups',
      doc: 'Create a server group: servers that stay together, or apart',
      policy: policy('create'),
      body: Body,
      response: Answer,
      async handler(request) {
        const { name, policies, policy: one, rules } = request.body.server_group
        refuseUnknown(request, 'server_group', request.body.server_group, { policies: '2.1-2.63', policy: '2.64', rules: '2.64' })
        const wanted = one ?? policies?.[0]
        if (!wanted) throw required('server_group', request.version.atLeast('2.64') ? 'policy' : 'policies')
        if (wanted.startsWith('soft-') && !request.version.atLeast('2.15'))
          throw badRequest(`Invalid input for field/attribute 0. Value: ${wanted}. '${wanted}' is not one of ['anti-affinity', 'affinity']`)
        if (rules?.max_server_per_host && wanted !== 'anti-affinity') throw badRequest('Only anti-affinity policy supports rules.')
        const owner = { projectId: request.context.projectId!, userId: request.context.userId! }
        const numbers = rules?.max_server_per_host ? { max_server_per_host: Number(rules.max_server_per_host) } : {}
        return { server_group: view(request, await createServerGroup(context, owner, { name, policy: wanted, rules: numbers })) }
      },
    },
    {
      method: 'GET',
      path: '/os-server-groups/:id',
      doc: 'Show a server group',
      policy: policy('show'),
      target,
      response: Answer,
      handler: async (request) => ({ server_group: view(request, await find(request)) }),
    },
    {
      method: 'DELETE',
      path: '/os-server-groups/:id',
      doc: 'Delete a server group; its servers stay',
      policy: policy('delete'),
      target,
      status: 204,
      response: 'nothing',
      async handler(request) {
        await find(request)
        await deleteServerGroup(context, request.params.id!)
      },
    },
  ]
}

const view = (request: ApiRequest, one: ServerGroup) => ({
  id: one.id,
  name: one.name,
  ...(request.version.atLeast('2.64') ? { policy: one.policy, rules: one.rules } : { policies: [one.policy], metadata: {} }),
  members: one.members,
  ...(request.version.atLeast('2.13') ? { project_id: one.project_id, user_id: one.user_id } : {}),
})
