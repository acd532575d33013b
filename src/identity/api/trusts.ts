import Type from 'typebox'
import { notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { IdentityContext, IdentityTables } from '../app/context.ts'
import { listRoles } from '../app/role.ts'
import { createTrust, deleteTrust, findTrust, listTrusts } from '../app/trust.ts'
import { closed, oneOf, overlooked, pageOf } from './schemas.ts'
import { roleView } from './views.ts'

type Trust = IdentityTables['trusts']

const Text = Type.String({ maxLength: 64 })
const MaybeText = Type.Union([Type.String(), Type.Null()])
const Links = Type.Object({ self: Type.String(), next: Type.Optional(Type.Null()), previous: Type.Optional(Type.Null()) })
const Brief = Type.Object({
  id: Text,
  trustor_user_id: Text,
  trustee_user_id: Text,
  project_id: MaybeText,
  impersonation: Type.Boolean(),
  expires_at: MaybeText,
  deleted_at: Type.Null(),
  remaining_uses: Type.Union([Type.Integer(), Type.Null()]),
  redelegation_count: Type.Integer(),
  redelegated_trust_id: Type.Optional(Type.String()),
  links: Type.Object({ self: Type.String() }),
})
const Role = (oneOf('role') as ReturnType<typeof Type.Object>).properties.role!
const Shown = Type.Object({ ...Brief.properties, roles: Type.Array(Role), roles_links: Links })
const Answer = Type.Object({ trust: Shown })
const Wish = Type.Object(
  {
    trust: Type.Object(
      {
        trustor_user_id: Text,
        trustee_user_id: Text,
        impersonation: Type.Boolean(),
        project_id: Type.Optional(Type.Union([Text, Type.Null()])),
        roles: Type.Optional(Type.Array(Type.Partial(Type.Object({ id: Text, name: Type.String({ maxLength: 255 }) }), closed))),
        expires_at: Type.Optional(MaybeText),
        remaining_uses: Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 2_147_483_647 }), Type.Null()])),
        allow_redelegation: Type.Optional(Type.Boolean()),
        redelegation_count: Type.Optional(Type.Union([Type.Integer({ minimum: 0, maximum: 2_147_483_647 }), Type.Null()])),
      },
      overlooked,
    ),
  },
  closed,
)

/** A user lets another act with some of the first one's roles on a project. */
export function trustRoutes(context: IdentityContext): Route[] {
  const path = '/OS-TRUST/trusts'
  const known = async (request: ApiRequest) => await findTrust(context, request.params.trust_id!)
  const sides = ({ trustor_user_id, trustee_user_id }: { trustor_user_id?: string; trustee_user_id?: string }) => ({
    'target.trust.trustor_user_id': trustor_user_id,
    'target.trust.trustee_user_id': trustee_user_id,
  })
  const target = async (request: ApiRequest) => sides(await known(request))
  const brief = (request: ApiRequest, { roles_json: _, redelegated_trust_id, impersonation, ...row }: Trust) => ({
    ...row,
    impersonation: impersonation === 1,
    deleted_at: null,
    ...(redelegated_trust_id ? { redelegated_trust_id } : {}),
    links: { self: request.link(`${path}/${row.id}`) },
  })
  const rolesOf = async (request: ApiRequest, { roles_json }: Trust) => {
    const lent: string[] = JSON.parse(roles_json)
    return (await listRoles(context, {})).filter(({ id }) => lent.includes(id)).map((role) => roleView(request, role))
  }
  const view = async (request: ApiRequest, row: Trust) => ({
    trust: {
      ...brief(request, row),
      roles: await rolesOf(request, row),
      roles_links: { self: request.link(`${path}/${row.id}/roles`), next: null, previous: null },
    },
  })
  return [
    {
      method: 'GET',
      path,
      doc: 'List trusts: of a trustor, of a trustee, or all',
      policy: 'identity:list_trusts',
      target: (request) => sides(request.query),
      query: Type.Partial(Type.Object({ trustor_user_id: Text, trustee_user_id: Text })),
      response: pageOf('trusts', Brief),
      handler: async (request) => ({
        trusts: (await listTrusts(context, request.query)).map((row) => brief(request, row)),
        links: { next: null, self: request.link(path), previous: null },
      }),
    },
    {
      method: 'POST',
      path,
      doc: 'Let another user act with some of one’s roles on a project',
      policy: 'identity:create_trust',
      target: (request) => sides(request.body?.trust ?? {}),
      body: Wish,
      response: Answer,
      status: 201,
      handler: async (request) => await view(request, await createTrust(context, request.context, request.body.trust)),
    },
    {
      method: 'GET',
      path: `${path}/:trust_id`,
      doc: 'Show a trust',
      policy: 'identity:get_trust',
      target,
      response: Answer,
      handler: async (request) => await view(request, await known(request)),
    },
    {
      method: 'DELETE',
      path: `${path}/:trust_id`,
      doc: 'Take a trust back; its tokens end with it',
      policy: 'identity:delete_trust',
      target,
      status: 204,
      response: 'nothing',
      handler: (request) => deleteTrust(context, request.params.trust_id!),
    },
    {
      method: 'GET',
      path: `${path}/:trust_id/roles`,
      doc: 'List the roles that a trust lends',
      policy: 'identity:list_roles_for_trust',
      target,
      response: pageOf('roles', Role),
      handler: async (request) => ({
        roles: await rolesOf(request, await known(request)),
        links: { next: null, self: request.link(`${path}/${request.params.trust_id}/roles`), previous: null },
      }),
    },
    {
      method: 'GET',
      path: `${path}/:trust_id/roles/:role_id`,
      doc: 'Show a role that a trust lends',
      policy: 'identity:get_role_for_trust',
      target,
      response: oneOf('role'),
      async handler(request) {
        const role = (await rolesOf(request, await known(request))).find(({ id }) => id === request.params.role_id)
        if (!role) throw notFound(`Could not find role: ${request.params.role_id}.`, 'RoleNotFound')
        return { role }
      },
    },
  ]
}
