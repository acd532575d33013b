import Type from 'typebox'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import { addMetadata, dropMetadata } from '../app/metadata.ts'
import * as types from '../app/type.ts'
import { ExtraSpec, ExtraSpecs, TypeAccess } from './answers.ts'
import * as shape from './schemas.ts'
import { truth, viewerOf } from './seen.ts'
import { nextLink, typeView } from './views.ts'

const ACCESS = 'os-volume-type-access:is_public'

export function typeRoutes(context: VolumeContext): Route[] {
  const the = (request: ApiRequest) => types.seeType(context, viewerOf(request), request.params.type_id!)
  const mayRead = (request: ApiRequest) => request.allowed('volume_extension:types_extra_specs:index')
  const accessBody = (name: string) =>
    shape.action(name, Type.Object({ project: Type.String({ minLength: 1, maxLength: 64 }) }, { additionalProperties: false }))
  const access = (name: 'addProjectAccess' | 'removeProjectAccess', doc: string): Route => ({
    method: 'POST',
    path: '/types/:type_id/action',
    action: name,
    doc,
    policy: 'volume_extension:volume_type_access',
    body: accessBody(name),
    response: 'nothing',
    async handler(request) {
      await types.setAccess(context, await the(request), request.body[name].project, name === 'addProjectAccess')
      return new Reply(undefined, { status: 202 })
    },
  })
  return [
    {
      method: 'GET',
      path: '/types',
      doc: 'List volume types',
      policy: 'volume_extension:type_get_all',
      query: shape.ListQuery,
      response: shape.TypeList,
      async handler(request) {
        const { rows, more } = pageOf(await types.listTypes(context, viewerOf(request)), request)
        return {
          volume_types: rows.map((one) => typeView(one, mayRead(request))),
          ...nextLink(request, '/types', 'volume_types', rows, more),
        }
      },
    },
    {
      method: 'POST',
      path: '/types',
      doc: 'Create a volume type',
      policy: 'volume_extension:type_create',
      body: shape.NewType,
      response: shape.TypeAnswer,
      async handler(request) {
        const { volume_type: asked } = request.body
        const type = await types.createType(context, {
          name: nameOf(asked.name),
          description: asked.description,
          isPublic: asked[ACCESS] === undefined ? true : truth(asked[ACCESS]),
          extraSpecs: asked.extra_specs ?? {},
        })
        const { qos_specs_id, ...view } = typeView(type, true)
        return { volume_type: view }
      },
    },
    {
      method: 'GET',
      path: '/types/:type_id',
      doc: 'Show a volume type',
      policy: 'volume_extension:type_get',
      response: shape.TypeAnswer,
      handler: async (request) => ({ volume_type: typeView(await the(request), mayRead(request)) }),
    },
    {
      method: 'PUT',
      path: '/types/:type_id',
      doc: 'Change a volume type',
      policy: 'volume_extension:type_update',
      body: shape.TypeChange,
      response: shape.TypeAnswer,
      async handler(request) {
        const { name, description, is_public } = request.body.volume_type
        if (name === undefined && description === undefined && is_public === undefined)
          throw badRequest('Specify volume type name, description, is_public or a combination thereof.')
        const type = await types.updateType(context, await the(request), {
          name: name ? nameOf(name) : undefined,
          description,
          isPublic: is_public === undefined ? undefined : truth(is_public),
        })
        const { qos_specs_id, 'os-volume-type-access:is_public': _same, ...view } = typeView(type, true)
        return { volume_type: view }
      },
    },
    {
      method: 'DELETE',
      path: '/types/:type_id',
      doc: 'Delete a volume type that no volume has',
      policy: 'volume_extension:type_delete',
      response: 'nothing',
      async handler(request) {
        await types.deleteType(context, await the(request))
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      method: 'GET',
      path: '/types/:type_id/extra_specs',
      doc: "List a volume type's extra specs",
      policy: 'volume_extension:types_extra_specs:index',
      response: ExtraSpecs,
      handler: async (request) => ({ extra_specs: (await the(request)).extraSpecs }),
    },
    {
      method: 'POST',
      path: '/types/:type_id/extra_specs',
      doc: 'Add extra specs to a volume type',
      policy: 'volume_extension:types_extra_specs',
      body: shape.ExtraSpecs,
      response: ExtraSpecs,
      async handler(request) {
        await addMetadata(context, 'type', (await the(request)).id, request.body.extra_specs)
        return { extra_specs: request.body.extra_specs }
      },
    },
    {
      method: 'GET',
      path: '/types/:type_id/extra_specs/:key',
      doc: 'Show one extra spec',
      policy: 'volume_extension:types_extra_specs:index',
      response: ExtraSpec,
      async handler(request) {
        const type = await the(request)
        const key = request.params.key!
        if (!Object.hasOwn(type.extraSpecs, key)) throw notFound(`Volume Type ${type.id} has no extra specs with key ${key}.`)
        return { [key]: type.extraSpecs[key] }
      },
    },
    {
      method: 'PUT',
      path: '/types/:type_id/extra_specs/:key',
      doc: 'Set one extra spec',
      policy: 'volume_extension:types_extra_specs',
      body: shape.ExtraSpec,
      response: ExtraSpec,
      async handler(request) {
        if (Object.keys(request.body).join() !== request.params.key) throw badRequest('Request body and URI mismatch')
        await addMetadata(context, 'type', (await the(request)).id, request.body)
        return request.body
      },
    },
    {
      method: 'DELETE',
      path: '/types/:type_id/extra_specs/:key',
      doc: 'Remove one extra spec',
      policy: 'volume_extension:types_extra_specs',
      response: 'nothing',
      async handler(request) {
        await dropMetadata(context, 'type', (await the(request)).id, request.params.key!)
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      method: 'GET',
      path: '/types/:type_id/os-volume-type-access',
      doc: 'List the projects that may use a private volume type',
      policy: 'volume_extension:volume_type_access',
      response: TypeAccess,
      async handler(request) {
        const type = await the(request)
        if (type.is_public) throw notFound('Access list not available for public volume types.')
        const projects = await types.typeAccess(context, type)
        return { volume_type_access: projects.map((project_id) => ({ volume_type_id: type.id, project_id })) }
      },
    },
    access('addProjectAccess', 'Let a project use a private volume type'),
    access('removeProjectAccess', 'Take a private volume type from a project'),
  ]
}

/** @throws Fault 400 for a blank one */
function nameOf(name: string): string {
  if (name.trim() === '') throw badRequest('Volume type name can not be empty.')
  return name.trim()
}

function pageOf(all: types.VolumeType[], request: ApiRequest) {
  const { is_public, marker, limit } = request.query
  let rows = all
  if (is_public !== undefined && String(is_public).toLowerCase() !== 'none')
    rows = rows.filter((one) => one.is_public === Number(truth(is_public)))
  if (marker !== undefined) {
    const at = rows.findIndex((one) => one.id === marker)
    if (at < 0) throw notFound(`The marker ${marker} could not be found.`, 'MarkerNotFound')
    rows = rows.slice(at + 1)
  }
  const most = limit === undefined ? rows.length : Number(limit)
  if (!Number.isSafeInteger(most) || most < 0) throw badRequest(`limit must be a whole number from 0, not ${limit}.`)
  return { rows: rows.slice(0, most), more: most > 0 && rows.length > most }
}
