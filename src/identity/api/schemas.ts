import Type, { type TSchema } from 'typebox'

const Text = Type.String()
const MaybeText = Type.Union([Text, Type.Null()])
const Flag = Type.Boolean()
const Links = Type.Object({ self: Text })
const Named = Type.Object({ id: Text, name: Text })
const InDomain = Type.Object({ id: Text, name: Text, domain: Named })
const Role = Type.Object({ id: Text, name: Text })
const Empty = Type.Object({})
const Gone = Type.Null()

/** Of domains, projects and roles. */
const ResourceOptions = Type.Partial(Type.Object({ immutable: Flag }))
const common = { id: Text, links: Links }
const project = { ...common, name: Text, description: Text, enabled: Flag, tags: Type.Array(Text), options: ResourceOptions }

export const closed = { additionalProperties: false }
/** As Keystone leaves what is sent open, mostly because it keeps what it does not know. */
export const open = (description: string) => ({ additionalProperties: Type.Unsafe<unknown>({ description }) })
export const overlooked = open('what nothing here reads')
/** Whatever else its maker has sent of it. */
const more = open('what its maker has sent of it besides')

/** Of a user, and what each may be. */
export const USER_OPTIONS = {
  ignore_change_password_upon_first_use: Flag,
  ignore_password_expiry: Flag,
  ignore_lockout_failure_attempts: Flag,
  lock_password: Flag,
  ignore_user_inactivity: Flag,
  multi_factor_auth_enabled: Flag,
  multi_factor_auth_rules: Type.Array(Type.Array(Text, { minItems: 1, uniqueItems: true }), { uniqueItems: true }),
}

/** What has an address of its own, by the word under which it is shown. */
const THINGS = {
  project: Type.Object({ ...project, domain_id: MaybeText, parent_id: MaybeText, is_domain: Flag }, more),
  domain: Type.Object(project, more),
  user: Type.Object(
    {
      ...common,
      name: Text,
      domain_id: Text,
      enabled: Flag,
      password_expires_at: Gone,
      options: Type.Partial(Type.Object(USER_OPTIONS)),
      default_project_id: Type.Optional(Text),
      description: Type.Optional(Text),
      email: Type.Optional(Text),
    },
    more,
  ),
  group: Type.Object({ ...common, name: Text, domain_id: Text, description: MaybeText }, more),
  role: Type.Object({ ...common, name: Text, domain_id: MaybeText, description: MaybeText, options: ResourceOptions }, more),
  service: Type.Object({ ...common, type: Text, name: Text, description: MaybeText, enabled: Flag }),
  endpoint: Type.Object({
    ...common,
    service_id: Text,
    interface: Text,
    url: Text,
    region: MaybeText,
    region_id: MaybeText,
    enabled: Flag,
  }),
  region: Type.Object({ ...common, description: MaybeText, parent_region_id: MaybeText }),
}
export type Thing = keyof typeof THINGS

export const oneOf = (noun: Thing): TSchema => Type.Object({ [noun]: THINGS[noun] })
export const pageOf = (nouns: string, item: TSchema): TSchema =>
  Type.Object({
    [nouns]: Type.Array(item),
    links: Type.Object({ self: Text, next: Gone, previous: Gone }),
  })
export const listOf = (noun: Thing): TSchema => pageOf(`${noun}s`, THINGS[noun])

const Endpoint = Type.Object({ id: Text, interface: Text, url: Text, region: MaybeText, region_id: MaybeText })
const Service = Type.Object({ id: Text, type: Text, name: Text, endpoints: Type.Array(Endpoint) })
export const Catalog = pageOf('catalog', Service)

export const TokenView = Type.Object({
  token: Type.Object({
    methods: Type.Array(Text),
    user: Type.Object({ ...InDomain.properties, password_expires_at: Gone }),
    audit_ids: Type.Array(Text, { minItems: 1, maxItems: 2 }),
    issued_at: Text,
    expires_at: Text,
    project: Type.Optional(InDomain),
    is_domain: Type.Optional(Flag),
    domain: Type.Optional(Named),
    system: Type.Optional(Type.Object({ all: Flag })),
    roles: Type.Optional(Type.Array(Role, { minItems: 1 })),
    catalog: Type.Optional(Type.Array(Service)),
    application_credential: Type.Optional(Type.Object({ id: Text, name: Text, restricted: Flag })),
    'OS-TRUST:trust': Type.Optional(
      Type.Object({ id: Text, impersonation: Flag, trustor_user: Type.Object({ id: Text }), trustee_user: Type.Object({ id: Text }) }),
    ),
  }),
})

const Tenant = Type.Object({ id: Text, name: Text, description: Text, enabled: Flag })
const OldEndpoint = Type.Object({
  id: Text,
  region: MaybeText,
  publicURL: Type.Optional(Text),
  internalURL: Type.Optional(Text),
  adminURL: Type.Optional(Text),
})
const None = Type.Array(Empty, { maxItems: 0 })
export const AccessView = Type.Object({
  access: Type.Object({
    token: Type.Object({ id: Text, issued_at: Text, expires: Text, audit_ids: Type.Array(Text), tenant: Type.Optional(Tenant) }),
    user: Type.Object({ id: Text, name: Text, username: Text, roles: Type.Array(Type.Object({ name: Text })), roles_links: None }),
    serviceCatalog: Type.Array(Type.Object({ type: Text, name: Text, endpoints: Type.Array(OldEndpoint), endpoints_links: None })),
    metadata: Type.Object({ is_admin: Type.Integer(), roles: Type.Array(Text) }),
  }),
})
export const TenantList = Type.Object({ tenants: Type.Array(Tenant), tenants_links: Type.Optional(None) })

const Ref = Type.Object({ id: Text, name: Type.Optional(Text), domain: Type.Optional(Named) })
const Scope = Type.Union([
  Type.Object({ system: Type.Object({ all: Flag }) }),
  Type.Object({
    project: Type.Optional(Ref),
    domain: Type.Optional(Ref),
    'OS-INHERIT:inherited_to': Type.Optional(Type.Literal('projects')),
  }),
])
export const AssignmentList = pageOf(
  'role_assignments',
  Type.Object({
    role: Ref,
    user: Type.Optional(Ref),
    group: Type.Optional(Ref),
    scope: Scope,
    links: Type.Object({ assignment: Text, membership: Type.Optional(Text), prior_role: Type.Optional(Text) }),
  }),
)

const Version = Type.Object({
  id: Text,
  status: Text,
  updated: Text,
  links: Type.Array(Type.Object({ rel: Text, href: Text })),
  'media-types': Type.Array(Type.Object({ base: Text, type: Text })),
})
export const VersionView = Type.Object({ version: Version })
export const VersionList = Type.Object({ versions: Type.Object({ values: Type.Array(Version) }) })
