import { notFound } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { providerUsages } from '../app/allocation.ts'
import type { PlacementContext } from '../app/context.ts'
import {
  addInventory,
  changeInventory,
  clearInventories,
  type Inventories,
  providerInventories,
  removeInventory,
  setInventories,
} from '../app/inventory.ts'
import { fresh } from './fresh.ts'
import { InventoriesBody, InventoriesView, InventoryBody, InventoryView, NewInventoryBody, ProviderUsages } from './schemas.ts'
import { inventoriesView, inventoryView } from './views.ts'

/** One of a provider's inventories. @throws Fault 404 */
function oneOf({ provider, inventories }: Inventories, resourceClass: string) {
  const row = inventories.find((one) => one.resource_class === resourceClass)
  if (!row) throw notFound(`No inventory of class ${resourceClass} for ${provider.uuid}`)
  return { resource_provider_generation: provider.generation, ...inventoryView(row) }
}

const mayBeAll = (request: ApiRequest) => request.version.atLeast('1.26')

export function inventoryRoutes(context: PlacementContext): Route[] {
  const rule = (verb: string) => `placement:resource_providers:inventories:${verb}`
  return [
    {
      method: 'GET',
      path: '/resource_providers/:uuid/inventories',
      doc: 'List what a resource provider has',
      policy: rule('list'),
      response: InventoriesView,
      handler: async (request) => fresh(request, inventoriesView(await providerInventories(context, request.params.uuid!))),
    },
    {
      method: 'PUT',
      path: '/resource_providers/:uuid/inventories',
      doc: 'Replace what a resource provider has',
      policy: rule('update'),
      body: InventoriesBody,
      response: InventoriesView,
      async handler(request) {
        const { resource_provider_generation: generation, inventories } = request.body
        const reservedMayBeAll = mayBeAll(request)
        return fresh(
          request,
          inventoriesView(await setInventories(context, request.params.uuid!, { generation, inventories, reservedMayBeAll })),
        )
      },
    },
    {
      method: 'POST',
      path: '/resource_providers/:uuid/inventories',
      doc: 'Add the inventory of one resource class',
      policy: rule('create'),
      body: NewInventoryBody,
      response: InventoryView,
      async handler(request) {
        const { resource_provider_generation: generation, resource_class: resourceClass, ...inventory } = request.body
        const { uuid } = request.params
        const one = { resourceClass, inventory, reservedMayBeAll: mayBeAll(request) }
        const after = await addInventory(context, uuid!, generation ?? null, one)
        const headers = { Location: request.link(`/resource_providers/${uuid}/inventories/${resourceClass}`) }
        return fresh(request, oneOf(after, resourceClass), { status: 201, headers })
      },
    },
    {
      method: 'DELETE',
      path: '/resource_providers/:uuid/inventories',
      doc: 'Delete all inventories of a resource provider',
      policy: rule('delete'),
      microversions: { min: '1.5' },
      response: 'nothing',
      handler: (request) => clearInventories(context, request.params.uuid!),
    },
    {
      method: 'GET',
      path: '/resource_providers/:uuid/inventories/:resource_class',
      doc: 'Show the inventory of one resource class',
      policy: rule('show'),
      response: InventoryView,
      handler: async (request) =>
        fresh(request, oneOf(await providerInventories(context, request.params.uuid!), request.params.resource_class!)),
    },
    {
      method: 'PUT',
      path: '/resource_providers/:uuid/inventories/:resource_class',
      doc: 'Change the inventory of one resource class',
      policy: rule('update'),
      body: InventoryBody,
      response: InventoryView,
      async handler(request) {
        const { resource_provider_generation: generation, ...inventory } = request.body
        const resourceClass = request.params.resource_class!
        const one = { resourceClass, inventory, reservedMayBeAll: mayBeAll(request) }
        return fresh(request, oneOf(await changeInventory(context, request.params.uuid!, generation, one), resourceClass))
      },
    },
    {
      method: 'DELETE',
      path: '/resource_providers/:uuid/inventories/:resource_class',
      doc: 'Delete the inventory of one resource class',
      policy: rule('delete'),
      response: 'nothing',
      async handler(request) {
        await removeInventory(context, request.params.uuid!, request.params.resource_class!)
        return new Reply(undefined, { status: 204 })
      },
    },
    {
      method: 'GET',
      path: '/resource_providers/:uuid/usages',
      doc: 'Show what is held of a resource provider',
      policy: 'placement:resource_providers:usages',
      response: ProviderUsages,
      async handler(request) {
        const { provider, usages } = await providerUsages(context, request.params.uuid!)
        return fresh(request, { resource_provider_generation: provider.generation, usages })
      },
    },
  ]
}
