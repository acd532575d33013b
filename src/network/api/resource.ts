import Type, { type TSchema } from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { NetworkContext, Viewer } from '../app/context.ts'
import { readQuery } from '../app/listing.ts'
import { type Noun, seeMany } from '../app/noun.ts'
import { type Answered, many, one } from './answers.ts'
import { converted } from './convert.ts'
import { Fields, hasRule, listQuery, pageLinks, shown, viewerOf } from './request.ts'
import { open } from './schemas.ts'
import { itemTarget, seen, type Target } from './seen.ts'
import { tagRoutes } from './tags.ts'

export interface Resource<D> {
  context: NetworkContext
  noun: Noun<any, D>
  /** `security-groups` */
  path: string
  view: (item: D) => Record<string, unknown>
  schema: { create: TSchema; update?: TSchema }
  /** More of what policy rules look at than the project: called for new documents and for those that are there. */
  target?: (request: ApiRequest, of: Record<string, any>[]) => Promise<Target[]>
  /** Rules of attributes beyond those that are named after them. */
  check?: (request: ApiRequest, verb: 'create' | 'update', document: Record<string, any>, target: Target) => void
  before?: (viewer: Viewer) => Promise<void>
  create: (viewer: Viewer, documents: any[]) => Promise<D[]>
  /** `revision`: the change is only for the one with this number (If-Match). */
  update?: (viewer: Viewer, item: D, document: any, revision: number | undefined) => Promise<D>
  remove: (viewer: Viewer, item: D) => Promise<void>
}

