import Type from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { IdentityContext, IdentityTables } from '../app/context.ts'
import { findInference, findRole, imply, implyNoMore, inferences } from '../app/role.ts'

type Role = IdentityTables['roles']

const closed = { additionalProperties: false }
const Text = Type.String()
const Brief = Type.Object({ id: Text, name: Text, links: Type.Object({ self: Text }) }, closed)
const Rule = Type.Object({ prior_role: Brief, implies: Brief }, closed)
const Links = Type.Object({ self: Text })
const Answer = Type.Object({ role_inference: Rule, links: Links }, closed)
const OfOne = Type.Object({ role_inference: Type.Object({ prior_role: Brief, implies: Type.Array(Brief) }, closed), links: Links }, closed)
const OfAll = Type.Object(
  { role_inferences: Type.Array(Type.Object({ prior_role: Brief, implies: Type.Array(Brief) }, closed)), links: Links },
  closed,
)

/** Roles that bring others with them. */
export function impliedRoleRoutes(context: IdentityContext): Route[] {
  const brief = (request: ApiRequest, { id, name }: Role) => ({ id, name, links: { self: request.link(`/roles/${id}`) } })
  const rule = async (request: ApiRequest) => {
    const { prior, implied } = await findInference(context, request.params.prior_id!, request.params.implied_id!)
    return {
      role_inference: { prior_role: brief(request, prior), implies: brief(request, implied) },
      links: { self: request.link(`/roles/${prior.id}/implies/${implied.id}`) },
    }
  }
  const path = '/roles/:prior_id/implies/:implied_id'
  return [
    {
      method: 'GET',
      path: '/role_inferences',
      doc: 'List which roles bring others with them',
      policy: 'identity:list_role_inference_rules',
      response: OfAll,
      async handler(request) {
        const byPrior = Map.groupBy(await inferences(context), ({ prior }) => prior.id)
        return {
          role_inferences: [...byPrior.values()].map((pairs) => ({
            prior_role: brief(request, pairs[0]!.prior),
            implies: pairs.map(({ implied }) => brief(request, implied)),
          })),
          links: { self: request.link('/role_inferences') },
        }
      },
    },
    {
      method: 'GET',
      path: '/roles/:prior_id/implies',
      doc: 'List the roles that a role brings with it',
      policy: 'identity:list_implied_roles',
      response: OfOne,
      async handler(request) {
        const prior = await findRole(context, request.params.prior_id!)
        const pairs = await inferences(context, prior.id)
        return {
          role_inference: { prior_role: brief(request, prior), implies: pairs.map(({ implied }) => brief(request, implied)) },
          links: { self: request.link(`/roles/${prior.id}/implies`) },
        }
      },
    },
    {
      method: 'PUT',
      path,
      doc: 'Let a role bring another with it',
      policy: 'identity:create_implied_role',
      response: Answer,
      status: 201,
      async handler(request) {
        await imply(context, request.params.prior_id!, request.params.implied_id!)
        return await rule(request)
      },
    },
    {
      method: 'GET',
      path,
      doc: 'Show that a role brings another with it',
      policy: 'identity:get_implied_role',
      response: Answer,
      handler: rule,
    },
    {
      method: 'HEAD',
      path,
      doc: 'Ask whether a role brings another with it',
      policy: 'identity:get_implied_role',
      status: 204,
      response: 'nothing',
      handler: async (request) => void (await rule(request)),
    },
    {
      method: 'DELETE',
      path,
      doc: 'Let a role bring another with it no more',
      policy: 'identity:delete_implied_role',
      status: 204,
      response: 'nothing',
      handler: (request) => implyNoMore(context, request.params.prior_id!, request.params.implied_id!),
    },
  ]
}
