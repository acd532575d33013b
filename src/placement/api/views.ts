import type { Version } from '../../kernel/http/microversion.ts'
import type { Held } from '../app/allocation.ts'
import type { Candidate, Summary } from '../app/candidates.ts'
import type { InventoryRow } from '../app/inventory.ts'
import type { Provider } from '../app/provider.ts'

const ROOT = '/placement'
const LINKS: [rel: string, min: string][] = [
  ['inventories', '1.0'],
  ['usages', '1.0'],
  ['aggregates', '1.1'],
  ['traits', '1.6'],
  ['allocations', '1.11'],
]

export function providerView(provider: Provider, version: Version) {
  const href = `${ROOT}/resource_providers/${provider.uuid}`
  return {
    uuid: provider.uuid,
    name: provider.name,
    generation: provider.generation,
    ...(version.atLeast('1.14') ? { parent_provider_uuid: provider.parent_uuid, root_provider_uuid: provider.root_uuid } : {}),
    links: [{ rel: 'self', href }, ...LINKS.filter(([, min]) => version.atLeast(min)).map(([rel]) => ({ rel, href: `${href}/${rel}` }))],
  }
}

export const inventoryView = (row: InventoryRow) => ({
  total: row.total,
  reserved: row.reserved,
  min_unit: row.min_unit,
  max_unit: row.max_unit,
  step_size: row.step_size,
  allocation_ratio: row.allocation_ratio,
})

export const inventoriesView = ({ provider, inventories }: { provider: Provider; inventories: InventoryRow[] }) => ({
  resource_provider_generation: provider.generation,
  inventories: Object.fromEntries(inventories.map((row) => [row.resource_class, inventoryView(row)])),
})

export const aggregatesView = ({ provider, aggregates }: { provider: Provider; aggregates: string[] }, version: Version) => ({
  aggregates,
  ...(version.atLeast('1.19') ? { resource_provider_generation: provider.generation } : {}),
})

export const traitsView = ({ provider, traits }: { provider: Provider; traits: string[] }) => ({
  resource_provider_generation: provider.generation,
  traits,
})

export const classView = (name: string) => ({ name, links: [{ rel: 'self', href: `${ROOT}/resource_classes/${name}` }] })

export const UNKNOWN_TYPE = 'unknown'

export function allocationsView({ consumer, allocations }: Held, version: Version) {
  if (!consumer) return { allocations }
  return {
    allocations,
    ...(version.atLeast('1.12') ? { project_id: consumer.project_id, user_id: consumer.user_id } : {}),
    ...(version.atLeast('1.28') ? { consumer_generation: consumer.generation } : {}),
    ...(version.atLeast('1.38') ? { consumer_type: consumer.consumer_type ?? UNKNOWN_TYPE } : {}),
  }
}

export function candidatesView(found: { candidates: Candidate[]; summaries: Summary[] }, asked: string[], version: Version) {
  const all = version.atLeast('1.27')
  return {
    allocation_requests: found.candidates.map(({ allocations, mappings }) => ({
      allocations: version.atLeast('1.12')
        ? Object.fromEntries(Object.entries(allocations).map(([uuid, resources]) => [uuid, { resources }]))
        : Object.entries(allocations).map(([uuid, resources]) => ({ resource_provider: { uuid }, resources })),
      ...(version.atLeast('1.34') ? { mappings } : {}),
    })),
    provider_summaries: Object.fromEntries(
      found.summaries.map(({ provider, resources, traits }) => [
        provider.uuid,
        {
          resources: all ? resources : Object.fromEntries(Object.entries(resources).filter(([name]) => asked.includes(name))),
          ...(version.atLeast('1.17') ? { traits } : {}),
          ...(version.atLeast('1.29') ? { parent_provider_uuid: provider.parent_uuid, root_provider_uuid: provider.root_uuid } : {}),
        },
      ]),
    ),
  }
}
