import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { PlacementContext } from '../app/context.ts'
import { badValue } from '../app/faults.ts'
import { findProviders } from '../app/list.ts'
import { changeProvider, createProvider, provider, removeProvider } from '../app/provider.ts'
import { parseMemberOf, parseRequired, parseResources, parseTree } from '../app/query.ts'
import { fresh } from './fresh.ts'
import {
  NestedProviderBody,
  NewNestedProviderBody,
  NewProviderBody,
  ProviderBody,
  ProviderList,
  ProviderListQuery,
  ProviderView,
} from './schemas.ts'
import { providerView } from './views.ts'

const FILTERS: Record<string, string> = { member_of: '1.3', resources: '1.4', in_tree: '1.14', required: '1.18' }

export function providerRoutes(context: PlacementContext): Route[] {
  const create = async (request: ApiRequest) => {
    const { name, uuid, parent_provider_uuid: parentUuid } = request.body
    const made = await createProvider(context, { name, uuid, parentUuid })
    const headers = { Location: request.link(`/resource_providers/${made.uuid}`) }
    if (!request.version.atLeast('1.20')) return new Reply(undefined, { status: 201, headers })
    return fresh(request, providerView(made, request.version), { at: made.updated_at, headers })
  }
  const change = async (request: ApiRequest) => {
    const { name, parent_provider_uuid: parentUuid } = request.body
    const changed = await changeProvider(context, request.params.uuid!, { name, parentUuid, mayMove: request.version.atLeast('1.37') })
    return fresh(request, providerView(changed, request.version), { at: changed.updated_at })
  }
  const flat = { max: '1.13' }
  const nested = { min: '1.14' }
  const created = { method: 'POST', path: '/resource_providers', policy: 'placement:resource_providers:create' } as const
  const updated = { method: 'PUT', path: '/resource_providers/:uuid', policy: 'placement:resource_providers:update' } as const
  return [
    {
      method: 'GET',
      path: '/resource_providers',
      doc: 'List resource providers, filtered by name, tree, aggregates, traits and what they can give',
      policy: 'placement:resource_providers:list',
      query: ProviderListQuery,
      response: ProviderList,
      async handler(request) {
        const { query, version } = request
        for (const [name, min] of Object.entries(FILTERS))
          if (query[name] !== undefined && !version.atLeast(min)) throw badValue(`The parameter ${name} needs microversion ${min}.`)
        const found = await findProviders(context, {
          name: query.name,
          uuid: query.uuid,
          resources: query.resources === undefined ? {} : parseResources(query.resources),
          ...parseRequired(query.required, { forbidden: version.atLeast('1.22'), any: version.atLeast('1.39') }),
          ...parseMemberOf(query.member_of),
          inTree: parseTree(query.in_tree),
        })
        const newest = found
          .map((one) => one.updated_at)
          .toSorted()
          .at(-1)
        return fresh(request, { resource_providers: found.map((one) => providerView(one, version)) }, { at: newest })
      },
    },
    {
      ...created,
      doc: 'Create a resource provider (without a parent)',
      microversions: flat,
      body: NewProviderBody,
      response: 'nothing',
      handler: create,
    },
    {
      ...created,
      doc: 'Create a resource provider',
      microversions: nested,
      body: NewNestedProviderBody,
      response: ProviderView,
      handler: create,
    },
    {
      method: 'GET',
      path: '/resource_providers/:uuid',
      doc: 'Show a resource provider',
      policy: 'placement:resource_providers:show',
      response: ProviderView,
      async handler(request) {
        const found = await provider(context, request.params.uuid!)
        return fresh(request, providerView(found, request.version), { at: found.updated_at })
      },
    },
    {
      ...updated,
      doc: 'Rename a resource provider',
      microversions: flat,
      body: ProviderBody,
      response: ProviderView,
      handler: change,
    },
    {
      ...updated,
      doc: 'Rename a resource provider or give it another parent',
      microversions: nested,
      body: NestedProviderBody,
      response: ProviderView,
      handler: change,
    },
    {
      method: 'DELETE',
      path: '/resource_providers/:uuid',
      doc: 'Delete a resource provider that nobody holds anything of',
      policy: 'placement:resource_providers:delete',
      response: 'nothing',
      handler: (request) => removeProvider(context, request.params.uuid!),
    },
  ]
}
