import Type, { type Static, type TSchema } from 'typebox'

export const Nullable = <T extends TSchema>(schema: T) => Type.Union([Type.Null(), schema])
export const Choice = <const T extends string>(values: readonly T[]) => Type.Unsafe<T>({ type: 'string', enum: values })
/** As Cinder leaves them open, for clients who send more than they need. */
export const open = (description: string) => ({ additionalProperties: Type.Unsafe<unknown>({ description }) })
const closed = { additionalProperties: false }

export const Text = Type.String({ maxLength: 255 })
export const Uuid = Type.String({ pattern: '^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$' })
export const Name = Nullable(Text)
/** GiB; the clients send numbers also as text. */
export const Size = Type.Union([Type.Integer({ minimum: 1, maximum: 2_147_483_647 }), Type.String({ pattern: '^[1-9][0-9]{0,9}$' })])
/** As Cinder takes them. */
export const Flag = Type.Union([
  Type.Boolean(),
  Choice(['true', 'True', 'TRUE', 'false', 'False', 'FALSE', '1', '0', 'yes', 'no', 'on', 'off']),
])
export const Metadata = Type.Record(Type.String({ minLength: 1, maxLength: 255 }), Type.String({ maxLength: 255 }))
const Optional = Type.Optional
const wrap = <const Name extends string, T extends TSchema>(name: Name, schema: T) =>
  Type.Object({ [name]: schema } as Record<Name, T>, closed)

/** Lists take every parameter: unknown ones are no filters. */
export const ListQuery = Type.Object({}, open('no filter'))

const newVolume = {
  id: Optional(Uuid),
  project_id: Optional(Nullable(Type.String({ minLength: 1, maxLength: 64 }))),
  user_id: Optional(Nullable(Type.String({ minLength: 1, maxLength: 64 }))),
  size: Optional(Nullable(Size)),
  name: Optional(Name),
  display_name: Optional(Name),
  description: Optional(Name),
  display_description: Optional(Name),
  volume_type: Optional(Name),
  availability_zone: Optional(Name),
  metadata: Optional(Nullable(Metadata)),
  imageRef: Optional(Name),
  image_id: Optional(Name),
  snapshot_id: Optional(Name),
  source_volid: Optional(Name),
  multiattach: Optional(Nullable(Flag)),
  backup_id: Optional(Type.Null()),
  group_id: Optional(Type.Null()),
  consistencygroup_id: Optional(Type.Null()),
  source_replica: Optional(Type.Null()),
}
const withHints = (volume: ReturnType<typeof Type.Object<typeof newVolume>>) =>
  Type.Object(
    { volume, 'OS-SCH-HNT:scheduler_hints': Optional(Nullable(Type.Object({}, open('hints of schedulers that are not here')))) },
    closed,
  )
/** Until 3.52 clients named what only the service could know, e.g. a status. */
export const NewVolumeUntil352 = withHints(Type.Object(newVolume, open('what Cinder overlooks here, too')))
export const NewVolume = withHints(Type.Object(newVolume, closed))

/** `id`, `project_id` and `user_id` are for a caller with the role service or admin; the same id again answers the volume that is there. */
export type NewVolumeDocument = Static<typeof NewVolume>['volume']

const renaming = {
  name: Optional(Name),
  display_name: Optional(Name),
  description: Optional(Name),
  display_description: Optional(Name),
  metadata: Optional(Metadata),
}
export const VolumeChange = wrap('volume', Type.Object(renaming, closed))
export const SnapshotChange = wrap('snapshot', Type.Object(renaming, { ...closed, minProperties: 1 }))

export const NewSnapshot = wrap(
  'snapshot',
  Type.Object(
    {
      id: Optional(Uuid),
      volume_id: Nullable(Uuid),
      name: Optional(Name),
      display_name: Optional(Name),
      description: Optional(Name),
      display_description: Optional(Name),
      metadata: Optional(Nullable(Metadata)),
      force: Optional(Nullable(Flag)),
    },
    closed,
  ),
)

