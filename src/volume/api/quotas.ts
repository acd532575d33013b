import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import { DEFAULT_LIMITS, forgetLimits, type Limits, quotaOf, setLimits } from '../app/quota.ts'
import { LimitsAnswer, QuotaClassSet, QuotaSet, QuotaUse } from './answers.ts'
import * as shape from './schemas.ts'
import { truth } from './seen.ts'

export function quotaRoutes(context: VolumeContext): Route[] {
  const target = (request: ApiRequest) => ({ project_id: request.params.target_id })
  const show = async (id: string | null) => ({ quota_set: { id: id ?? 'default', ...(await quotaOf(context, id)).limits } })
  return [
    {
      method: 'GET',
      path: '/os-quota-sets/:target_id',
      doc: "Show a project's limits; with usage=true what it uses of them",
      policy: 'volume_extension:quotas:show',
      target,
      query: shape.ListQuery,
      response: QuotaUse,
      async handler(request) {
        const id = request.params.target_id!
        if (!truth(request.query.usage)) return await show(id)
        const { limits, usage } = await quotaOf(context, id)
        const used = Object.entries(limits).map(([resource, limit]) => [
          resource,
          { limit, in_use: usage[resource] ?? 0, reserved: 0, allocated: 0 },
        ])
        return { quota_set: { id, ...Object.fromEntries(used) } }
      },
    },
    {
      method: 'GET',
      path: '/os-quota-sets/:target_id/defaults',
      doc: 'Show the limits of a project that has none of its own',
      policy: 'volume_extension:quotas:show',
      target,
      response: QuotaSet,
      async handler(request) {
        return { quota_set: { ...(await show(null)).quota_set, id: request.params.target_id } }
      },
    },
    {
      method: 'PUT',
      path: '/os-quota-sets/:target_id',
      doc: "Set a project's limits",
      policy: 'volume_extension:quotas:update',
      target,
      body: shape.QuotaChange,
      response: QuotaSet,
      async handler(request) {
        const id = request.params.target_id!
        await setLimits(context, id, limitsIn(request.body.quota_set))
        return { quota_set: (await quotaOf(context, id)).limits }
      },
    },
    {
      method: 'DELETE',
      path: '/os-quota-sets/:target_id',
      doc: "Forget a project's own limits",
      policy: 'volume_extension:quotas:delete',
      target,
      response: 'nothing',
      async handler(request) {
        await forgetLimits(context, request.params.target_id!)
        return new Reply(undefined, { status: 200 })
      },
    },
    {
      method: 'GET',
      path: '/os-quota-class-sets/:class_name',
      doc: 'Show the limits that hold where a project has none',
      policy: 'volume_extension:quota_classes',
      response: QuotaClassSet,
      async handler(request) {
        return { quota_class_set: { id: request.params.class_name, ...(await quotaOf(context, null)).limits } }
      },
    },
    {
      method: 'PUT',
      path: '/os-quota-class-sets/:class_name',
      doc: 'Set the limits that hold where a project has none',
      policy: 'volume_extension:quota_classes',
      body: shape.QuotaClassChange,
      response: QuotaClassSet,
      async handler(request) {
        if (request.params.class_name !== 'default') throw badRequest('There is one quota class, default.')
        await setLimits(context, null, limitsIn(request.body.quota_class_set))
        return { quota_class_set: (await quotaOf(context, null)).limits }
      },
    },
    {
      method: 'GET',
      path: '/limits',
      doc: "Show the caller's limits and what is used of them",
      policy: 'limits_extension:used_limits',
      query: shape.ListQuery,
      response: LimitsAnswer,
      async handler(request) {
        const project = request.allowed('context_is_admin') ? request.query.project_id || request.query.tenant_id : undefined
        const { limits, usage } = await quotaOf(context, project || request.context.projectId || '')
        const used = (resource: string) => usage[resource] ?? 0
        return {
          limits: {
            rate: [],
            absolute: {
              maxTotalVolumes: limits.volumes,
              maxTotalSnapshots: limits.snapshots,
              maxTotalVolumeGigabytes: limits.gigabytes,
              maxTotalBackups: limits.backups,
              maxTotalBackupGigabytes: limits.backup_gigabytes,
              totalVolumesUsed: used('volumes'),
              totalSnapshotsUsed: used('snapshots'),
              totalGigabytesUsed: used('gigabytes'),
              totalBackupsUsed: 0,
              totalBackupGigabytesUsed: 0,
            },
          },
        }
      },
    },
  ]
}

/** @throws Fault 400 for what is no number */
function limitsIn(asked: Record<string, unknown>): Limits {
  const limits: Limits = {}
  for (const [resource, value] of Object.entries(asked)) {
    if (['id', 'tenant_id', 'project_id', 'skip_validation', 'force'].includes(resource) || value === null) continue
    const limit = Number(value)
    if (!Number.isSafeInteger(limit) || limit < -1 || limit > 2_147_483_647 || value === '')
      throw badRequest(`Quota limit ${resource} must be a whole number from -1, not ${JSON.stringify(value)}.`)
    limits[resource] = limit
  }
  if (Object.keys(limits).length === 0) throw badRequest(`Name one of ${Object.keys(DEFAULT_LIMITS).join(', ')}.`)
  return limits
}
