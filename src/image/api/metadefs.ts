import type { TSchema } from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import type { ImageContext } from '../app/context.ts'
import { limitOf, one } from '../app/list.ts'
import * as metadef from '../app/metadef.ts'
import * as shape from './metadef-schemas.ts'
import * as view from './metadef-views.ts'
import { viewerOf } from './seen.ts'

const NAMESPACES = '/metadefs/namespaces'
const ONE = `${NAMESPACES}/:namespace`

/** Metadata definitions: which properties images, flavors and volumes may have and what they mean, in namespaces. */
export function metadefRoutes(context: ImageContext): Route[] {
  return [
    ...namespaceRoutes(context),
    ...[OBJECTS, PROPERTIES].flatMap((of) => [...definitionRoutes(context, of), addRoute(context, of)]),
    ...definitionRoutes(context, TAGS),
    ...addTagRoutes(context),
    ...associationRoutes(context),
  ]
}

const seen = (context: ImageContext, request: ApiRequest) => metadef.seeNamespace(context, viewerOf(request), request.params.namespace!)

/** For Route.target: the namespace of the address. */
const targetOf = (context: ImageContext) => async (request: ApiRequest) => {
  const { owner, visibility } = await seen(context, request)
  return { project_id: owner, owner, visibility }
}

/** A definition apart from its name and from what only its answer has. */
function split(body: Record<string, unknown>): { name: string; body: Record<string, unknown> } {
  const { name, created_at, updated_at, self, schema, ...rest } = body
  return { name: name as string, body: rest }
}

function namespaceRoutes(context: ImageContext): Route[] {
  const target = targetOf(context)
  return [
    {
      method: 'GET',
      path: NAMESPACES,
      doc: 'List the namespaces of metadata definitions',
      policy: 'get_metadef_namespaces',
      query: queryOf('limit', 'marker', 'sort_key', 'sort_dir', 'resource_types', 'visibility'),
      response: shape.NamespaceList,
      async handler(request) {
        const { namespaces, more } = await metadef.pageOfNamespaces(context, viewerOf(request), askedPage(request.query))
        const parts = await metadef.partsByKind(
          context,
          namespaces.map((row) => row.namespace),
          ['resource_type'],
        )
        const views = namespaces.map((row) => view.namespaceView(row, { associations: parts(row.namespace, 'resource_type') }))
        return view.namespaceListView(views, more, request.rawQuery)
      },
    },
    {
      method: 'POST',
      path: NAMESPACES,
      doc: 'Create a namespace, with its definitions',
      policy: 'add_metadef_namespace',
      body: shape.NamespaceBody,
      response: shape.NamespaceView,
      status: 201,
      async handler(request) {
        const { objects = [], properties = {}, tags = [], resource_type_associations: types = [] } = request.body
        const of = (kind: metadef.PartKind, bodies: Record<string, unknown>[]) => bodies.map((body) => ({ kind, ...split(body) }))
        const row = await metadef.createNamespace(context, viewerOf(request), namespaceOf(request.body), [
          ...of('object', objects),
          ...Object.entries(properties).map(([name, body]) => ({ kind: 'property' as const, name, body: body as Record<string, unknown> })),
          ...of('tag', tags),
          ...of('resource_type', types),
        ])
        return await detailed(row)
      },
    },
    {
      method: 'GET',
      path: ONE,
      doc: 'Show a namespace with its definitions; with `resource_type`, its properties as that type names them',
      policy: 'get_metadef_namespace',
      target,
      query: queryOf('resource_type'),
      response: shape.NamespaceView,
      handler: async (request) => await detailed(await seen(context, request), one(request.query.resource_type)),
    },
    {
      method: 'PUT',
      path: ONE,
      doc: 'Change a namespace',
      policy: 'modify_metadef_namespace',
      target,
      body: shape.NamespaceBody,
      response: shape.NamespaceView,
      handler: async (request) =>
        view.namespaceView(await metadef.changeNamespace(context, await seen(context, request), namespaceOf(request.body))),
    },
    {
      method: 'DELETE',
      path: ONE,
      doc: 'Delete a namespace with its definitions',
      policy: 'delete_metadef_namespace',
      target,
      response: 'nothing',
      handler: async (request) => metadef.removeNamespace(context, await seen(context, request)),
    },
  ]

  async function detailed(row: metadef.NamespaceRow, resourceType?: string) {
    const parts = await metadef.partsByKind(context, [row.namespace], ['object', 'property', 'tag', 'resource_type'])
    const associations = parts(row.namespace, 'resource_type')
    return view.namespaceView(row, {
      objects: parts(row.namespace, 'object'),
      properties: parts(row.namespace, 'property'),
      tags: parts(row.namespace, 'tag'),
      associations,
      prefix: associations.find((type) => type.name === resourceType)?.body.prefix as string | undefined,
    })
  }
}