export const MetadataBody = wrap('metadata', Metadata)
export const MetaBody = wrap('meta', Metadata)
const overlooked = open('what Cinder overlooks here, too')
export const SnapshotMetadataBody = Type.Object({ metadata: Metadata }, overlooked)
export const SnapshotMetaBody = Type.Object({ meta: Metadata }, overlooked)
export const action = (name: string, schema: TSchema) => wrap(name, schema)
export const Anything = Type.Unsafe<unknown>({ description: 'that it is there is what counts' })
export const Mode = Choice(['rw', 'ro'])
/** Who connects, and what is remembered of that. */
export const Connector = Type.Object(
  { host: Optional(Name), mountpoint: Optional(Name), mode: Optional(Nullable(Mode)) },
  open('each protocol has its own words'),
)

export const NewAttachment = wrap(
  'attachment',
  Type.Object(
    {
      id: Optional(Uuid),
      volume_uuid: Uuid,
      instance_uuid: Optional(Nullable(Uuid)),
      connector: Optional(Nullable(Connector)),
      mode: Optional(Nullable(Mode)),
    },
    closed,
  ),
)
export const AttachmentChange = wrap('attachment', Type.Object({ connector: Connector }, closed))

export const NewType = wrap(
  'volume_type',
  Type.Object(
    {
      name: Type.String({ minLength: 1, maxLength: 255 }),
      description: Optional(Name),
      extra_specs: Optional(Nullable(Metadata)),
      'os-volume-type-access:is_public': Optional(Flag),
    },
    closed,
  ),
)
export const TypeChange = wrap(
  'volume_type',
  Type.Object(
    { name: Optional(Nullable(Type.String({ minLength: 1, maxLength: 255 }))), description: Optional(Name), is_public: Optional(Flag) },
    closed,
  ),
)
export const ExtraSpecs = wrap('extra_specs', Metadata)
export const ExtraSpec = Metadata
const Limit = Type.Union([Type.Integer({ minimum: -1, maximum: 2_147_483_647 }), Type.String({ pattern: '^(-1|[0-9]{1,9})$' })])
export const QuotaChange = wrap('quota_set', Type.Record(Type.String(), Type.Union([Limit, Type.String(), Type.Null()])))
export const QuotaClassChange = wrap('quota_class_set', Type.Record(Type.String(), Type.Union([Limit, Type.String(), Type.Null()])))
export const ServiceChange = Type.Object({ host: Text, binary: Optional(Text), disabled_reason: Optional(Name) }, closed)
export const FrozenHost = Type.Object({ host: Text }, closed)

/* What is answered. */

const Time = Nullable(Type.String())
const Link = Type.Object({ rel: Type.String(), href: Type.String() }, closed)
const Links = Type.Array(Link)
const MaybeText = Nullable(Type.String())
const AttachmentOfVolume = Type.Object({
  id: Type.String(),
  attachment_id: Type.String(),
  volume_id: Type.String(),
  server_id: MaybeText,
  host_name: MaybeText,
  device: MaybeText,
  attached_at: Time,
})
export const VolumeView = Type.Object(
  {
    id: Type.String(),
    name: Nullable(Type.String()),
    description: Nullable(Type.String()),
    size: Type.Integer(),
    status: Type.String(),
    availability_zone: Type.String(),
    bootable: Choice(['true', 'false']),
    created_at: Time,
    updated_at: Time,
    volume_type: Type.String(),
    snapshot_id: Nullable(Type.String()),
    source_volid: Nullable(Type.String()),
    metadata: Metadata,
    attachments: Type.Array(AttachmentOfVolume),
    encrypted: Type.Boolean(),
    multiattach: Type.Boolean(),
    links: Links,
    user_id: Type.String(),
    volume_image_metadata: Optional(Type.Record(Type.String(), Type.String())),
    replication_status: Type.Null(),
    consistencygroup_id: Type.Null(),
    migration_status: Type.Null(),
    'os-vol-tenant-attr:tenant_id': Optional(Type.String()),
    'os-vol-host-attr:host': Optional(MaybeText),
    'os-vol-mig-status-attr:migstat': Optional(Type.Null()),
    'os-vol-mig-status-attr:name_id': Optional(Type.Null()),
    group_id: Optional(Type.Null()),
    provider_id: Optional(Type.Null()),
    shared_targets: Optional(Nullable(Type.Boolean())),
    service_uuid: Optional(Type.Null()),
    cluster_name: Optional(Type.Null()),
    volume_type_id: Optional(MaybeText),
    consumes_quota: Optional(Type.Boolean()),
  },
  closed,
)
const Brief = Type.Object({ id: Type.String(), name: Nullable(Type.String()), links: Links }, closed)
const page = (name: string, item: TSchema) =>
  Type.Object({ [name]: Type.Array(item), [`${name}_links`]: Optional(Links), count: Optional(Type.Integer()) }, closed)
