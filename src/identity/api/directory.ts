import Type, { type TSchema } from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import {
  createEndpoint,
  createRegion,
  createService,
  deleteEndpoint,
  deleteRegion,
  deleteService,
  findEndpoint,
  findRegion,
  findService,
  listEndpoints,
  listRegions,
  listServices,
  updateEndpoint,
  updateRegion,
  updateService,
} from '../app/catalog.ts'
import type { IdentityContext } from '../app/context.ts'
import { createProject, deleteProject, findProject, listProjects, updateProject } from '../app/project.ts'
import { createRole, deleteRole, findRole, listRoles, updateRole } from '../app/role.ts'
import {
  createGroup,
  createUser,
  deleteGroup,
  deleteUser,
  findGroup,
  findUser,
  listGroups,
  listUsers,
  updateGroup,
  updateUser,
} from '../app/user.ts'
import { memberRoutes } from './members.ts'
import { closed, listOf, oneOf, open, overlooked, type Thing, USER_OPTIONS } from './schemas.ts'
import { collection, domainView, endpointView, groupView, projectView, regionView, roleView, serviceView, userView } from './views.ts'

const Name = Type.String({ minLength: 1, maxLength: 255, pattern: '\\S' })
const Id = Type.String({ minLength: 1, maxLength: 64 })
const MaybeId = Type.Union([Id, Type.Null()])
const MaybeText = Type.Union([Type.String(), Type.Null()])
const Flag = Type.Boolean()
/** In a query, as Python writes it, too. */
const Truth = Type.Union([Type.Boolean(), Type.String({ pattern: '^([Tt]rue|[Ff]alse|[01])$' })])
const TAG_FILTERS = { tags: Type.String(), 'tags-any': Type.String(), 'not-tags': Type.String(), 'not-tags-any': Type.String() }
/** Of projects and domains. */
const ShortName = Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' })

/** One kind of thing with the five usual operations. */
interface Noun {
  noun: Thing
  path: string
  /** What may be sent; `name` (or what `required` says) must be there to create. */
  fields: Record<string, TSchema>
  required: string[]
  filters: Record<string, TSchema>
  view: (request: ApiRequest, row: any) => unknown
  create: (input: any) => Promise<any>
  find: (id: string) => Promise<any>
  list: (filters: any) => Promise<any[]>
  update: (id: string, input: any) => Promise<any>
  remove: (id: string) => Promise<void>
  /** Attributes of others are kept and shown. */
  keepsExtra?: boolean
  /** Keystone overlooks what is sent beside it. */
  looseBody?: boolean
}

/** Null takes it away. */
const Options = Type.Object({ immutable: Type.Optional(Type.Union([Flag, Type.Null()])) }, closed)
/** Null takes one away. */
const UserOptions = Type.Object(
  Object.fromEntries(Object.entries(USER_OPTIONS).map(([name, schema]) => [name, Type.Optional(Type.Union([schema, Type.Null()]))])),
  closed,
)

/** Of these nothing is kept: what was shown and is sent back, and a password that has no business here. */
const NOT_KEPT = ['id', 'links', 'password_expires_at', 'password', 'original_password']

