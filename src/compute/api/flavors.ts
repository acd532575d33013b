import Type from 'typebox'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import type { ComputeContext } from '../app/context.ts'
import { checkExtraSpecs } from '../app/extra-specs.ts'
import * as flavors from '../app/flavor.ts'
import { Flavor, FlavorAccess, FlavorSummary, Paged, Shown } from './answers.ts'
import { Count, closed, isTrue, links, Name, Nullable, nextLink, Truth, Wrapped, wholeNumber } from './common.ts'
import { refuseUnknown } from './since.ts'

const Key = Type.String({ pattern: '^[a-zA-Z0-9-_:. ]{1,255}$' })
const Value = Type.Union([Type.String({ maxLength: 255 }), Type.Number()])
const NewFlavor = Type.Object(
  {
    flavor: Type.Object(
      {
        name: Name,
        id: Type.Optional(Nullable(Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Integer({ minimum: 0 })]))),
        ram: Count(1),
        vcpus: Count(1),
        disk: Count(0),
        'OS-FLV-EXT-DATA:ephemeral': Type.Optional(Count(0)),
        swap: Type.Optional(Type.Union([Count(0), Type.Literal('')])),
        rxtx_factor: Type.Optional(Type.Union([Type.Number({ minimum: 0 }), Type.String({ pattern: '^[0-9]+(\\.[0-9]+)?$' })])),
        'os-flavor-access:is_public': Type.Optional(Truth),
        description: Type.Optional(Nullable(Type.String({ maxLength: 65_535 }))),
      },
      closed,
    ),
  },
  closed,
)
const ExtraSpec = Type.Record(Key, Value, closed)
const ExtraSpecs = Wrapped('extra_specs', ExtraSpec)