/** List, show, create (one or many), change and delete, as Neutron's resources all have them. */
export function resource<D>(of: Resource<D>): Route[] {
  const { context, noun, view, schema } = of
  const shape = noun.name as Answered
  const target = itemTarget(of)
  const first = firstTarget(of)
  const routes: Route[] = [
    {
      method: 'GET',
      path: `/${of.path}`,
      doc: `List ${noun.plural}, filtered, sorted, in pages`,
      policy: `get_${noun.name}`,
      query: listQuery(noun),
      response: many(noun.plural, shape),
      async handler(request) {
        const viewer = viewerOf(request)
        await of.before?.(viewer)
        const query = await readQuery(context.database.db, noun as Noun, request.query)
        const { items, more } = await seeMany(context, noun, viewer, query)
        const ids = items.map((item: any) => item.id)
        return {
          [noun.plural]: items.map((item) => shown(request, noun.name, view(item))),
          ...(query.limit === null ? {} : pageLinks(request, of.path, noun.plural, ids, more)),
        }
      },
    },
    {
      method: 'GET',
      path: `/${of.path}/:id`,
      doc: `Show a ${noun.name}`,
      policy: `get_${noun.name}`,
      target,
      query: Fields,
      response: one(shape),
      handler: async (request) => ({ [noun.name]: shown(request, noun.name, view(await seen(context, noun, request))) }),
    },
    {
      method: 'POST',
      path: `/${of.path}`,
      doc: `Create a ${noun.name}, or many at once`,
      policy: `create_${noun.name}`,
      status: 201,
      target: first,
      body: open({ [noun.name]: schema.create, [noun.plural]: Type.Array(schema.create, { minItems: 1 }) }),
      query: Fields,
      response: Type.Union([one(shape), many(noun.plural, shape)]),
      async handler(request) {
        const asked = documents(noun, request)
        for (const one of asked) refuseOthers(schema.create, shape, one, (name) => `Attribute '${name}' not allowed in POST`)
        const targets = [await first(request), ...(await newTargets(of, request, asked.slice(1)))]
        for (const [i, wanted] of targets.entries()) {
          request.enforce(`create_${noun.name}`, wanted)
          enforceAttributes(of, request, 'create', asked[i]!, wanted)
        }
        const views = (await of.create(viewerOf(request), asked)).map((item) => shown(request, noun.name, view(item)))
        return request.body[noun.plural] ? { [noun.plural]: views } : { [noun.name]: views[0] }
      },
    },
    {
      method: 'DELETE',
      path: `/${of.path}/:id`,
      doc: `Delete a ${noun.name}`,
      policy: `delete_${noun.name}`,
      target,
      response: 'nothing',
      async handler(request) {
        await of.remove(viewerOf(request), await seen(context, noun, request))
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
  if (of.update && schema.update)
    routes.push({
      method: 'PUT',
      path: `/${of.path}/:id`,
      doc: `Change a ${noun.name}`,
      policy: `update_${noun.name}`,
      target,
      body: open({ [noun.name]: schema.update }, [noun.name]),
      query: Fields,
      response: one(shape),
      async handler(request) {
        const item = await seen(context, noun, request)
        const document = converted(request.body[noun.name])
        refuseOthers(schema.update!, shape, document, (name) => `Cannot update read-only attribute ${name}`)
        enforceAttributes(of, request, 'update', document, await target(request))
        const changed = await of.update!(viewerOf(request), item, document, revisionOf(request))
        return { [noun.name]: shown(request, noun.name, view(changed)) }
      },
    })
  return [...routes, ...tagRoutes(of, target)]
}

/** What a change is asked for. @throws Fault 400 */
function revisionOf({ headers }: ApiRequest): number | undefined {
  const header = headers['if-match']
  if (header === undefined) return undefined
  const [, digits] = /^"?revision_number=(\d{1,15})"?$/.exec(header) ?? []
  if (digits === undefined) throw badRequest(`If-Match is understood as revision_number=NUMBER, not as ${header}.`, 'HTTPBadRequest')
  return Number(digits)
}

/** What policy rules look at of the first of the new documents, loaded once for policy and handler. */
function firstTarget<D>(of: Resource<D>): (request: ApiRequest) => Promise<Target> {
  const known = new WeakMap<ApiRequest, Promise<Target>>()
  const load = async (request: ApiRequest) => (await newTargets(of, request, documents(of.noun, request).slice(0, 1)))[0]!
  return (request) => {
    const loading = known.get(request) ?? load(request)
    known.set(request, loading)
    return loading
  }
}

/** None for no documents. */
async function newTargets<D>(of: Resource<D>, request: ApiRequest, asked: Record<string, any>[]): Promise<Target[]> {
  if (asked.length === 0) return []
  const more = await of.target?.(request, asked)
  return asked.map((document, i) => {
    const project = document.project_id ?? request.context.projectId
    return { project_id: project, tenant_id: project, ...more?.[i] }
  })
}

/** What a noun does not have, or has only to be looked at. @throws Fault 400 */
export function refuseOthers(
  schema: TSchema,
  shape: Answered,
  document: Record<string, unknown>,
  readOnly: (name: string) => string,
): void {
  const has = (properties: object, name: string) => Object.hasOwn(properties, name)
  const others = Object.keys(document).filter((name) => !has((schema as any).properties, name))
  const { properties } = (one(shape) as any).properties[shape]
  const unknown = others.filter((name) => !has(properties, name))
  if (unknown.length > 0) throw badRequest(`Unrecognized attribute(s) '${unknown.join(', ')}'`, 'HTTPBadRequest')
  if (others.length > 0) throw badRequest(readOnly(others[0]!), 'HTTPBadRequest')
}

/** One document or many; the old name of the project counts. @throws Fault 400 */
function documents(noun: Noun<any, any>, request: ApiRequest): Record<string, any>[] {
  const given: Record<string, any>[] = request.body?.[noun.plural] ?? (request.body?.[noun.name] ? [request.body[noun.name]] : [])
  if (given.length === 0) throw badRequest(`Unable to find '${noun.name}' in request body`, 'HTTPBadRequest')
  return given.map((one) => {
    const { project_id, tenant_id, ...document } = converted(one)
    const project = project_id || tenant_id
    if (!project && !request.context.projectId) throw badRequest('Running without a project: project_id is needed.', 'HTTPBadRequest')
    return project ? { ...document, project_id: project } : document
  })
}

function enforceAttributes<D>(
  of: Resource<D>,
  request: ApiRequest,
  verb: 'create' | 'update',
  document: Record<string, any>,
  target: Target,
): void {
  for (const [name, value] of Object.entries(document)) {
    if (value === undefined || value === null) continue
    const rule = `${verb}_${of.noun.name}:${name}`
    if (hasRule(rule) && !isUsual(verb, name, value)) request.enforce(rule, target)
  }
  of.check?.(request, verb, document, target)
}

/** Saying what would be so anyway needs no right. */
const isUsual = (verb: string, name: string, value: unknown) => verb === 'create' && value === false && name !== 'port_security_enabled'