function namespaceOf(body: Record<string, any>): metadef.NewNamespace {
  const { namespace, display_name, description, visibility, owner } = body
  const given = { namespace, display_name, description, visibility, protected: body.protected, owner }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as unknown as metadef.NewNamespace
}

function askedPage(query: Record<string, string | string[]>) {
  const sort_key = one(query.sort_key)
  const key = sort_key === 'updated_at' || sort_key === 'namespace' ? sort_key : ('created_at' as const)
  const visibility = one(query.visibility)
  return {
    limit: limitOf(one(query.limit)),
    marker: one(query.marker),
    visibility: visibility === 'public' || visibility === 'private' ? visibility : undefined,
    resourceTypes: one(query.resource_types)?.split(','),
    sort: { key, direction: one(query.sort_dir) === 'asc' ? ('asc' as const) : ('desc' as const) },
  } as const
}

/** What differs between objects, properties and tags. */
interface Definitions {
  kind: metadef.PartKind
  plural: string
  doc: string
  rules: Record<'list' | 'show' | 'add' | 'change' | 'remove' | 'removeAll', string>
  body: TSchema
  shown: TSchema
  listed: TSchema
  show(namespace: string, part: metadef.Part): object
  list(namespace: string, parts: metadef.Part[]): object
}

const OBJECTS: Definitions = {
  kind: 'object',
  plural: 'objects',
  doc: 'an object: a group of properties',
  rules: {
    list: 'get_metadef_objects',
    show: 'get_metadef_object',
    add: 'add_metadef_object',
    change: 'modify_metadef_object',
    remove: 'delete_metadef_object',
    removeAll: 'delete_metadef_object',
  },
  body: shape.ObjectBody,
  shown: shape.ObjectView,
  listed: shape.ObjectList,
  show: view.objectView,
  list: view.objectListView,
}

const PROPERTIES: Definitions = {
  kind: 'property',
  plural: 'properties',
  doc: 'a property',
  rules: {
    list: 'get_metadef_properties',
    show: 'get_metadef_property',
    add: 'add_metadef_property',
    change: 'modify_metadef_property',
    remove: 'remove_metadef_property',
    removeAll: 'remove_metadef_property',
  },
  body: shape.PropertyBody,
  shown: shape.PropertyView,
  listed: shape.PropertyList,
  show: (_namespace, { name, body }) => ({ name, ...body }),
  list: (_namespace, parts) => ({ properties: view.propertyTable(parts) }),
}

const TAGS: Definitions = {
  kind: 'tag',
  plural: 'tags',
  doc: 'a tag',
  rules: {
    list: 'get_metadef_tags',
    show: 'get_metadef_tag',
    add: 'add_metadef_tags',
    change: 'modify_metadef_tag',
    remove: 'delete_metadef_tag',
    removeAll: 'delete_metadef_tags',
  },
  body: shape.TagBody,
  shown: shape.TagView,
  listed: shape.TagList,
  show: (_namespace, part) => view.tagView(part),
  list: (_namespace, parts) => view.tagListView(parts),
}

