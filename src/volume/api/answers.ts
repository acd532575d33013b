import Type, { type Static, type TSchema } from 'typebox'
import { Nullable } from './schemas.ts'

const Text = Type.String()
const MaybeText = Nullable(Text)
const Whole = Type.Integer()
const Flag = Type.Boolean()
const { Optional } = Type
const table = (value: TSchema) => Type.Record(Text, value)
const Link = Type.Object({ rel: Text, href: Text, type: Optional(Text) })
const Links = Type.Array(Link)

/** The one key of an answer. */
export const shown = (key: string, schema: TSchema) => Type.Object({ [key]: schema })
const paged = (key: string, item: TSchema) => Type.Object({ [key]: Type.Array(item), [`${key}_links`]: Optional(Links) })

export const Extensions = shown(
  'extensions',
  Type.Array(Type.Object({ alias: Text, name: Text, description: Text, links: Links, updated: Text })),
)

const Message = Type.Object({
  id: Text,
  event_id: Text,
  user_message: Text,
  message_level: Text,
  resource_type: Text,
  resource_uuid: MaybeText,
  request_id: MaybeText,
  created_at: MaybeText,
  guaranteed_until: MaybeText,
})
export type MessageDocument = Static<typeof Message>
export const MessageAnswer = shown('message', Message)
export const MessageList = paged('messages', Message)

/** Resource → limit; a volume type's own are among them. */
const limits = table(Type.Union([Whole, Text]))
const Used = Type.Object({ limit: Whole, in_use: Whole, reserved: Whole, allocated: Whole })
export const QuotaSet = shown('quota_set', limits)
export const QuotaUse = shown('quota_set', table(Type.Union([Used, Text, Whole])))
export const QuotaClassSet = shown('quota_class_set', limits)
export const LimitsAnswer = shown('limits', Type.Object({ rate: Type.Array(Type.Never()), absolute: table(Whole) }))

const service = { host: Text, binary: Text, status: Text, disabled_reason: MaybeText }
export const ChangedService = Type.Object({ ...service, service: Text, disabled: Flag })
export const Services = shown(
  'services',
  Type.Array(
    Type.Object({
      ...service,
      zone: Text,
      state: Text,
      updated_at: MaybeText,
      cluster: Optional(Type.Null()),
      backend_state: Optional(Text),
    }),
  ),
)
export const Zones = shown('availabilityZoneInfo', Type.Array(Type.Object({ zoneName: Text, zoneState: Type.Object({ available: Flag }) })))
const Capabilities = Type.Object({
  pool_name: Text,
  volume_backend_name: Text,
  driver: Text,
  storage_protocol: Text,
  vendor_name: Text,
  driver_version: Text,
  total_capacity_gb: Type.Number(),
  free_capacity_gb: Type.Number(),
  allocated_capacity_gb: Type.Number(),
  provisioned_capacity_gb: Type.Number(),
  available_gb: Type.Number(),
  max_over_subscription_ratio: Text,
  reserved_percentage: Type.Number(),
  thin_provisioning_support: Flag,
  thick_provisioning_support: Flag,
  multiattach: Flag,
  QoS_support: Flag,
  backend_state: Text,
  notice: MaybeText,
  timestamp: MaybeText,
})
export const BackendCapabilities = Type.Object({
  namespace: Text,
  vendor_name: Text,
  volume_backend_name: Text,
  pool_name: MaybeText,
  driver_version: Text,
  storage_protocol: Text,
  display_name: MaybeText,
  description: MaybeText,
  visibility: MaybeText,
  replication_targets: Type.Array(Text),
  properties: table(Type.Object({ type: Text, title: Text, description: Text })),
})
export const Pools = shown('pools', Type.Array(Type.Object({ name: Text, capabilities: Optional(Capabilities) })))

export const ExtraSpec = table(Text)
export const ExtraSpecs = shown('extra_specs', ExtraSpec)
export const TypeAccess = shown('volume_type_access', Type.Array(Type.Object({ volume_type_id: Text, project_id: Text })))

export const Summary = shown('volume-summary', Type.Object({ total_count: Whole, total_size: Whole, metadata: Optional(Type.Object({})) }))

export const Versions = shown(
  'versions',
  Type.Array(
    Type.Object({
      id: Text,
      status: Text,
      version: Text,
      min_version: Text,
      updated: Text,
      links: Links,
      'media-types': Type.Array(Type.Object({ base: Text, type: Text })),
    }),
  ),
)