export const VolumeAnswer = Type.Object({ volume: VolumeView }, closed)
export const VolumeList = page('volumes', Brief)
export const VolumeDetails = page('volumes', VolumeView)
export const SnapshotView = Type.Object(
  {
    id: Type.String(),
    name: Nullable(Type.String()),
    description: Nullable(Type.String()),
    volume_id: Type.String(),
    size: Type.Integer(),
    status: Type.String(),
    created_at: Time,
    updated_at: Time,
    metadata: Metadata,
    'os-extended-snapshot-attributes:project_id': Optional(Type.String()),
    'os-extended-snapshot-attributes:progress': Optional(Type.String()),
    group_snapshot_id: Optional(Type.Null()),
    user_id: Optional(Type.String()),
    consumes_quota: Optional(Type.Boolean()),
  },
  closed,
)
export type VolumeDocument = Static<typeof VolumeView>
export type SnapshotDocument = Static<typeof SnapshotView>
export const SnapshotAnswer = Type.Object({ snapshot: SnapshotView }, closed)
export const SnapshotList = page('snapshots', SnapshotView)

const target = {
  target_discovered: Type.Boolean(),
  target_portal: Type.String(),
  target_iqn: Type.String(),
  target_lun: Type.Integer(),
  volume_id: Type.String(),
  auth_method: Type.String(),
  auth_username: Type.String(),
  auth_password: Optional(Type.String()),
  access_mode: Type.String(),
  encrypted: Type.Boolean(),
  qos_specs: Nullable(Type.Record(Type.String(), Type.String())),
  cacheable: Type.Boolean(),
  discard: Type.Boolean(),
}
const driver = { driver_volume_type: Type.String(), attachment_id: Type.String() }
/** As os-initialize_connection answers. */
export const Connection = Type.Object({ connection_info: Type.Object({ ...driver, data: Type.Object(target) }) })
/** Empty until somebody connects. */
const ConnectionInfo = Type.Union([Type.Object({ ...driver, ...target }), Type.Object({})])
export const AttachmentView = Type.Object(
  {
    id: Type.String(),
    volume_id: Type.String(),
    instance: Nullable(Type.String()),
    status: Type.String(),
    attach_mode: Optional(Nullable(Type.String())),
    attached_at: Optional(Time),
    detached_at: Optional(Time),
    connection_info: Optional(ConnectionInfo),
  },
  closed,
)
export type AttachmentDocument = Static<typeof AttachmentView>
export const AttachmentAnswer = Type.Object({ attachment: AttachmentView }, closed)
export const AttachmentList = page('attachments', AttachmentView)
export const TypeView = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    description: Nullable(Type.String()),
    is_public: Type.Boolean(),
    'os-volume-type-access:is_public': Optional(Type.Boolean()),
    qos_specs_id: Optional(MaybeText),
    extra_specs: Optional(Metadata),
  },
  closed,
)
export const TypeAnswer = Type.Object({ volume_type: TypeView }, closed)
export const TypeList = page('volume_types', TypeView)
export const MetadataAnswer = Type.Object({ metadata: Metadata }, closed)
export const MetaAnswer = Type.Object({ meta: Metadata }, closed)

export const ImageMetadata = Type.Object({ metadata: Type.Record(Type.String(), Type.String()) })
export const UploadAnswer = Type.Object({
  'os-volume_upload_image': Type.Object({
    id: Type.String(),
    updated_at: Nullable(Type.String()),
    status: Type.String(),
    display_description: Nullable(Type.String()),
    size: Type.Integer(),
    volume_type: Type.Object({ id: Nullable(Type.String()), name: Nullable(Type.String()) }),
    image_id: Type.String(),
    image_name: Type.String(),
    disk_format: Type.String(),
    container_format: Type.String(),
    visibility: Optional(Type.String()),
    protected: Optional(Type.Boolean()),
  }),
})
