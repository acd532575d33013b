import Type, { type Static, type TSchema } from 'typebox'
import { queryOf } from '../../kernel/http/schema.ts'
import { IMAGE_QUERY } from '../app/list.ts'
import { CONTAINER_FORMATS, DISK_FORMATS, VISIBILITIES } from '../app/patch.ts'

const Nullable = <T extends TSchema>(schema: T) => Type.Union([Type.Null(), schema])
const Choice = <const T extends string>(values: readonly T[]) => Type.Unsafe<T>({ type: 'string', enum: values })
const ShortText = Type.String({ maxLength: 255 })
const Uuid = Type.String({ pattern: '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$' })
const Count = Type.Integer({ minimum: 0, maximum: 2_147_483_647 })
const Flag = Type.Boolean()
const closed = { additionalProperties: false }
export const overlooked = { additionalProperties: Type.Unsafe<unknown>({ description: 'what Glance overlooks here, too' }) }

const settable = {
  name: Nullable(ShortText),
  visibility: Choice(VISIBILITIES),
  protected: Flag,
  os_hidden: Flag,
  disk_format: Nullable(Choice(DISK_FORMATS)),
  container_format: Nullable(Choice(CONTAINER_FORMATS)),
  min_ram: Count,
  min_disk: Count,
  tags: Type.Array(ShortText),
  owner: Nullable(ShortText),
}

/** A new image: its attributes, and any further texts as its properties. */
export const NewImageBody = Type.Partial(Type.Object({ id: Uuid, ...settable }), {
  additionalProperties: Nullable(Type.String({ maxLength: 65_535 })),
})

export const PatchBody = Type.Array(
  Type.Object(
    {
      op: Type.Optional(Choice(['add', 'replace', 'remove'])),
      path: Type.Optional(Type.String()),
      add: Type.Optional(Type.String()),
      replace: Type.Optional(Type.String()),
      remove: Type.Optional(Type.String()),
      value: Type.Optional(Type.Unsafe<unknown>({ description: 'what the place that is named may have' })),
    },
    closed,
  ),
)

export const ImageView = Type.Object(
  {
    id: Uuid,
    ...settable,
    status: Choice(['queued', 'saving', 'uploading', 'importing', 'active', 'deactivated', 'killed']),
    checksum: Nullable(Type.String()),
    os_hash_algo: Nullable(Type.String()),
    os_hash_value: Nullable(Type.String()),
    size: Nullable(Type.Integer()),
    virtual_size: Nullable(Type.Integer()),
    created_at: Type.String(),
    updated_at: Type.String(),
    self: Type.String(),
    file: Type.String(),
    schema: Type.String(),
    stores: Type.Optional(Type.String()),
  },
  { additionalProperties: Nullable(Type.String()) },
)

/** An image as the API shows it; further properties are texts beside these. */
export type ImageDocument = Static<typeof ImageView> & Record<string, unknown>
export type NewImageDocument = Static<typeof NewImageBody> & Record<string, unknown>

/** Filters by what an image has, also by properties of its owner's; order and pages. */
export const ImageQuery = Type.Object(
  { ...queryOf(...IMAGE_QUERY).properties },
  { additionalProperties: Type.Union([Type.String(), Type.Array(Type.String())]) },
)

export const ImageList = Type.Object(
  {
    images: Type.Array(ImageView),
    first: Type.String(),
    next: Type.Optional(Type.String()),
    schema: Type.String(),
  },
  closed,
)

export const NewMemberBody = Type.Object({ member: Type.String({ minLength: 1, maxLength: 64 }) }, overlooked)
export const MemberStatusBody = Type.Object({ status: Choice(['pending', 'accepted', 'rejected']) }, overlooked)

export const MemberView = Type.Object(
  {
    image_id: Type.String(),
    member_id: Type.String(),
    status: Choice(['pending', 'accepted', 'rejected']),
    created_at: Type.String(),
    updated_at: Type.String(),
    schema: Type.String(),
  },
  closed,
)

export const MemberList = Type.Object({ members: Type.Array(MemberView), schema: Type.String() }, closed)

export const ImportBody = Type.Object(
  {
    method: Type.Object({ name: Type.String(), uri: Type.Optional(Type.String({ maxLength: 2048 })) }, overlooked),
    stores: Type.Optional(Type.Array(Type.String())),
    all_stores: Type.Optional(Flag),
    all_stores_must_succeed: Type.Optional(Flag),
  },
  overlooked,
)

export const TaskList = Type.Object(
  {
    tasks: Type.Array(
      Type.Object(
        {
          id: Type.String(),
          type: Type.String(),
          status: Choice(['processing', 'success', 'failure']),
          message: Type.String(),
          owner: Nullable(Type.String()),
          user_id: Nullable(Type.String()),
          request_id: Type.String(),
          image_id: Type.String(),
          input: Type.Object(
            {
              image_id: Type.String(),
              import_req: Type.Object({ method: Type.Object({ name: Type.String(), uri: Type.Optional(Type.String()) }, closed) }, closed),
              backend: Type.Array(Type.String()),
            },
            closed,
          ),
          result: Type.Null(),
          created_at: Type.String(),
          updated_at: Type.String(),
          expires_at: Type.String(),
        },
        closed,
      ),
    ),
  },
  closed,
)

export const ImportInfo = Type.Object(
  {
    'import-methods': Type.Object({ description: Type.String(), type: Type.String(), value: Type.Array(Type.String()) }, closed),
  },
  closed,
)

export const StoreList = Type.Object(
  {
    stores: Type.Array(Type.Object({ id: Type.String(), description: Type.String(), default: Type.String() }, closed)),
  },
  closed,
)

export const VersionList = Type.Object(
  {
    versions: Type.Array(
      Type.Object(
        {
          id: Type.String(),
          status: Type.String(),
          links: Type.Array(Type.Object({ rel: Type.String(), href: Type.String() }, closed)),
        },
        closed,
      ),
    ),
  },
  closed,
)

/** JSON schema in the shape in which Glance tells it. */
export const SchemaDocument = Type.Object({
  name: Type.String(),
  properties: Type.Record(Type.String(), Type.Unknown({ description: 'JSON schema' })),
  required: Type.Optional(Type.Array(Type.String())),
  additionalProperties: Type.Optional(Type.Object({ type: Type.String() })),
  links: Type.Optional(Type.Array(Type.Object({ rel: Type.String(), href: Type.String() }))),
})
