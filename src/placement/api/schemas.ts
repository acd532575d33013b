import Type, { type Static, type TSchema } from 'typebox'
import { MAX_UNIT } from '../app/inventory.ts'

export const closed = { additionalProperties: false }
const UUID = '^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$'
const CLASS = '^[A-Z0-9_]+$'

export const Uuid = Type.String({ pattern: UUID })
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([Type.Null(), schema])
export const Name = Type.String({ minLength: 1, maxLength: 200 })
export const ClassName = Type.String({ pattern: CLASS, minLength: 1, maxLength: 255 })
const Owner = Type.String({ minLength: 1, maxLength: 255 })
const Generation = Type.Integer({ minimum: 0 })
const Amount = Type.Integer({ minimum: 1, maximum: MAX_UNIT })
/** An object whose keys fit `pattern`. */
const keyed = (pattern: string, of: TSchema, more: object = {}): TSchema =>
  Type.Unsafe({ type: 'object', patternProperties: { [pattern]: of }, additionalProperties: false, ...more })
/** A query parameter that may be there several times. */
export const Repeated = Type.Array(Type.String({ minLength: 1 }))

// requests

export const NewProviderBody = Type.Object({ name: Name, uuid: Type.Optional(Uuid) }, closed)
export const NewNestedProviderBody = Type.Object(
  { name: Name, uuid: Type.Optional(Uuid), parent_provider_uuid: Type.Optional(Nullable(Uuid)) },
  closed,
)
export const ProviderBody = Type.Object({ name: Name }, closed)
export const NestedProviderBody = Type.Object({ name: Name, parent_provider_uuid: Type.Optional(Nullable(Uuid)) }, closed)

const inventory = {
  total: Type.Integer({ minimum: 1, maximum: MAX_UNIT }),
  reserved: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_UNIT })),
  min_unit: Type.Optional(Amount),
  max_unit: Type.Optional(Amount),
  step_size: Type.Optional(Amount),
  allocation_ratio: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 3.4e38 })),
}
/** What a provider is said to have of a class; what is left out has its default. */
const Inventory = Type.Object(inventory, closed)
export type InventoryDocument = Static<typeof Inventory>
export const InventoriesBody = Type.Object({ resource_provider_generation: Generation, inventories: keyed(CLASS, Inventory) }, closed)
export const NewInventoryBody = Type.Object(
  { resource_class: ClassName, resource_provider_generation: Type.Optional(Generation), ...inventory },
  closed,
)
export const InventoryBody = Type.Object({ resource_provider_generation: Generation, ...inventory }, closed)

export const AggregateListBody = Type.Array(Uuid, { uniqueItems: true })
export const AggregatesBody = Type.Object(
  { resource_provider_generation: Generation, aggregates: Type.Array(Uuid, { uniqueItems: true }) },
  closed,
)
export const TraitsBody = Type.Object(
  { resource_provider_generation: Generation, traits: Type.Array(ClassName, { uniqueItems: true }) },
  closed,
)
export const ClassBody = Type.Object({ name: ClassName }, closed)

const Resources = keyed(CLASS, Amount, { minProperties: 1 })
const allocationsByProvider = (more: object = {}) =>
  keyed(UUID, Type.Object({ resources: Resources, generation: Type.Optional(Generation) }, closed), more)
const owners = { project_id: Owner, user_id: Owner }
const ConsumerType = Type.String({ pattern: '^[A-Z0-9_]+$', minLength: 1, maxLength: 255 })
const Mappings = Type.Optional(Type.Record(Type.String(), Type.Array(Uuid)))

const listed = Type.Array(Type.Object({ resource_provider: Type.Object({ uuid: Uuid }, closed), resources: Resources }, closed), {
  minItems: 1,
})
const claim12 = { allocations: allocationsByProvider({ minProperties: 1 }), ...owners }
const claim28 = { allocations: allocationsByProvider(), ...owners, consumer_generation: Nullable(Generation) }
const claim34 = { ...claim28, mappings: Mappings }
const claim38 = { ...claim34, consumer_type: ConsumerType }

/** PUT /allocations/{consumer} by the microversion from which it has this shape. */
export const claimBodies: [min: string, max: string, body: TSchema][] = [
  ['1.0', '1.7', Type.Object({ allocations: listed }, closed)],
  ['1.8', '1.11', Type.Object({ allocations: listed, ...owners }, closed)],
  ['1.12', '1.27', Type.Object(claim12, closed)],
  ['1.28', '1.33', Type.Object(claim28, closed)],
  ['1.34', '1.37', Type.Object(claim34, closed)],
  ['1.38', '1.39', Type.Object(claim38, closed)],
]

const many = (of: object) => keyed(UUID, Type.Object(of as Record<string, TSchema>, closed), { minProperties: 1 })
/** POST /allocations likewise. */
export const claimsBodies: [min: string, max: string, body: TSchema][] = [
  ['1.13', '1.27', many({ ...claim12, allocations: allocationsByProvider() })],
  ['1.28', '1.33', many(claim28)],
  ['1.34', '1.37', many(claim34)],
  ['1.38', '1.39', many(claim38)],
]

// queries