function routesOf(of: Noun): Route[] {
  const all = Object.fromEntries(
    Object.entries(of.fields).map(([name, schema]) => [name, of.required.includes(name) ? schema : Type.Optional(schema)]),
  )
  const some = Object.fromEntries(Object.entries(of.fields).map(([name, schema]) => [name, Type.Optional(schema)]))
  const filters = Object.fromEntries(
    Object.entries({ ...of.filters, limit: Type.Integer({ minimum: 0 }), marker: Type.String() }).map(([name, schema]) => [
      name,
      Type.Optional(schema),
    ]),
  )
  const around = of.looseBody ? overlooked : closed
  const besides = of.keepsExtra ? open('kept and shown') : overlooked
  const one = (request: ApiRequest, row: unknown) => ({ [of.noun]: of.view(request, row) })
  const target = async (request: ApiRequest) => ({ [`target.${of.noun}.id`]: request.params.id })
  const sent = (request: ApiRequest) => {
    const own = (name: string) => Object.hasOwn(of.fields, name)
    const all = Object.entries(request.body[of.noun])
    const extra = all.filter(([name]) => !own(name) && !NOT_KEPT.includes(name))
    return { ...Object.fromEntries(all.filter(([name]) => own(name))), ...(of.keepsExtra ? { extra: Object.fromEntries(extra) } : {}) }
  }
  const inDomains = 'domain_id' in of.filters && of.noun !== 'role'
  return [
    {
      method: 'GET',
      path: `/${of.path}`,
      doc: `List ${of.path}`,
      policy: `identity:list_${of.noun}s`,
      query: Type.Object(filters),
      response: listOf(of.noun),
      target: (request) => (inDomains ? { domain_id: request.query.domain_id ?? request.context.domainId } : {}),
      async handler(request) {
        const { query, context } = request
        const narrowed = inDomains && context.domainId && !context.isAdmin ? { ...query, domain_id: context.domainId } : query
        return collection(request, of.path, `/${of.path}`, await of.list(narrowed), of.view)
      },
    },
    {
      method: 'POST',
      path: `/${of.path}`,
      doc: `Create a ${of.noun}`,
      policy: `identity:create_${of.noun}`,
      body: Type.Object({ [of.noun]: Type.Object(all, besides) }, around),
      response: oneOf(of.noun),
      status: 201,
      handler: async (request) => one(request, await of.create(sent(request))),
    },
    {
      method: 'GET',
      path: `/${of.path}/:id`,
      doc: `Show a ${of.noun}`,
      policy: `identity:get_${of.noun}`,
      response: oneOf(of.noun),
      target,
      handler: async (request) => one(request, await of.find(request.params.id!)),
    },
    {
      method: 'PATCH',
      path: `/${of.path}/:id`,
      doc: `Change a ${of.noun}`,
      policy: `identity:update_${of.noun}`,
      body: Type.Object({ [of.noun]: Type.Object(some, { ...besides, ...(of.noun === 'project' ? {} : { minProperties: 1 }) }) }, around),
      response: oneOf(of.noun),
      handler: async (request) => one(request, await of.update(request.params.id!, sent(request))),
    },
    {
      method: 'DELETE',
      path: `/${of.path}/:id`,
      doc: `Delete a ${of.noun}`,
      policy: `identity:delete_${of.noun}`,
      status: 204,
      response: 'nothing',
      handler: (request) => of.remove(request.params.id!),
    },
  ]
}

