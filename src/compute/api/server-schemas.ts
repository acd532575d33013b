import Type from 'typebox'
import { Anything, Choice, Count, closed, Metadata, Name, Nullable, open, Truth } from './common.ts'

const Uuid = Type.String({ format: 'uuid' })
const Address = Type.Union([Type.String({ format: 'ipv4' }), Type.String({ format: 'ipv6' })])
const Tag = Type.String({ minLength: 1, maxLength: 60, pattern: '^[^,/]*$' })

const Network = Type.Partial(
  Type.Object({ uuid: Nullable(Uuid), port: Nullable(Uuid), fixed_ip: Nullable(Address), tag: Nullable(Tag) }),
  closed,
)

const BlockDevice = Type.Object(
  {
    source_type: Type.Optional(Choice(['volume', 'image', 'snapshot', 'blank'])),
    destination_type: Type.Optional(Nullable(Choice(['volume', 'local']))),
    uuid: Type.Optional(Nullable(Type.String({ maxLength: 255 }))),
    boot_index: Type.Optional(Nullable(Type.Union([Type.Integer(), Type.String({ pattern: '^-?[0-9]+$' })]))),
    volume_size: Type.Optional(Nullable(Count(0))),
    device_name: Type.Optional(Nullable(Type.String({ maxLength: 255 }))),
    delete_on_termination: Type.Optional(Truth),
    guest_format: Type.Optional(Nullable(Type.String())),
    device_type: Type.Optional(Nullable(Type.String())),
    disk_bus: Type.Optional(Nullable(Type.String())),
    no_device: Type.Optional(Anything),
    volume_type: Type.Optional(Nullable(Type.String())),
    tag: Type.Optional(Nullable(Tag)),
  },
  closed,
)

/** As clients wrote them before v2. */
const OldBlockDevice = Type.Object(
  {
    virtual_name: Type.Optional(Type.String({ maxLength: 255 })),
    volume_id: Type.Optional(Nullable(Uuid)),
    snapshot_id: Type.Optional(Nullable(Uuid)),
    volume_size: Type.Optional(Nullable(Count(0))),
    device_name: Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: '^[a-zA-Z0-9._/-]*$' })),
    delete_on_termination: Type.Optional(Truth),
    no_device: Type.Optional(Anything),
    connection_info: Type.Optional(Type.String()),
  },
  closed,
)

const Hints = Type.Object({}, open('hints of schedulers that are not here'))

export const DiskConfig = Choice(['AUTO', 'MANUAL'])

export const NewServerBody = Type.Object(
  {
    server: Type.Object(
      {
        name: Name,
        imageRef: Type.Optional(Nullable(Type.Union([Uuid, Type.Literal('')]))),
        flavorRef: Type.Union([Type.String({ minLength: 1 }), Type.Integer()]),
        adminPass: Type.Optional(Type.String()),
        metadata: Type.Optional(Metadata),
        networks: Type.Optional(Nullable(Type.Union([Type.Array(Network), Choice(['auto', 'none'])]))),
        'OS-DCF:diskConfig': Type.Optional(DiskConfig),
        accessIPv4: Type.Optional(Type.String({ format: 'ipv4' })),
        accessIPv6: Type.Optional(Type.String({ format: 'ipv6' })),
        personality: Type.Optional(Type.Array(Type.Object({ path: Type.String({ minLength: 1 }), contents: Type.String() }, closed))),
        availability_zone: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 255 }))),
        block_device_mapping_v2: Type.Optional(Type.Array(BlockDevice)),
        block_device_mapping: Type.Optional(Type.Array(OldBlockDevice)),
        config_drive: Type.Optional(Nullable(Truth)),
        key_name: Type.Optional(Nullable(Name)),
        min_count: Type.Optional(Count(1)),
        max_count: Type.Optional(Count(1)),
        return_reservation_id: Type.Optional(Truth),
        security_groups: Type.Optional(
          Type.Array(Type.Object({ name: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })) }, closed)),
        ),
        user_data: Type.Optional(Nullable(Type.String({ maxLength: 65_535 }))),
        description: Type.Optional(Nullable(Type.String({ maxLength: 255 }))),
        hostname: Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: '^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$' })),
        tags: Type.Optional(Type.Array(Tag, { maxItems: 50 })),
        trusted_image_certificates: Type.Optional(
          Nullable(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 50, uniqueItems: true })),
        ),
        host: Type.Optional(Name),
        hypervisor_hostname: Type.Optional(Name),
        'OS-SCH-HNT:scheduler_hints': Type.Optional(Hints),
        'os:scheduler_hints': Type.Optional(Hints),
      },
      closed,
    ),
    'OS-SCH-HNT:scheduler_hints': Type.Optional(Hints),
    'os:scheduler_hints': Type.Optional(Hints),
  },
  closed,
)

export const ChangeServerBody = Type.Object(
  {
    server: Type.Partial(
      Type.Object({
        name: Name,
        'OS-DCF:diskConfig': DiskConfig,
        accessIPv4: Nullable(Type.Union([Type.String({ format: 'ipv4' }), Type.Literal('')])),
        accessIPv6: Nullable(Type.Union([Type.String({ format: 'ipv6' }), Type.Literal('')])),
        description: Nullable(Type.String({ maxLength: 255 })),
        hostname: Type.String({ minLength: 1, maxLength: 255, pattern: '^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$' }),
      }),
      closed,
    ),
  },
  closed,
)
