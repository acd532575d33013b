import Type from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { IdentityContext, IdentityTables } from '../app/context.ts'
import { createPolicy, deletePolicy, findPolicy, listPolicies, updatePolicy } from '../app/policy-document.ts'
import { overlooked, pageOf } from './schemas.ts'

const Text = Type.String()
const Shown = Type.Object({ id: Text, type: Text, blob: Text, links: Type.Object({ self: Text }) })
const Answer = Type.Object({ policy: Shown })
const fields = { type: Type.String({ minLength: 1, maxLength: 255 }), blob: Type.String() }

/** Documents with rules that services may fetch from here; none of this cloud's own does. */
export function policyRoutes(context: IdentityContext): Route[] {
  const path = '/policies'
  const view = (request: ApiRequest, row: IdentityTables['policies']) => ({ ...row, links: { self: request.link(`${path}/${row.id}`) } })
  return [
    {
      method: 'GET',
      path,
      doc: 'List policy documents',
      policy: 'identity:list_policies',
      query: Type.Object({ type: Type.Optional(Text) }),
      response: pageOf('policies', Shown),
      async handler(request) {
        const rows = await listPolicies(context, request.query.type)
        return { policies: rows.map((row) => view(request, row)), links: { next: null, self: request.link(path), previous: null } }
      },
    },
    {
      method: 'POST',
      path,
      doc: 'Keep a policy document',
      policy: 'identity:create_policy',
      body: Type.Object({ policy: Type.Object(fields, overlooked) }, overlooked),
      response: Answer,
      status: 201,
      handler: async (request) => ({ policy: view(request, await createPolicy(context, request.body.policy)) }),
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      doc: 'Show a policy document',
      policy: 'identity:get_policy',
      response: Answer,
      handler: async (request) => ({ policy: view(request, await findPolicy(context, request.params.id!)) }),
    },
    {
      method: 'PATCH',
      path: `${path}/:id`,
      doc: 'Change a policy document',
      policy: 'identity:update_policy',
      body: Type.Object({ policy: Type.Partial(Type.Object(fields), { ...overlooked, minProperties: 1 }) }, overlooked),
      response: Answer,
      handler: async (request) => ({ policy: view(request, await updatePolicy(context, request.params.id!, request.body.policy)) }),
    },
    {
      method: 'DELETE',
      path: `${path}/:id`,
      doc: 'Delete a policy document',
      policy: 'identity:delete_policy',
      status: 204,
      response: 'nothing',
      handler: (request) => deletePolicy(context, request.params.id!),
    },
  ]
}