export function flavorRoutes(context: ComputeContext): Route[] {
  const project = (request: ApiRequest) => (request.context.isAdmin ? null : request.context.projectId)
  const find = (request: ApiRequest) => flavors.findFlavor(context, request.params.flavor_id!, project(request))
  const list = (detail: boolean) => async (request: ApiRequest) => {
    const limit = limitOf(request.query.limit)
    const found = await flavors.listFlavors(context, { ...filterOf(request), limit: limit + 1 })
    const page = found.slice(0, limit)
    const next = nextLink(request, detail ? '/flavors/detail' : '/flavors', found.length > limit, page.at(-1)?.id)
    return { flavors: page.map((one) => (detail ? view(request, one) : summary(request, one))), ...(next ? { flavors_links: next } : {}) }
  }
  const FlavorAnswer = Shown('flavor', Flavor)
  const query = queryOf('is_public', 'minDisk', 'minRam', 'sort_key', 'sort_dir', 'marker', 'limit')
  return [
    {
      method: 'GET',
      path: '/flavors',
      doc: 'List flavors: ids and names',
      policy: 'os_compute_api:flavors',
      query,
      response: Paged('flavors', FlavorSummary),
      handler: list(false),
    },
    {
      method: 'GET',
      path: '/flavors/detail',
      doc: 'List flavors in full',
      policy: 'os_compute_api:flavors',
      query,
      response: Paged('flavors', Flavor),
      handler: list(true),
    },
    {
      method: 'GET',
      path: '/flavors/:flavor_id',
      doc: 'Show a flavor',
      policy: 'os_compute_api:flavors',
      response: FlavorAnswer,
      handler: async (request) => ({ flavor: view(request, await find(request)) }),
    },
    {
      method: 'POST',
      path: '/flavors',
      doc: 'Create a flavor',
      policy: 'os_compute_api:os-flavor-manage:create',
      body: NewFlavor,
      response: FlavorAnswer,
      async handler(request) {
        const body = request.body.flavor
        refuseUnknown(request, 'flavor', body, { description: '2.55' })
        const made = await flavors.createFlavor(context, {
          id: body.id,
          name: body.name,
          vcpus: Number(body.vcpus),
          ram: Number(body.ram),
          disk: Number(body.disk),
          ephemeral: Number(body['OS-FLV-EXT-DATA:ephemeral'] ?? 0),
          swap: Number(body.swap || 0),
          rxtxFactor: Number(body.rxtx_factor ?? 1),
          isPublic: body['os-flavor-access:is_public'] === undefined || isTrue(body['os-flavor-access:is_public']),
          description: body.description,
        })
        return { flavor: view(request, made) }
      },
    },
    {
      method: 'PUT',
      path: '/flavors/:flavor_id',
      doc: "Change a flavor's description",
      policy: 'os_compute_api:os-flavor-manage:update',
      microversions: { min: '2.55' },
      body: Wrapped('flavor', Type.Object({ description: Nullable(Type.String({ maxLength: 65_535 })) }, closed)),
      response: FlavorAnswer,
      async handler(request) {
        await find(request)
        return { flavor: view(request, await flavors.updateFlavor(context, request.params.flavor_id!, request.body.flavor.description)) }
      },
    },
    {
      method: 'DELETE',
      path: '/flavors/:flavor_id',
      doc: 'Delete a flavor; servers keep what they were made with',
      policy: 'os_compute_api:os-flavor-manage:delete',
      status: 202,
      response: 'nothing',
      handler: (request) => flavors.deleteFlavor(context, request.params.flavor_id!),
    },
    {
      method: 'GET',
      path: '/flavors/:flavor_id/os-extra_specs',
      doc: "List a flavor's extra specs",
      policy: 'os_compute_api:os-flavor-extra-specs:index',
      response: Shown('extra_specs', ExtraSpec),
      handler: async (request) => ({ extra_specs: (await find(request)).extraSpecs }),
    },
    {
      method: 'POST',
      path: '/flavors/:flavor_id/os-extra_specs',
      doc: 'Set extra specs of a flavor',
      policy: 'os_compute_api:os-flavor-extra-specs:create',
      body: ExtraSpecs,
      response: Shown('extra_specs', ExtraSpec),
      async handler(request) {
        await flavors.changeExtraSpecs(context, request.params.flavor_id!, specsOf(request, request.body.extra_specs))
        return { extra_specs: request.body.extra_specs }
      },
    },
    {
      method: 'GET',
      path: '/flavors/:flavor_id/os-extra_specs/:key',
      doc: 'Show one extra spec',
      policy: 'os_compute_api:os-flavor-extra-specs:show',
      response: ExtraSpec,
      async handler(request) {
        const { key } = request.params
        const { extraSpecs } = await find(request)
        if (!Object.hasOwn(extraSpecs, key!)) throw notFound(`Flavor ${request.params.flavor_id} has no extra specs with key ${key}.`)
        return { [key!]: extraSpecs[key!] }
      },
    },
    {
      method: 'PUT',
      path: '/flavors/:flavor_id/os-extra_specs/:key',
      doc: 'Set one extra spec',
      policy: 'os_compute_api:os-flavor-extra-specs:update',
      body: Type.Record(Key, Value, closed),
      response: ExtraSpec,
      async handler(request) {
        const { key } = request.params
        if (Object.keys(request.body).length !== 1) throw badRequest('Request body contains too many items or none')
        if (!Object.hasOwn(request.body, key!)) throw badRequest('Request body and URI mismatch')
        await flavors.changeExtraSpecs(context, request.params.flavor_id!, specsOf(request, { [key!]: request.body[key!] }))
        return { [key!]: String(request.body[key!]) }
      },
    },
    {
      method: 'DELETE',
      path: '/flavors/:flavor_id/os-extra_specs/:key',
      doc: 'Remove one extra spec',
      policy: 'os_compute_api:os-flavor-extra-specs:delete',
      status: 200,
      response: 'nothing',
      async handler(request) {
        const { key } = request.params
        const { extraSpecs } = await find(request)
        if (!Object.hasOwn(extraSpecs, key!)) throw notFound(`Flavor ${request.params.flavor_id} has no extra specs with key ${key}.`)
        await flavors.changeExtraSpecs(context, request.params.flavor_id!, { [key!]: null })
      },
    },
    {
      method: 'GET',
      path: '/flavors/:flavor_id/os-flavor-access',
      doc: 'List the projects that may use a flavor which is not public',
      policy: 'os_compute_api:os-flavor-access',
      response: FlavorAccess,
      async handler(request) {
        const flavor = await find(request)
        if (flavor.is_public) throw notFound('Access list not available for public flavors.')
        return { flavor_access: (await flavors.accessList(context, flavor.id)).map((tenant_id) => ({ flavor_id: flavor.id, tenant_id })) }
      },
    },
    ...(['addTenantAccess', 'removeTenantAccess'] as const).map(
      (action): Route => ({
        method: 'POST',
        path: '/flavors/:flavor_id/action',
        action,
        doc: action === 'addTenantAccess' ? 'Let a project use a flavor' : 'No longer let a project use a flavor',
        policy: `os_compute_api:os-flavor-access:${action === 'addTenantAccess' ? 'add' : 'remove'}_tenant_access`,
        body: Wrapped(action, Type.Object({ tenant: Type.String({ minLength: 1, maxLength: 64 }) }, closed)),
        response: FlavorAccess,
        async handler(request) {
          const flavor = await find(request)
          const { tenant } = request.body[action]
          if (action === 'addTenantAccess' && flavor.is_public && request.version.atLeast('2.7'))
            throw conflict('Can not add access to a public flavor.')
          await (action === 'addTenantAccess' ? flavors.grantAccess : flavors.revokeAccess)(context, flavor.id, tenant)
          return { flavor_access: (await flavors.accessList(context, flavor.id)).map((tenant_id) => ({ flavor_id: flavor.id, tenant_id })) }
        },
      }),
    ),
  ]
}

