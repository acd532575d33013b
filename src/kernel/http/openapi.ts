import Type, { type TSchema } from 'typebox'
import type { Api } from './api.ts'
import { Reply, type Route } from './route.ts'
import { closed } from './schema.ts'
import { sharing } from './schema-sharing.ts'

type Json = Record<string, any>

const FAULT = { $ref: '#/components/responses/fault' }

/** Names of path parameters in find-my-way's form. */
const PARAMETER = /:(\w+)/g

/** What one service answers, as OpenAPI 3.1: made from the routes, with what their schemas have in common under components. */
export function openApi(apis: Api[], version: string): Json {
  const { name } = apis[0]!
  const root = `/${name}`
  const shared = sharing()
  const paths: Json = {}
  for (const api of apis)
    for (const [path, routes] of Map.groupBy(api.routes, (route) => route.path)) {
      const address = `${api.prefix.slice(root.length)}${path === '/' ? '' : path}`.replace(PARAMETER, '{$1}') || '/'
      const twin = twinOf(api, path, routes)
      paths[address] =
        twin === null
          ? pathItem(api, path, routes, shared)
          : { $ref: `#/paths/${pointer(`${api.prefix.slice(root.length)}${twin}`.replace(PARAMETER, '{$1}'))}` }
    }
  const versions = apis.flatMap(({ microversions }) => microversions ?? [])[0]
  const document = {
    openapi: '3.1.1',
    info: { title: `Yun ${name}`, version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: root }],
    security: [{ token: [] }],
    paths,
    components: {
      ...(versions
        ? {
            parameters: {
              microversion: {
                name: 'OpenStack-API-Version',
                in: 'header',
                description: `${versions.service} ${versions.min} to ${versions.max}, e.g. "${versions.service} ${versions.max}"; without it ${versions.min}`,
                schema: { type: 'string' },
              },
            },
          }
        : {}),
      responses: { fault: { description: 'Refused or failed: a fault in the words of this service' } },
      securitySchemes: { token: { type: 'apiKey', in: 'header', name: 'X-Auth-Token' } },
    },
  }
  const { schemas, ...rest } = shared.finish(document)
  return { ...rest, components: { ...rest.components, ...(Object.keys(schemas).length > 0 ? { schemas } : {}) } }
}

/** The path whose routes these are under another name, so that the document says it once. */
function twinOf(api: Api, path: string, routes: Route[]): string | null {
  const first = api.routes.find((route) => route.method === routes[0]!.method && route.handler === routes[0]!.handler)!
  if (first.path === path) return null
  const others = api.routes.filter((route) => route.path === first.path)
  return others.length === routes.length && others.every((route, i) => route.handler === routes[i]!.handler) ? first.path : null
}

