import Type from 'typebox'
import { notFound } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import type { Noun } from '../app/noun.ts'
import { setTags } from '../app/standard.ts'
import { TagsBody } from './schemas.ts'
import { seen } from './seen.ts'

const Tags = Type.Object({ tags: Type.Array(Type.String()) })

/** Tags of one kind of resource. */
export function tagRoutes(of: { context: NetworkContext; noun: Noun<any, any>; path: string }, target: Route['target']): Route[] {
  const { context, noun } = of
  const path = `/${of.path}/:id/tags`
  const tagsOf = async (request: ApiRequest): Promise<string[]> =>
    JSON.parse(((await seen(context, noun, request)) as { tags: string }).tags)
  const change = async (request: ApiRequest, how: (tags: string[]) => string[]) => {
    await seen(context, noun, request)
    return await setTags(context, noun as Noun, request.params.id!, how)
  }
  const missing = (request: ApiRequest) => notFound(`Tag ${request.params.tag} could not be found.`, 'TagNotFound')
  const read = { policy: `get_${noun.name}`, target }
  const write = { policy: `update_${noun.name}`, target }
  return [
    {
      ...read,
      method: 'GET',
      path,
      doc: `List the tags of a ${noun.name}`,
      response: Tags,
      handler: async (request) => ({ tags: await tagsOf(request) }),
    },
    {
      ...write,
      method: 'PUT',
      path,
      doc: `Replace the tags of a ${noun.name}`,
      body: TagsBody,
      response: Tags,
      handler: async (request) => ({ tags: await change(request, () => request.body.tags) }),
    },
    {
      ...write,
      method: 'DELETE',
      path,
      doc: `Take all tags of a ${noun.name} away`,
      response: 'nothing',
      async handler(request) {
        await change(request, () => [])
        return new Reply(undefined, { status: 204 })
      },
    },
    {
      ...read,
      method: 'GET',
      path: `${path}/:tag`,
      doc: `Tell whether a ${noun.name} has a tag`,
      response: 'nothing',
      async handler(request) {
        if (!(await tagsOf(request)).includes(request.params.tag!)) throw missing(request)
        return new Reply(undefined, { status: 204 })
      },
    },
    {
      ...write,
      method: 'PUT',
      path: `${path}/:tag`,
      doc: `Tag a ${noun.name}`,
      response: 'nothing',
      async handler(request) {
        await change(request, (tags) => [...tags, request.params.tag!])
        return new Reply(undefined, { status: 201 })
      },
    },
    {
      ...write,
      method: 'DELETE',
      path: `${path}/:tag`,
      doc: `Take a tag of a ${noun.name} away`,
      response: 'nothing',
      async handler(request) {
        if (!(await tagsOf(request)).includes(request.params.tag!)) throw missing(request)
        await change(request, (tags) => tags.filter((tag) => tag !== request.params.tag))
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}