function filterOf(request: ApiRequest): Omit<flavors.FlavorFilter, 'limit'> {
  const { query, context } = request
  const isPublic = query.is_public === undefined ? true : /^none$/i.test(query.is_public) ? null : isTrue(query.is_public)
  return {
    isPublic: context.isAdmin ? isPublic : true,
    accessOf: context.isAdmin ? null : context.projectId,
    minDisk: wholeNumber('minDisk', query.minDisk),
    minRam: wholeNumber('minRam', query.minRam),
    sortKey: query.sort_key,
    sortDir: query.sort_dir === 'desc' ? 'desc' : 'asc',
    marker: query.marker,
  }
}

function limitOf(text: string | undefined): number {
  return Math.min(wholeNumber('limit', text) ?? 1000, 1000)
}

/** As texts; looked at since 2.86. @throws Fault 400 */
function specsOf(request: ApiRequest, asked: Record<string, string | number>): Record<string, string> {
  const specs = Object.fromEntries(Object.entries(asked).map(([key, value]) => [key, String(value)]))
  if (request.version.atLeast('2.86')) checkExtraSpecs(specs)
  return specs
}

const summary = (request: ApiRequest, flavor: flavors.Flavor) => ({
  id: flavor.id,
  name: flavor.name,
  links: links(request, `/flavors/${flavor.id}`),
  ...(request.version.atLeast('2.55') ? { description: flavor.description } : {}),
})

const view = (request: ApiRequest, flavor: flavors.Flavor) => ({
  ...summary(request, flavor),
  ram: Number(flavor.ram),
  disk: Number(flavor.disk),
  vcpus: Number(flavor.vcpus),
  swap: Number(flavor.swap) || (request.version.atLeast('2.75') ? 0 : ''),
  rxtx_factor: flavor.rxtx_factor,
  'OS-FLV-EXT-DATA:ephemeral': Number(flavor.ephemeral),
  'OS-FLV-DISABLED:disabled': flavor.disabled === 1,
  'os-flavor-access:is_public': flavor.is_public === 1,
  ...(request.version.atLeast('2.61') ? { extra_specs: flavor.extraSpecs } : {}),
})
