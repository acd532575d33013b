import { badRequest } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { type Amounts, allocationsFor, type Claim, claimAll, consumersOf, projectUsages, release } from '../app/allocation.ts'
import type { PlacementContext } from '../app/context.ts'
import { fresh } from './fresh.ts'
import { AllocationsView, ConsumersView, claimBodies, claimsBodies, UsageQuery, UsagesView } from './schemas.ts'
import { allocationsView, UNKNOWN_TYPE } from './views.ts'

type ClaimBody = {
  allocations:
    | { resource_provider: { uuid: string }; resources: Record<string, number> }[]
    | Record<string, { resources: Record<string, number> }>
  project_id?: string
  user_id?: string
  consumer_generation?: number | null
  consumer_type?: string
}

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i

function claimOf(consumer: string, body: ClaimBody): Claim {
  if (!UUID.test(consumer)) throw badRequest(`Malformed allocation data: the consumer ${consumer} is no UUID.`)
  const allocations: Amounts = Array.isArray(body.allocations)
    ? Object.fromEntries(body.allocations.map((one) => [one.resource_provider.uuid, one.resources]))
    : Object.fromEntries(Object.entries(body.allocations).map(([uuid, one]) => [uuid, one.resources]))
  return {
    consumer,
    allocations,
    projectId: body.project_id ?? null,
    userId: body.user_id ?? null,
    consumerType: body.consumer_type,
    generation: body.consumer_generation,
  }
}

export function allocationRoutes(context: PlacementContext): Route[] {
  return [
    {
      method: 'GET',
      path: '/allocations/:consumer_uuid',
      doc: 'Show what a consumer holds',
      policy: 'placement:allocations:list',
      response: AllocationsView,
      handler: async (request) =>
        fresh(request, allocationsView(await allocationsFor(context, request.params.consumer_uuid!), request.version)),
    },
    ...claimBodies.map(
      ([min, max, body]): Route => ({
        method: 'PUT',
        path: '/allocations/:consumer_uuid',
        doc: `Claim resources for a consumer, in place of what it held (microversions ${min} to ${max})`,
        policy: 'placement:allocations:update',
        microversions: { min, max },
        body,
        response: 'nothing',
        handler: (request) => claimAll(context, [claimOf(request.params.consumer_uuid!, request.body)]),
      }),
    ),
    ...claimsBodies.map(
      ([min, max, body]): Route => ({
        method: 'POST',
        path: '/allocations',
        doc: `Claim resources for several consumers, all or none (microversions ${min} to ${max})`,
        policy: 'placement:allocations:manage',
        microversions: { min, max },
        body,
        response: 'nothing',
        handler: (request) =>
          claimAll(
            context,
            Object.entries(request.body as Record<string, ClaimBody>).map(([consumer, one]) => claimOf(consumer, one)),
          ),
      }),
    ),
    {
      method: 'DELETE',
      path: '/allocations/:consumer_uuid',
      doc: 'Give back what a consumer holds',
      policy: 'placement:allocations:delete',
      response: 'nothing',
      handler: (request) => release(context, request.params.consumer_uuid!),
    },
    {
      method: 'GET',
      path: '/resource_providers/:uuid/allocations',
      doc: 'List who holds what of a resource provider',
      policy: 'placement:resource_providers:allocations:list',
      response: ConsumersView,
      async handler(request) {
        const { provider, allocations } = await consumersOf(context, request.params.uuid!)
        const withGeneration = request.version.atLeast('1.28')
        return fresh(request, {
          resource_provider_generation: provider.generation,
          allocations: Object.fromEntries(
            Object.entries(allocations).map(([consumer, one]) => [consumer, withGeneration ? one : { resources: one.resources }]),
          ),
        })
      },
    },
    {
      method: 'GET',
      path: '/usages',
      doc: 'Show what a project holds in all',
      policy: 'placement:usages',
      target: (request) => ({ project_id: request.query.project_id }),
      microversions: { min: '1.9' },
      query: UsageQuery,
      response: UsagesView,
      handler: (request) => usages(context, request),
    },
  ]
}

/** From 1.38 by consumer type; `all` adds all types up. */
async function usages(context: PlacementContext, request: ApiRequest) {
  const { project_id: projectId, user_id: userId, consumer_type: asked } = request.query
  const typed = request.version.atLeast('1.38')
  const consumerType = !typed || asked === undefined || asked === 'all' ? undefined : asked === UNKNOWN_TYPE ? null : asked
  const { used, consumers } = await projectUsages(context, { projectId, userId, consumerType })
  const sums: Record<string, Record<string, number>> = {}
  const together = !typed || asked === 'all'
  for (const { type, resourceClass, used: amount } of used) {
    const name = together ? 'all' : (type ?? UNKNOWN_TYPE)
    sums[name] ??= {}
    sums[name]![resourceClass] = (sums[name]![resourceClass] ?? 0) + amount
  }
  if (!typed) return fresh(request, { usages: sums.all ?? {} })
  for (const [type, count] of consumers) {
    const sum = sums[together ? 'all' : (type ?? UNKNOWN_TYPE)]
    if (sum) sum.consumer_count = (sum.consumer_count ?? 0) + count
  }
  return fresh(request, { usages: sums })
}
