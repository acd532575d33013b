import Type from 'typebox'
import { notFound } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { IdentityContext } from '../app/context.ts'
import { findProject } from '../app/project.ts'
import { changeTags, tagsIn, without } from '../app/project-tags.ts'
import { closed } from './schemas.ts'

const Tags = Type.Object({ tags: Type.Array(Type.String()) }, closed)
const Shown = Type.Object({ tags: Type.Array(Type.String()), links: Type.Object({ self: Type.String() }) })

/** Words that users sort their projects by. */
export function projectTagRoutes(context: IdentityContext): Route[] {
  const path = '/projects/:id/tags'
  const project = (request: ApiRequest) => findProject(context, request.params.id!, null)
  const change = (request: ApiRequest, how: (tags: string[]) => string[]) => changeTags(context, request.params.id!, how)
  const target = (request: ApiRequest) => ({ 'target.project.id': request.params.id })
  const view = (request: ApiRequest, tags: string[]) => ({ tags, links: { self: request.link(`/projects/${request.params.id}/tags`) } })
  return [
    {
      method: 'GET',
      path,
      doc: 'List a project’s tags',
      policy: 'identity:list_project_tags',
      target,
      response: Shown,
      handler: async (request) => view(request, tagsIn(await project(request))),
    },
    {
      method: 'PUT',
      path,
      doc: 'Set a project’s tags',
      policy: 'identity:update_project_tags',
      body: Tags,
      response: Shown,
      handler: async (request) => view(request, await change(request, () => request.body.tags)),
    },
    {
      method: 'DELETE',
      path,
      doc: 'Remove all tags of a project',
      policy: 'identity:delete_project_tags',
      status: 204,
      response: 'nothing',
      handler: async (request) => void (await change(request, () => [])),
    },
    {
      method: 'GET',
      path: `${path}/:tag`,
      doc: 'Whether a project has a tag',
      policy: 'identity:get_project_tag',
      target,
      status: 204,
      response: 'nothing',
      async handler(request) {
        const { tag } = request.params
        if (!tagsIn(await project(request)).includes(tag!)) throw notFound(`Could not find project tag: ${tag}.`)
      },
    },
    {
      method: 'PUT',
      path: `${path}/:tag`,
      doc: 'Give a project a tag',
      policy: 'identity:create_project_tag',
      status: 201,
      response: 'nothing',
      async handler(request) {
        const { id, tag } = request.params
        await change(request, (tags) => [...new Set([...tags, tag!])])
        return new Reply(undefined, { headers: { Location: request.link(`/projects/${id}/tags/${encodeURIComponent(tag!)}`) } })
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:tag`,
      doc: 'Take a tag from a project',
      policy: 'identity:delete_project_tag',
      status: 204,
      response: 'nothing',
      handler: async (request) => void (await change(request, (tags) => without(tags, request.params.tag!))),
    },
  ]
}
