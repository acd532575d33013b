import Type from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { changedQuotas, defaultQuota, QUOTA_RESOURCES, quotaDetails, quotaOf, resetQuota, setQuota } from '../app/quotas.ts'
import { QuotaBody } from './schemas.ts'

const quota = Object.fromEntries(QUOTA_RESOURCES.map((name) => [name, Type.Integer()]))
const owner = { project_id: Type.String(), tenant_id: Type.String() }
const Amounts = Type.Object(quota)
const Used = Type.Object({ used: Type.Integer(), limit: Type.Integer(), reserved: Type.Integer() })
const One = Type.Object({ quota: Amounts })

export function quotaRoutes(context: NetworkContext): Route[] {
  const target = (request: ApiRequest) => ({ project_id: request.params.id, tenant_id: request.params.id })
  const read = { method: 'GET' as const, policy: 'get_quota', target, response: One }
  return [
    {
      method: 'GET',
      path: '/quotas',
      doc: 'List the projects whose quota was changed',
      policy: 'get_quotas',
      response: Type.Object({ quotas: Type.Array(Type.Object({ ...owner, ...quota })) }),
      handler: async () => ({ quotas: await changedQuotas(context) }),
    },
    {
      method: 'GET',
      path: '/quotas/tenant',
      doc: "Show the caller's project",
      policy: 'regular_user',
      response: Type.Object({ tenant: Type.Object({ tenant_id: Type.Union([Type.String(), Type.Null()]) }) }),
      handler: ({ context: { projectId } }) => ({ tenant: { tenant_id: projectId } }),
    },
    {
      ...read,
      path: '/quotas/:id',
      doc: 'Show the quota of a project',
      handler: async ({ params }) => ({ quota: await quotaOf(context, params.id!) }),
    },
    {
      ...read,
      path: '/quotas/:id/default',
      doc: 'Show the quota of a project that has none of its own',
      handler: () => ({ quota: defaultQuota() }),
    },
    {
      ...read,
      path: '/quotas/:id/details',
      doc: 'Show quota and use of a project',
      response: Type.Object({ quota: Type.Object(Object.fromEntries(QUOTA_RESOURCES.map((name) => [name, Used]))) }),
      handler: async ({ params }) => ({ quota: await quotaDetails(context, params.id!) }),
    },
    {
      method: 'PUT',
      path: '/quotas/:id',
      doc: 'Change the quota of a project',
      policy: 'update_quota',
      target,
      body: QuotaBody,
      response: One,
      async handler({ params, body }) {
        const { tenant_id: _t, project_id: _p, force: _f, ...amounts } = body.quota as Record<string, string | number>
        for (const name of Object.keys(amounts))
          if (!QUOTA_RESOURCES.includes(name)) throw badRequest(`Unrecognized attribute(s) '${name}'`, 'HTTPBadRequest')
        await setQuota(context, params.id!, Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, Number(amount)])))
        return { quota: await quotaOf(context, params.id!) }
      },
    },
    {
      method: 'DELETE',
      path: '/quotas/:id',
      doc: 'Give a project the usual quota again',
      policy: 'delete_quota',
      target,
      response: 'nothing',
      async handler({ params }) {
        await resetQuota(context, params.id!)
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}