export const NoQuery = Type.Object({}, closed)
export const ProviderListQuery = Type.Partial(
  Type.Object({
    name: Type.String(),
    uuid: Uuid,
    member_of: Repeated,
    resources: Type.String(),
    in_tree: Type.String(),
    required: Repeated,
  }),
  closed,
)
export const TraitListQuery = Type.Partial(Type.Object({ name: Type.String(), associated: Type.String() }), closed)
export const UsageQuery = Type.Object(
  {
    project_id: Owner,
    user_id: Type.Optional(Owner),
    consumer_type: Type.Optional(Type.String({ pattern: '^([A-Z0-9_]+|all|unknown)$' })),
  },
  closed,
)
export const CandidatesQuery = Type.Unsafe<Record<string, any>>({
  type: 'object',
  properties: {
    limit: { type: 'integer', minimum: 1 },
    group_policy: { type: 'string', enum: ['none', 'isolate'] },
    root_required: { type: 'string' },
  },
  patternProperties: {
    '^resources[a-zA-Z0-9_-]{0,64}$': { type: 'string' },
    '^(required|member_of)[a-zA-Z0-9_-]{0,64}$': { type: 'array', items: { type: 'string', minLength: 1 } },
    '^in_tree[a-zA-Z0-9_-]{0,64}$': { type: 'string' },
  },
  additionalProperties: false,
})

// answers

const Links = Type.Array(Type.Object({ rel: Type.String(), href: Type.String() }, closed))
const Amounts = Type.Record(Type.String(), Type.Integer())

export const ProviderView = Type.Object(
  {
    uuid: Type.String(),
    name: Type.String(),
    generation: Type.Integer(),
    links: Links,
    parent_provider_uuid: Type.Optional(Nullable(Type.String())),
    root_provider_uuid: Type.Optional(Type.String()),
  },
  closed,
)
export type ProviderDocument = Required<Static<typeof ProviderView>>
export const ProviderList = Type.Object({ resource_providers: Type.Array(ProviderView) }, closed)

const inventoryView = {
  total: Type.Integer(),
  reserved: Type.Integer(),
  min_unit: Type.Integer(),
  max_unit: Type.Integer(),
  step_size: Type.Integer(),
  allocation_ratio: Type.Number(),
}
const generation = { resource_provider_generation: Type.Integer() }
export const InventoriesView = Type.Object(
  { ...generation, inventories: Type.Record(Type.String(), Type.Object(inventoryView, closed)) },
  closed,
)
export const InventoryView = Type.Object({ ...generation, ...inventoryView }, closed)
export const ProviderUsages = Type.Object({ ...generation, usages: Amounts }, closed)
export const AggregatesView = Type.Object(
  { resource_provider_generation: Type.Optional(Type.Integer()), aggregates: Type.Array(Type.String()) },
  closed,
)
export const TraitsView = Type.Object({ ...generation, traits: Type.Array(Type.String()) }, closed)
export const TraitList = Type.Object({ traits: Type.Array(Type.String()) }, closed)
const ClassViewFields = { name: Type.String(), links: Links }
export const ClassView = Type.Object(ClassViewFields, closed)
export const ClassList = Type.Object({ resource_classes: Type.Array(ClassView) }, closed)

export const ConsumersView = Type.Object(
  {
    ...generation,
    allocations: Type.Record(
      Type.String(),
      Type.Object({ resources: Amounts, consumer_generation: Type.Optional(Type.Integer()) }, closed),
    ),
  },
  closed,
)
export const AllocationsView = Type.Object(
  {
    allocations: Type.Record(Type.String(), Type.Object({ resources: Amounts, generation: Type.Integer() }, closed)),
    project_id: Type.Optional(Nullable(Type.String())),
    user_id: Type.Optional(Nullable(Type.String())),
    consumer_generation: Type.Optional(Type.Integer()),
    consumer_type: Type.Optional(Type.String()),
  },
  closed,
)
export const UsagesView = Type.Object({ usages: Type.Record(Type.String(), Type.Union([Type.Integer(), Amounts])) }, closed)

const ListedAllocations = Type.Array(
  Type.Object({ resource_provider: Type.Object({ uuid: Type.String() }, closed), resources: Amounts }, closed),
)
const ProviderSummaryView = Type.Object(
  {
    resources: Type.Record(Type.String(), Type.Object({ capacity: Type.Integer(), used: Type.Integer() }, closed)),
    traits: Type.Optional(Type.Array(Type.String())),
    parent_provider_uuid: Type.Optional(Nullable(Type.String())),
    root_provider_uuid: Type.Optional(Type.String()),
  },
  closed,
)
/** At the newest microversion. */
export type ProviderSummary = Required<Static<typeof ProviderSummaryView>>

export const CandidatesView = Type.Object(
  {
    allocation_requests: Type.Array(
      Type.Object(
        {
          allocations: Type.Union([ListedAllocations, Type.Record(Type.String(), Type.Object({ resources: Amounts }, closed))]),
          mappings: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()))),
        },
        closed,
      ),
    ),
    provider_summaries: Type.Record(Type.String(), ProviderSummaryView),
  },
  closed,
)

export const VersionList = Type.Object(
  {
    versions: Type.Array(
      Type.Object(
        { id: Type.String(), status: Type.String(), min_version: Type.String(), max_version: Type.String(), links: Links },
        closed,
      ),
    ),
  },
  closed,
)