function pathItem(api: Api, path: string, routes: Route[], shared: Shared): Json {
  const parameters: Json[] = [...path.matchAll(PARAMETER)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  if (api.microversions) parameters.push({ $ref: '#/components/parameters/microversion' })
  const methods = Map.groupBy(routes, (route) => route.method)
  return {
    ...(parameters.length > 0 ? { parameters } : {}),
    ...Object.fromEntries([...methods].map(([method, same]) => [method.toLowerCase(), operation(api, path, same, shared)])),
  }
}

type Shared = ReturnType<typeof sharing>

/** One method of one path: the routes differ in their microversions, or in the action that the body names. */
function operation(api: Api, path: string, routes: Route[], shared: Shared): Json {
  const [first] = routes as [Route]
  const id = `${first.method.toLowerCase()}_${wordsOf(path) || wordsOf(api.prefix)}`
  const rules = [...new Set(routes.map(({ policy }) => (typeof policy === 'string' ? policy : 'open')))]
  const many = routes.length > 1
  return {
    operationId: id,
    summary: first.action ? 'One of several actions, named by the body' : first.doc,
    ...(many && new Set(routes.map(({ doc }) => doc)).size > 1
      ? { description: routes.map((route) => `${route.action ?? range(route)}: ${route.doc}`).join('\n') }
      : {}),
    'x-policy': rules.length === 1 ? rules[0] : Object.fromEntries(routes.map((route) => [route.action ?? range(route), route.policy])),
    ...(many || !first.microversions ? {} : { 'x-microversions': range(first) }),
    ...(routes.every(({ policy }) => typeof policy !== 'string') ? { security: [] } : {}),
    ...parametersOf(routes, id, shared),
    ...requestBody(routes, id, shared),
    responses: responses(routes, id, shared),
  }
}

const wordsOf = (path: string) => path.replace(/[^\w.]+/g, '_').replace(/^_|_$/g, '')

const range = ({ microversions: { min, max } = {} }: Route) =>
  [min && `from ${min}`, max && `to ${max}`].filter(Boolean).join(' ') || 'always'

function parametersOf(routes: Route[], id: string, shared: Shared): Json {
  const found = new Map<string, { schemas: TSchema[]; required: boolean[] }>()
  for (const { query } of routes as { query?: any }[])
    for (const [name, schema] of Object.entries<TSchema>(query?.properties ?? {})) {
      const one = found.get(name) ?? { schemas: [], required: [] }
      one.schemas.push(schema)
      one.required.push((query.required ?? []).includes(name))
      found.set(name, one)
    }
  const parameters = [...found].map(([name, { schemas, required }]) => ({
    name,
    in: 'query',
    ...(required.length === routes.length && required.every(Boolean) ? { required: true } : {}),
    schema: shared.either(
      schemas.map((schema) => ({ schema })),
      `${id}.${name}`,
    ),
  }))
  return parameters.length > 0 ? { parameters } : {}
}

function requestBody(routes: Route[], id: string, shared: Shared): Json {
  if (routes.some((route) => route.stream)) return { requestBody: { content: { 'application/octet-stream': {} } } }
  const bodies = routes.filter((route) => route.body)
  if (bodies.length === 0) return {}
  const schema = shared.either(bodies.map(variant('body')), `${id}.request`)
  return { requestBody: { required: bodies.length === routes.length, content: { 'application/json': { schema } } } }
}

const variant = (part: 'body' | 'response') => (route: Route, _: number, all: Route[]) => ({
  schema: (part === 'response' ? closed(route.response) : route.body) as TSchema,
  ...(all.length > 1 ? { title: route.action ?? range(route) } : {}),
})

function responses(routes: Route[], id: string, shared: Shared): Json {
  const byStatus = Map.groupBy(routes, (route) => String(route.status ?? (route.response === 'nothing' ? 204 : 200)))
  const entries = [...byStatus].map(([status, same]) => {
    if (same.some((route) => route.response === 'bytes'))
      return [status, { description: 'Done', content: { 'application/octet-stream': {} } }]
    const speaking = same.filter((route) => route.response !== 'nothing')
    if (speaking.length === 0) return [status, { description: 'Done' }]
    return [
      status,
      {
        description: 'Done',
        content: { 'application/json': { schema: shared.either(speaking.map(variant('response')), `${id}.response`) } },
      },
    ]
  })
  return { ...Object.fromEntries(entries), default: FAULT }
}

const pointer = (path: string) => path.replaceAll('~', '~0').replaceAll('/', '~1').replaceAll('{', '%7B').replaceAll('}', '%7D')

/** The same services, each of which answers with its own document at `/<name>/openapi.json`. */
export function documented(apis: Api[], version: string): Api[] {
  const services = [...Map.groupBy(apis, (api) => api.name)].map(([name, own]) => {
    const root = `/${name}`
    const route: Route = {
      method: 'GET',
      path: '/openapi.json',
      doc: 'This service in OpenAPI 3.1',
      policy: { open: 'it says what any Yun of this version does, and nothing of this cloud' },
      response: OpenApiView,
      handler: () => document(),
    }
    const at = own.find((api) => api.prefix === root)
    const all = at
      ? own.map((api) => (api === at ? { ...api, routes: [...api.routes, route] } : api))
      : [{ ...own[0]!, prefix: root, microversions: undefined, projectInPath: false, routes: [route] }, ...own]
    let made: Reply | undefined
    const document = () => {
      made ??= new Reply(
        openApi(
          all.filter((api) => api.alias === undefined),
          version,
        ),
      )
      return made
    }
    return all
  })
  return services.flat()
}

const OpenApiView = Type.Object(
  {
    openapi: Type.String(),
    info: Type.Object({ title: Type.String(), version: Type.String(), license: Type.Record(Type.String(), Type.String()) }),
    servers: Type.Array(Type.Object({ url: Type.String() })),
    security: Type.Array(Type.Record(Type.String(), Type.Array(Type.String()))),
    paths: Type.Record(Type.String(), Type.Unknown({ description: 'A path item' })),
    components: Type.Record(Type.String(), Type.Unknown({ description: 'Components by name' })),
  },
  { additionalProperties: false },
)
