import Type, { type TSchema } from 'typebox'

const Text = Type.String()
const Links = Type.Object({ self: Text })
const Named = Type.Object({ id: Text, name: Text })
const InDomain = Type.Object({ id: Text, name: Text, domain: Named })
const Role = Type.Object({ id: Text, name: Text })

/** Anything that has an address of its own; what else it shows is its view's affair. */
const Thing = Type.Object({ id: Text, links: Links })

export const oneOf = (noun: string): TSchema => Type.Object({ [noun]: Thing })
export const listOf = (nouns: string, item: TSchema = Thing): TSchema =>
  Type.Object({
    [nouns]: Type.Array(item),
    links: Type.Object({ self: Text, next: Type.Null(), previous: Type.Null() }),
  })

const Endpoint = Type.Object({ id: Text, interface: Text, url: Text, region: Type.Union([Text, Type.Null()]) })
const Service = Type.Object({ id: Text, type: Text, name: Text, endpoints: Type.Array(Endpoint) })
export const Catalog = listOf('catalog', Service)

export const TokenView = Type.Object({
  token: Type.Object({
    methods: Type.Array(Text),
    user: InDomain,
    audit_ids: Type.Array(Text, { minItems: 1, maxItems: 2 }),
    issued_at: Text,
    expires_at: Text,
    project: Type.Optional(InDomain),
    domain: Type.Optional(Named),
    system: Type.Optional(Type.Object({ all: Type.Boolean() })),
    roles: Type.Optional(Type.Array(Role, { minItems: 1 })),
    catalog: Type.Optional(Type.Array(Service)),
    application_credential: Type.Optional(Type.Object({ id: Text, name: Text, restricted: Type.Boolean() })),
  }),
})

export const AccessView = Type.Object({
  access: Type.Object({
    token: Type.Object({ id: Text, expires: Text, tenant: Type.Optional(Named) }),
    user: Type.Object({ id: Text, name: Text, roles: Type.Array(Type.Object({ name: Text })) }),
    serviceCatalog: Type.Array(Type.Object({ type: Text, name: Text, endpoints: Type.Array(Type.Unknown()) })),
  }),
})
export const TenantList = Type.Object({
  tenants: Type.Array(Type.Object({ id: Text, name: Text, description: Text, enabled: Type.Boolean() })),
})

export const AssignmentList = listOf(
  'role_assignments',
  Type.Object({ role: Type.Object({ id: Text }), scope: Type.Object({}), links: Type.Object({ assignment: Text }) }),
)

const Version = Type.Object({ id: Text, status: Text, links: Type.Array(Type.Object({ rel: Text, href: Text })) })
export const VersionView = Type.Object({ version: Version })
