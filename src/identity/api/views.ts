import type { ApiRequest } from '../../kernel/http/route.ts'
import type { IdentityTables } from '../app/context.ts'
import { extraIn } from '../app/extra.ts'
import type { ResourceOptions } from '../app/immutable.ts'
import { optionsIn } from '../app/options.ts'
import { tagsIn } from '../app/project-tags.ts'
import type { Validated } from '../app/validated.ts'

type Row<T extends keyof IdentityTables> = IdentityTables[T]

const self = (request: ApiRequest, path: string) => ({ links: { self: request.link(path) } })

export const collection = <T>(
  request: ApiRequest,
  name: string,
  path: string,
  rows: T[],
  view: (request: ApiRequest, row: T) => unknown,
) => ({
  [name]: rows.map((row) => view(request, row)),
  links: { next: null, self: request.link(path), previous: null },
})

export const projectView = (request: ApiRequest, row: Row<'projects'>) => ({
  ...extraIn(row),
  id: row.id,
  name: row.name,
  domain_id: row.domain_id,
  description: row.description,
  enabled: row.enabled === 1,
  parent_id: row.parent_id,
  is_domain: row.is_domain === 1,
  tags: tagsIn(row),
  options: optionsIn<ResourceOptions>(row),
  ...self(request, `/projects/${row.id}`),
})
export const domainView = (request: ApiRequest, row: Row<'projects'>) => ({
  ...extraIn(row),
  id: row.id,
  name: row.name,
  description: row.description,
  enabled: row.enabled === 1,
  tags: tagsIn(row),
  options: optionsIn<ResourceOptions>(row),
  ...self(request, `/domains/${row.id}`),
})
export const userView = (request: ApiRequest, row: Row<'users'>) => ({
  ...extraIn(row),
  id: row.id,
  name: row.name,
  domain_id: row.domain_id,
  enabled: row.enabled === 1,
  password_expires_at: null,
  options: optionsIn(row),
  ...(row.default_project_id ? { default_project_id: row.default_project_id } : {}),
  ...(row.description !== null ? { description: row.description } : {}),
  ...(row.email !== null ? { email: row.email } : {}),
  ...self(request, `/users/${row.id}`),
})
export const groupView = (request: ApiRequest, row: Row<'groups'>) => ({
  ...extraIn(row),
  id: row.id,
  name: row.name,
  domain_id: row.domain_id,
  description: row.description_is_null ? null : row.description,
  ...self(request, `/groups/${row.id}`),
})
export const roleView = (request: ApiRequest, row: Row<'roles'>) => ({
  ...extraIn(row),
  id: row.id,
  name: row.name,
  domain_id: row.domain_id,
  description: row.description,
  options: optionsIn<ResourceOptions>(row),
  ...self(request, `/roles/${row.id}`),
})
export const serviceView = (request: ApiRequest, row: Row<'services'>) => ({
  id: row.id,
  type: row.type,
  name: row.name,
  description: row.description,
  enabled: row.enabled === 1,
  ...self(request, `/services/${row.id}`),
})
export const endpointView = (request: ApiRequest, row: Row<'endpoints'>) => ({
  id: row.id,
  service_id: row.service_id,
  interface: row.interface,
  url: row.url,
  region: row.region_id,
  region_id: row.region_id,
  enabled: row.enabled === 1,
  ...self(request, `/endpoints/${row.id}`),
})
export const regionView = (request: ApiRequest, row: Row<'regions'>) => ({
  id: row.id,
  description: row.description,
  parent_region_id: row.parent_id,
  ...self(request, `/regions/${row.id}`),
})

export function tokenView(validated: Validated, catalog: unknown[] | null) {
  const { user, scope, applicationCredential, trust } = validated
  return {
    token: {
      methods: validated.methods,
      user: { domain: { id: user.domain_id, name: user.domain_name }, id: user.id, name: user.name, password_expires_at: null },
      audit_ids: validated.auditIds,
      expires_at: validated.expiresAt,
      issued_at: validated.issuedAt,
      ...(scope.kind === 'project'
        ? {
            project: {
              domain: { id: scope.project.domain_id, name: scope.project.domain_name },
              id: scope.project.id,
              name: scope.project.name,
            },
            is_domain: false,
          }
        : {}),
      ...(scope.kind === 'domain' ? { domain: { id: scope.domain.id, name: scope.domain.name } } : {}),
      ...(applicationCredential
        ? {
            application_credential: {
              id: applicationCredential.id,
              name: applicationCredential.name,
              restricted: applicationCredential.unrestricted === 0,
            },
          }
        : {}),
      ...(trust
        ? {
            'OS-TRUST:trust': {
              id: trust.id,
              impersonation: trust.impersonation === 1,
              trustor_user: { id: trust.trustor_user_id },
              trustee_user: { id: trust.trustee_user_id },
            },
          }
        : {}),
      ...(scope.kind === 'system' ? { system: { all: true } } : {}),
      ...(scope.kind === 'unscoped' ? {} : { roles: validated.roles, ...(catalog ? { catalog } : {}) }),
    },
  }
}

/** The v2.0 shape: tenant instead of project, access instead of token. */
export function accessView(
  token: string,
  validated: Validated,
  catalog: { type: string; name: string; endpoints: { id: string; interface: string; region: string | null; url: string }[] }[],
) {
  const { user, scope } = validated
  return {
    access: {
      token: {
        id: token,
        issued_at: validated.issuedAt,
        expires: validated.expiresAt,
        audit_ids: validated.auditIds,
        ...(scope.kind === 'project'
          ? { tenant: { id: scope.project.id, name: scope.project.name, description: scope.project.description, enabled: true } }
          : {}),
      },
      user: { id: user.id, name: user.name, username: user.name, roles: validated.roles.map(({ name }) => ({ name })), roles_links: [] },
      serviceCatalog: catalog.map((service) => {
        const url = (side: string) => service.endpoints.find((one) => one.interface === side)?.url
        return {
          type: service.type,
          name: service.name,
          endpoints_links: [],
          endpoints:
            service.endpoints.length > 0
              ? [
                  {
                    id: service.endpoints[0]!.id,
                    region: service.endpoints[0]!.region,
                    publicURL: url('public'),
                    internalURL: url('internal'),
                    adminURL: url('admin'),
                  },
                ]
              : [],
        }
      }),
      metadata: { is_admin: 0, roles: validated.roles.map(({ id }) => id) },
    },
  }
}
