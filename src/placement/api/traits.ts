import { notFound } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { PlacementContext } from '../app/context.ts'
import { badValue } from '../app/faults.ts'
import { clearTraits, providerAggregates, providerTraits, setAggregates, setTraits } from '../app/provider.ts'
import { ensureTrait, listTraits, removeTrait, traitExists } from '../app/trait.ts'
import { fresh } from './fresh.ts'
import { AggregateListBody, AggregatesBody, AggregatesView, TraitList, TraitListQuery, TraitsBody, TraitsView } from './schemas.ts'
import { aggregatesView, traitsView } from './views.ts'

const since16 = { min: '1.6' }

/** Traits, and which providers have them; aggregates, and which providers are in them. */
export function traitRoutes(context: PlacementContext): Route[] {
  return [
    {
      method: 'GET',
      path: '/traits',
      doc: 'List traits, standard and custom',
      policy: 'placement:traits:list',
      microversions: since16,
      query: TraitListQuery,
      response: TraitList,
      async handler(request) {
        const { name, associated } = request.query
        if (associated !== undefined && !/^(true|false)$/i.test(associated))
          throw badValue(`The query parameter "associated" only accepts "true" or "false", not ${associated}.`)
        const traits = await listTraits(context, { name, associated: associated === undefined ? undefined : /^true$/i.test(associated) })
        return fresh(request, { traits })
      },
    },
    {
      method: 'GET',
      path: '/traits/:name',
      doc: 'Tell whether there is such a trait',
      policy: 'placement:traits:show',
      microversions: since16,
      response: 'nothing',
      async handler(request) {
        const { name } = request.params
        if (!(await traitExists(context, name!))) throw notFound(`No such trait: ${name}`)
        return fresh(request, undefined, { status: 204 })
      },
    },
    {
      method: 'PUT',
      path: '/traits/:name',
      doc: 'Create a custom trait, if it is not there',
      policy: 'placement:traits:update',
      microversions: since16,
      response: 'nothing',
      async handler(request) {
        const { name } = request.params
        const isNew = await ensureTrait(context, name!)
        return fresh(request, undefined, { status: isNew ? 201 : 204, headers: { Location: request.link(`/traits/${name}`) } })
      },
    },
    {
      method: 'DELETE',
      path: '/traits/:name',
      doc: 'Delete a custom trait that no provider has',
      policy: 'placement:traits:delete',
      microversions: since16,
      response: 'nothing',
      handler: (request) => removeTrait(context, request.params.name!),
    },
    ...providerTraitRoutes(context),
    ...aggregateRoutes(context),
  ]
}

function providerTraitRoutes(context: PlacementContext): Route[] {
  return [
    {
      method: 'GET',
      path: '/resource_providers/:uuid/traits',
      doc: 'List the traits of a resource provider',
      policy: 'placement:resource_providers:traits:list',
      microversions: since16,
      response: TraitsView,
      handler: async (request) => fresh(request, traitsView(await providerTraits(context, request.params.uuid!))),
    },
    {
      method: 'PUT',
      path: '/resource_providers/:uuid/traits',
      doc: 'Replace the traits of a resource provider',
      policy: 'placement:resource_providers:traits:update',
      microversions: since16,
      body: TraitsBody,
      response: TraitsView,
      async handler(request) {
        const { resource_provider_generation: generation, traits } = request.body
        return fresh(request, traitsView(await setTraits(context, request.params.uuid!, generation, traits)))
      },
    },
    {
      method: 'DELETE',
      path: '/resource_providers/:uuid/traits',
      doc: 'Take all traits of a resource provider away',
      policy: 'placement:resource_providers:traits:delete',
      microversions: since16,
      response: 'nothing',
      async handler(request) {
        await clearTraits(context, request.params.uuid!)
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}

function aggregateRoutes(context: PlacementContext): Route[] {
  const set = async (request: ApiRequest) => {
    const listed = Array.isArray(request.body)
    const generation = listed ? null : request.body.resource_provider_generation
    const after = await setAggregates(context, request.params.uuid!, generation, listed ? request.body : request.body.aggregates)
    return fresh(request, aggregatesView(after, request.version))
  }
  const path = '/resource_providers/:uuid/aggregates'
  const update = { method: 'PUT', path, policy: 'placement:resource_providers:aggregates:update', response: AggregatesView } as const
  return [
    {
      method: 'GET',
      path,
      doc: 'List the aggregates that a resource provider is in',
      policy: 'placement:resource_providers:aggregates:list',
      microversions: { min: '1.1' },
      response: AggregatesView,
      handler: async (request) => fresh(request, aggregatesView(await providerAggregates(context, request.params.uuid!), request.version)),
    },
    {
      ...update,
      doc: 'Replace the aggregates that a resource provider is in (a bare list)',
      microversions: { min: '1.1', max: '1.18' },
      body: AggregateListBody,
      handler: set,
    },
    {
      ...update,
      doc: 'Replace the aggregates that a resource provider is in',
      microversions: { min: '1.19' },
      body: AggregatesBody,
      handler: set,
    },
  ]
}