/** List, show, change and delete; how they are added is each kind's own. */
function definitionRoutes(context: ImageContext, of: Definitions): Route[] {
  const target = targetOf(context)
  const { kind, plural, doc, rules } = of
  const [all, single] = [`${ONE}/${plural}`, `${ONE}/${plural}/:name`]
  return [
    {
      method: 'GET',
      path: all,
      doc: `List the ${plural} of a namespace`,
      policy: rules.list,
      target,
      response: of.listed,
      async handler(request) {
        const { namespace } = await seen(context, request)
        return of.list(namespace, (await metadef.partsByKind(context, [namespace], [kind]))(namespace, kind))
      },
    },
    {
      method: 'DELETE',
      path: all,
      doc: `Delete all ${plural} of a namespace`,
      policy: rules.removeAll,
      target,
      response: 'nothing',
      handler: async (request) => metadef.removeParts(context, await seen(context, request), kind),
    },
    {
      method: 'GET',
      path: single,
      doc: `Show ${doc}`,
      policy: rules.show,
      target,
      response: of.shown,
      async handler(request) {
        const row = await seen(context, request)
        return of.show(row.namespace, await metadef.partNamed(context, row, kind, request.params.name!))
      },
    },
    {
      method: 'PUT',
      path: single,
      doc: `Change ${doc}`,
      policy: rules.change,
      target,
      body: of.body,
      response: of.shown,
      async handler(request) {
        const row = await seen(context, request)
        return of.show(row.namespace, await metadef.changePart(context, row, kind, request.params.name!, split(request.body)))
      },
    },
    {
      method: 'DELETE',
      path: single,
      doc: `Delete ${doc}`,
      policy: rules.remove,
      target,
      response: 'nothing',
      handler: async (request) => metadef.removeParts(context, await seen(context, request), kind, request.params.name!),
    },
  ]
}

const addRoute = (context: ImageContext, of: Definitions): Route => ({
  method: 'POST',
  path: `${ONE}/${of.plural}`,
  doc: `Define ${of.doc}`,
  policy: of.rules.add,
  target: targetOf(context),
  body: of.body,
  response: of.shown,
  status: 201,
  async handler(request) {
    const row = await seen(context, request)
    const [part] = await metadef.addParts(context, row, of.kind, [split(request.body)])
    return of.show(row.namespace, part!)
  },
})

function addTagRoutes(context: ImageContext): Route[] {
  const target = targetOf(context)
  return [
    {
      method: 'POST',
      path: `${ONE}/tags`,
      doc: 'Replace the tags of a namespace by these; with the header X-Openstack-Append, add them',
      policy: TAGS.rules.add,
      target,
      body: shape.TagsBody,
      response: shape.TagList,
      status: 201,
      async handler(request) {
        const row = await seen(context, request)
        const isAppended = request.headers['x-openstack-append']?.toString().toLowerCase() === 'true'
        const write = isAppended ? metadef.addParts : metadef.replaceParts
        return view.tagListView(await write(context, row, 'tag', request.body.tags.map(split)))
      },
    },
    {
      method: 'POST',
      path: `${ONE}/tags/:name`,
      doc: 'Add a tag',
      policy: 'add_metadef_tag',
      target,
      response: shape.TagView,
      status: 201,
      async handler(request) {
        const [tag] = await metadef.addParts(context, await seen(context, request), 'tag', [{ name: request.params.name!, body: {} }])
        return view.tagView(tag!)
      },
    },
  ]
}

function associationRoutes(context: ImageContext): Route[] {
  const target = targetOf(context)
  const all = `${ONE}/resource_types`
  return [
    {
      method: 'GET',
      path: '/metadefs/resource_types',
      doc: 'List the resource types that namespaces are associated with',
      policy: 'list_metadef_resource_types',
      response: shape.ResourceTypeList,
      handler: async () => ({ resource_types: (await metadef.allResourceTypes(context)).map(view.resourceTypeView) }),
    },
    {
      method: 'GET',
      path: all,
      doc: 'List the resource types of a namespace',
      policy: 'get_metadef_resource_type',
      target,
      response: shape.AssociationList,
      async handler(request) {
        const { namespace } = await seen(context, request)
        const types = (await metadef.partsByKind(context, [namespace], ['resource_type']))(namespace, 'resource_type')
        return { resource_type_associations: types.map(view.associationView) }
      },
    },
    {
      method: 'POST',
      path: all,
      doc: 'Associate a namespace with a resource type',
      policy: 'add_metadef_resource_type_association',
      target,
      body: shape.AssociationBody,
      response: shape.AssociationView,
      status: 201,
      async handler(request) {
        const [part] = await metadef.addParts(context, await seen(context, request), 'resource_type', [split(request.body)])
        return view.associationView(part!)
      },
    },
    {
      method: 'DELETE',
      path: `${all}/:name`,
      doc: 'End the association with a resource type',
      policy: 'remove_metadef_resource_type_association',
      target,
      response: 'nothing',
      handler: async (request) => metadef.removeParts(context, await seen(context, request), 'resource_type', request.params.name!),
    },
  ]
}
