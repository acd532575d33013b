import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { autoAllocatedTopology, checkRequirements, deleteAutoAllocatedTopology } from '../app/auto-allocated-topology.ts'
import type { NetworkContext } from '../app/context.ts'
import { TopologyAnswer } from './answers.ts'
import { Fields, viewerOf } from './request.ts'

/** Clients that know no project ask for that of their token. */
const NOBODYS = ['None', 'null']
const projectOf = ({ params: { id }, context }: ApiRequest) => (NOBODYS.includes(id!) ? context.projectId : id!)

/** @throws Fault 400 */
function projectIn(request: ApiRequest): string {
  const project = projectOf(request)
  if (!project) throw badRequest('Running without a project: project_id is needed.', 'HTTPBadRequest')
  return project
}

export function autoAllocatedTopologyRoutes(context: NetworkContext): Route[] {
  const path = '/auto-allocated-topology/:id'
  const target = (request: ApiRequest) => ({ project_id: projectOf(request), tenant_id: projectOf(request) })
  return [
    {
      method: 'GET',
      path,
      doc: "Show a project's automatically allocated network, made where there is none; fields=dry-run: whether it could be",
      policy: 'get_auto_allocated_topology',
      target,
      query: Fields,
      response: TopologyAnswer,
      async handler(request) {
        const project = projectIn(request)
        const fields = [request.query.fields ?? []].flat().flatMap((text: string) => String(text).split(','))
        const topology = (id: string) => ({ auto_allocated_topology: { id, project_id: project, tenant_id: project } })
        if (fields.includes('dry-run')) {
          await checkRequirements(context, viewerOf(request))
          return topology('dry-run=pass')
        }
        if (fields.length > 0) throw badRequest('Bad auto_allocate request: Unrecognized field.', 'BadRequest')
        return topology(await autoAllocatedTopology(context, viewerOf(request), project))
      },
    },
    {
      method: 'DELETE',
      path,
      doc: "Delete a project's automatically allocated network with its router",
      policy: 'delete_auto_allocated_topology',
      target,
      response: 'nothing',
      async handler(request) {
        await deleteAutoAllocatedTopology(context, projectIn(request))
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}
