/** The rows of the placement service. Times are ISO text. */
export interface ProviderRow {
  uuid: string
  name: string
  /** Moves with every change of what it has or holds: the compare-and-swap of inventories, traits, aggregates and allocations. */
  generation: number
  parent_uuid: string | null
  /** Itself when it has no parent. */
  root_uuid: string
  created_at: string
  updated_at: string
}

export interface InventoryRow {
  provider_uuid: string
  resource_class: string
  total: number
  reserved: number
  min_unit: number
  max_unit: number
  step_size: number
  allocation_ratio: number
}

export interface AllocationRow {
  consumer_uuid: string
  provider_uuid: string
  resource_class: string
  used: number
}

export interface ConsumerRow {
  uuid: string
  generation: number
  project_id: string | null
  user_id: string | null
  consumer_type: string | null
  created_at: string
  updated_at: string
}

export interface PlacementTables {
  providers: ProviderRow
  inventories: InventoryRow
  allocations: AllocationRow
  consumers: ConsumerRow
  provider_traits: { provider_uuid: string; trait: string }
  provider_aggregates: { provider_uuid: string; aggregate_uuid: string }
  /** Custom ones; the standard ones are in the program. */
  custom_traits: { name: string; created_at: string }
  custom_classes: { name: string; created_at: string }
}