export function directoryRoutes(context: IdentityContext): Route[] {
  const project = {
    name: ShortName,
    description: MaybeText,
    enabled: Flag,
    domain_id: MaybeId,
    parent_id: MaybeId,
    is_domain: Flag,
    tags: Type.Array(Type.String()),
    options: Options,
  }
  const service = { type: Name, name: Type.String({ maxLength: 255 }), description: MaybeText, enabled: Flag }
  return [
    ...routesOf({
      noun: 'project',
      path: 'projects',
      fields: project,
      required: ['name'],
      filters: { name: Type.String(), domain_id: Id, parent_id: Id, enabled: Truth, is_domain: Truth, ...TAG_FILTERS },
      view: projectView,
      create: (input) => createProject(context, clean(input), input.is_domain === true),
      find: (id) => findProject(context, id, null),
      list: (filters) => listProjects(context, truths(filters), truths(filters).is_domain === true),
      update: (id, input) => updateProject(context, id, clean(input), null),
      remove: (id) => deleteProject(context, id, null),
      keepsExtra: true,
    }),
    ...routesOf({
      noun: 'domain',
      path: 'domains',
      fields: project,
      required: ['name'],
      filters: { name: Type.String(), enabled: Truth },
      view: domainView,
      create: (input) => createProject(context, clean(input), true),
      find: (id) => findProject(context, id, true),
      list: (filters) => listProjects(context, truths(filters), true),
      update: (id, input) => updateProject(context, id, clean(input), true),
      remove: (id) => deleteProject(context, id, true),
      keepsExtra: true,
    }),
    ...routesOf({
      noun: 'user',
      path: 'users',
      fields: {
        name: Name,
        domain_id: Id,
        default_project_id: MaybeId,
        description: MaybeText,
        email: MaybeText,
        enabled: Flag,
        password: Type.Union([Type.String({ maxLength: 4096 }), Type.Null()]),
        options: UserOptions,
      },
      required: ['name'],
      filters: { name: Type.String(), domain_id: Id, enabled: Truth },
      view: userView,
      create: (input) => createUser(context, input),
      find: (id) => findUser(context, id),
      list: (filters) => listUsers(context, truths(filters)),
      update: (id, input) => updateUser(context, id, input),
      remove: (id) => deleteUser(context, id),
      keepsExtra: true,
    }),
    ...routesOf({
      noun: 'group',
      path: 'groups',
      fields: { name: Name, domain_id: Id, description: MaybeText },
      required: ['name'],
      filters: { name: Type.String(), domain_id: Id },
      view: groupView,
      create: (input) => createGroup(context, input),
      find: (id) => findGroup(context, id),
      list: (filters) => listGroups(context, filters),
      update: (id, input) => updateGroup(context, id, input),
      remove: (id) => deleteGroup(context, id),
      keepsExtra: true,
    }),
    ...routesOf({
      noun: 'role',
      path: 'roles',
      fields: { name: Name, domain_id: MaybeId, description: MaybeText, options: Options },
      required: ['name'],
      filters: { name: Type.String(), domain_id: Type.String() },
      view: roleView,
      create: (input) => createRole(context, input),
      find: (id) => findRole(context, id),
      list: (filters) => listRoles(context, filters),
      update: (id, input) => updateRole(context, id, input),
      remove: (id) => deleteRole(context, id),
      keepsExtra: true,
    }),
    ...routesOf({
      noun: 'service',
      path: 'services',
      looseBody: true,
      fields: service,
      required: ['type'],
      filters: { type: Type.String(), name: Type.String() },
      view: serviceView,
      create: (input) => createService(context, clean(input)),
      find: (id) => findService(context, id),
      list: (filters) => listServices(context, filters),
      update: (id, input) => updateService(context, id, clean(input)),
      remove: (id) => deleteService(context, id),
    }),
    ...routesOf({
      noun: 'endpoint',
      path: 'endpoints',
      fields: {
        service_id: Id,
        interface: Type.Enum(['public', 'internal', 'admin']),
        url: Type.String({ minLength: 1 }),
        region_id: MaybeId,
        region: MaybeId,
        enabled: Flag,
        name: Type.String(),
      },
      required: ['service_id', 'interface', 'url'],
      filters: { service_id: Id, interface: Type.String(), region_id: Type.String() },
      view: endpointView,
      create: (input) => createEndpoint(context, input),
      find: (id) => findEndpoint(context, id),
      list: (filters) => listEndpoints(context, filters),
      update: (id, input) => updateEndpoint(context, id, input),
      remove: (id) => deleteEndpoint(context, id),
    }),
    ...routesOf({
      noun: 'region',
      path: 'regions',
      looseBody: true,
      fields: { id: Type.String({ maxLength: 64 }), description: Type.String(), parent_region_id: MaybeId },
      required: [],
      filters: { parent_region_id: Type.String() },
      view: regionView,
      create: (input) => createRegion(context, input),
      find: (id) => findRegion(context, id),
      list: (filters) => listRegions(context, filters.parent_region_id),
      update: (id, input) => updateRegion(context, id, input),
      remove: (id) => deleteRegion(context, id),
    }),
    {
      method: 'PUT',
      path: '/regions/:id',
      doc: 'Create a region with this id',
      policy: 'identity:create_region',
      body: Type.Object(
        { region: Type.Object({ description: Type.Optional(Type.String()), parent_region_id: Type.Optional(MaybeId) }, overlooked) },
        overlooked,
      ),
      response: oneOf('region'),
      status: 201,
      async handler(request) {
        const { description, parent_region_id } = request.body.region
        return { region: regionView(request, await createRegion(context, { id: request.params.id, description, parent_region_id })) }
      },
    },
    ...memberRoutes(context),
  ]
}

/** The flags of a query as flags. */
const truths = (filters: Record<string, any>): Record<string, any> => ({
  ...filters,
  ...Object.fromEntries(
    ['enabled', 'is_domain'].filter((name) => filters[name] !== undefined).map((name) => [name, /^(true|1)$/i.test(String(filters[name]))]),
  ),
})

/** Null descriptions are empty ones. */
const clean = <T extends { description?: string | null }>(input: T) =>
  ({ ...input, description: input.description ?? undefined, domain_id: (input as any).domain_id ?? undefined }) as any
