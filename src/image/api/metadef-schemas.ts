import Type, { type TSchema } from 'typebox'
import { overlooked } from './schemas.ts'

const closed = { additionalProperties: false }
const Name = Type.String({ minLength: 1, maxLength: 80 })
const ResourceName = Type.String({ minLength: 1, maxLength: 80 })
const Text = Type.String({ maxLength: 500 })
const MaybeText = Type.Union([Type.Null(), Text])
const Visibility = Type.Unsafe<string>({ type: 'string', enum: ['public', 'private'] })
const Count = Type.Integer({ minimum: 0 })
const Value = Type.Unknown({ description: 'A value of the property that is described: any JSON' })
const Texts = Type.Array(Type.String())
const JsonType = Type.Unsafe<string>({ type: 'string', enum: ['array', 'boolean', 'integer', 'number', 'object', 'string', null] })

/** What a property may say of its values, in JSON schema's own words. */
const propertyWords = {
  title: Type.String(),
  type: JsonType,
  description: Type.Optional(Type.String()),
  operators: Type.Optional(Texts),
  default: Type.Optional(Value),
  readonly: Type.Optional(Type.Boolean()),
  confidential: Type.Optional(Type.Boolean()),
  minimum: Type.Optional(Type.Number()),
  maximum: Type.Optional(Type.Number()),
  minLength: Type.Optional(Count),
  maxLength: Type.Optional(Count),
  pattern: Type.Optional(Type.String()),
  enum: Type.Optional(Type.Array(Value)),
  items: Type.Optional(
    Type.Object(
      { type: Type.Optional(JsonType), enum: Type.Optional(Type.Array(Value)) },
      { additionalProperties: true, description: 'JSON schema of the items' },
    ),
  ),
  minItems: Type.Optional(Count),
  maxItems: Type.Optional(Count),
  uniqueItems: Type.Optional(Type.Boolean()),
  additionalItems: Type.Optional(Type.Boolean()),
}
const PropertyWords = Type.Object(propertyWords, closed)
const PropertyTable = Type.Record(Name, PropertyWords)

const told = { created_at: Type.String(), updated_at: Type.String() }
const linked = { self: Type.String(), schema: Type.String() }
const stamped = { created_at: Type.Optional(Type.String()), updated_at: Type.Optional(Type.String()) }
const echoed = { ...stamped, self: Type.Optional(Type.String()), schema: Type.Optional(Type.String()) }

const objectWords = {
  name: Name,
  description: Type.Optional(Text),
  required: Type.Optional(Texts),
  properties: Type.Optional(PropertyTable),
}
const associationWords = {
  name: ResourceName,
  prefix: Type.Optional(Type.String({ maxLength: 80 })),
  properties_target: Type.Optional(Type.String({ maxLength: 80 })),
}

/** Clients may send back what they were shown: links and times are taken and not looked at. */
export const ObjectBody = Type.Object({ ...objectWords, ...echoed }, closed)
export const ObjectView = Type.Object({ ...objectWords, ...told, ...linked }, closed)
export const ObjectList = listOf('objects', ObjectView)

export const PropertyBody = Type.Object({ name: Name, ...propertyWords, ...stamped }, closed)
export const PropertyView = Type.Object({ name: Name, ...propertyWords }, closed)
export const PropertyList = Type.Object({ properties: PropertyTable }, closed)

export const TagBody = Type.Object({ name: Name, ...stamped }, closed)
export const TagsBody = Type.Object({ tags: Type.Array(TagBody) }, overlooked)
export const TagView = Type.Object({ name: Name, ...told }, closed)
export const TagList = Type.Object({ tags: Type.Array(Type.Object({ name: Name }, closed)) }, closed)

export const AssociationBody = Type.Object({ ...associationWords, ...stamped }, closed)
export const AssociationView = Type.Object({ ...associationWords, ...told }, closed)
export const AssociationList = Type.Object({ resource_type_associations: Type.Array(AssociationView) }, closed)
export const ResourceTypeList = Type.Object({ resource_types: Type.Array(Type.Object({ name: ResourceName, ...told }, closed)) }, closed)

const namespaceWords = {
  namespace: Name,
  display_name: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 80 })])),
  description: Type.Optional(MaybeText),
  visibility: Type.Optional(Visibility),
  protected: Type.Optional(Type.Boolean()),
  owner: Type.Optional(Type.String({ maxLength: 255 })),
}

export const NamespaceBody = Type.Object(
  {
    ...namespaceWords,
    objects: Type.Optional(Type.Array(ObjectBody)),
    properties: Type.Optional(PropertyTable),
    tags: Type.Optional(Type.Array(TagBody)),
    resource_type_associations: Type.Optional(Type.Array(AssociationBody)),
    ...echoed,
  },
  closed,
)

export const NamespaceView = Type.Object(
  {
    ...namespaceWords,
    ...told,
    ...linked,
    objects: Type.Optional(Type.Array(ObjectView)),
    properties: Type.Optional(PropertyTable),
    tags: Type.Optional(Type.Array(Type.Object({ name: Name }, closed))),
    resource_type_associations: Type.Optional(Type.Array(AssociationView)),
  },
  closed,
)

export const NamespaceList = Type.Object(
  { namespaces: Type.Array(NamespaceView), first: Type.String(), next: Type.Optional(Type.String()), schema: Type.String() },
  closed,
)

function listOf(name: string, item: TSchema) {
  return Type.Object({ [name]: Type.Array(item), first: Type.String(), schema: Type.String() }, closed)
}

const document = (name: string, schema: TSchema, links: { rel: string; href: string }[] = []) => {
  const { properties, required } = schema as unknown as { properties: Record<string, unknown>; required?: string[] }
  return { name, properties, required, links }
}
const described = [
  { rel: 'self', href: '{self}' },
  { rel: 'describedby', href: '{schema}' },
]
const paged = [
  { rel: 'first', href: '{first}' },
  { rel: 'next', href: '{next}' },
  { rel: 'describedby', href: '{schema}' },
]

/** As /schemas/metadefs/{name} shows them. */
export const METADEF_DOCUMENTS: Record<string, object> = {
  namespace: document('namespace', NamespaceView, described),
  namespaces: document('namespaces', NamespaceList, paged),
  object: document('object', ObjectView, described),
  objects: document('objects', ObjectList, paged),
  property: document('property', PropertyView),
  properties: document('properties', PropertyList, paged),
  tag: document('tag', TagView),
  tags: document('tags', TagList, paged),
  resource_type: document('resource_type_association', AssociationView),
  resource_types: document('resource_type_associations', AssociationList, paged),
}
