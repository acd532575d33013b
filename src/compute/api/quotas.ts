import Type, { type TSchema } from 'typebox'
import { badRequest, Fault } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import type { ComputeContext } from '../app/context.ts'
import * as quota from '../app/quota.ts'
import { summed, usageReport } from '../app/usage.ts'
import { Limits, Link, Paged, QuotaDetail, QuotaSet, Shown, TenantUsage, TenantUsageOrNone } from './answers.ts'
import { nextLink, Truth, Wrapped, wholeNumber } from './common.ts'

const NETWORK = new Set<quota.Resource>(['floating_ips', 'fixed_ips', 'security_groups', 'security_group_rules'])
const FILES = new Set<quota.Resource>(['injected_files', 'injected_file_content_bytes', 'injected_file_path_bytes'])

/** Newer requests neither see nor set what is the network service's, or gone. */
const shown = (request: ApiRequest): quota.Resource[] =>
  quota.RESOURCES.filter(
    (one) => !(request.version.atLeast('2.36') && NETWORK.has(one)) && !(request.version.atLeast('2.57') && FILES.has(one)),
  )

/** Of the defaults the networks' went later, and those of server groups came with it. */
const shownOfClass = (request: ApiRequest): quota.Resource[] =>
  quota.RESOURCES.filter((one) =>
    request.version.atLeast('2.50')
      ? !NETWORK.has(one) && !(request.version.atLeast('2.57') && FILES.has(one))
      : !['server_groups', 'server_group_members'].includes(one),
  )

const pick = <T>(request: ApiRequest, values: Record<string, T>, names = shown(request)): Record<string, T> =>
  Object.fromEntries(names.map((one) => [one, values[one]!]))

const Limit = Type.Union([Type.Integer({ minimum: -1, maximum: 2_147_483_647 }), Type.String({ pattern: '^(-1|[0-9]{1,9})$' })])
const QuotaBody = (key: string, more: Record<string, TSchema> = {}) =>
  Wrapped(
    key,
    Type.Object(
      {
        ...Object.fromEntries(quota.RESOURCES.map((one) => [one, Type.Optional(Limit)])),
        force: Type.Optional(Truth),
        tenant_id: Type.Optional(Type.String()),
        networks: Type.Optional(Limit),
        ...more,
      },
      { additionalProperties: false },
    ),
  )

export function quotaRoutes(context: ComputeContext): Route[] {
  const project = (request: ApiRequest) => request.params.project!
  const target = (request: ApiRequest) => ({ project_id: request.params.project })
  const owner = (request: ApiRequest) => quota.ownerOf(project(request), request.query.user_id)
  const response = Shown('quota_set', QuotaSet)
  const query = queryOf('user_id')
  return [
    {
      method: 'GET',
      path: '/os-quota-sets/:project',
      doc: "Show a project's (or a user's) limits",
      policy: 'os_compute_api:os-quota-sets:show',
      target,
      query,
      response,
      async handler(request) {
        const limits = await quota.limitsOf(context.database.db, project(request), request.query.user_id)
        return { quota_set: { id: project(request), ...pick(request, limits) } }
      },
    },
    {
      method: 'GET',
      path: '/os-quota-sets/:project/detail',
      doc: 'Show limits with what is in use',
      policy: 'os_compute_api:os-quota-sets:show',
      target,
      query,
      response: Shown('quota_set', QuotaDetail),
      async handler(request) {
        const { db } = context.database
        const limits = await quota.limitsOf(db, project(request), request.query.user_id)
        const used: Record<string, number> = { ...(await quota.usageOf(db, project(request), request.query.user_id)) }
        const detail = Object.fromEntries(quota.RESOURCES.map((one) => [one, { limit: limits[one], in_use: used[one] ?? 0, reserved: 0 }]))
        return { quota_set: { id: project(request), ...pick(request, detail) } }
      },
    },
    {
      method: 'GET',
      path: '/os-quota-sets/:project/defaults',
      doc: 'Show the limits of a project for which none are set',
      policy: 'os_compute_api:os-quota-sets:defaults',
      response,
      handler: async (request) => ({ quota_set: { id: project(request), ...pick(request, await quota.defaultLimits(context)) } }),
    },
    {
      method: 'PUT',
      path: '/os-quota-sets/:project',
      doc: 'Set limits of a project or user; not below what is in use unless forced',
      policy: 'os_compute_api:os-quota-sets:update',
      query,
      body: QuotaBody('quota_set'),
      response,
      async handler(request) {
        const { force, tenant_id: _tenant, networks: _networks, ...asked } = request.body.quota_set
        const limits = Object.fromEntries(Object.entries(asked).map(([name, value]) => [name, Number(value)]))
        if (!force || force === 'False') {
          const used: Record<string, number> = { ...(await quota.usageOf(context.database.db, project(request), request.query.user_id)) }
          for (const [name, limit] of Object.entries(limits))
            if (limit >= 0 && limit < (used[name] ?? 0))
              throw badRequest(`Quota limit ${limit} for ${name} must be greater than or equal to already used and reserved ${used[name]}.`)
        }
        await quota.setLimits(context, owner(request), limits)
        return { quota_set: pick(request, await quota.limitsOf(context.database.db, project(request), request.query.user_id)) }
      },
    },
    {
      method: 'DELETE',
      path: '/os-quota-sets/:project',
      doc: 'Go back to the default limits',
      policy: 'os_compute_api:os-quota-sets:delete',
      status: 202,
      query,
      response: 'nothing',
      handler: (request) => quota.forgetLimits(context, owner(request)),
    },
    {
      method: 'GET',
      path: '/os-quota-class-sets/:class',
      doc: 'Show the default limits',
      policy: 'os_compute_api:os-quota-class-sets:show',
      response: Shown('quota_class_set', QuotaSet),
      async handler(request) {
        onlyDefault(request)
        return { quota_class_set: { id: 'default', ...pick(request, await quota.defaultLimits(context), shownOfClass(request)) } }
      },
    },
    {
      method: 'PUT',
      path: '/os-quota-class-sets/:class',
      doc: 'Set the default limits',
      policy: 'os_compute_api:os-quota-class-sets:update',
      body: QuotaBody('quota_class_set', { class_name: Type.Optional(Type.String()) }),
      response: Shown('quota_class_set', QuotaSet),
      async handler(request) {
        onlyDefault(request)
        const { class_name: _name, networks: _networks, force: _force, ...asked } = request.body.quota_class_set
        await quota.setDefaultLimits(context, Object.fromEntries(Object.entries(asked).map(([name, value]) => [name, Number(value)])))
        return { quota_class_set: pick(request, await quota.defaultLimits(context), shownOfClass(request)) }
      },
    },
    {
      method: 'GET',
      path: '/limits',
      doc: 'Show limits and use in one',
      policy: 'os_compute_api:limits',
      query: queryOf('tenant_id'),
      response: Shown('limits', Limits),
      handler: (request) => limits(context, request),
    },
    ...usageRoutes(context),
  ]
}

function onlyDefault(request: ApiRequest): void {
  if (request.params.class !== 'default')
    throw new Fault(404, 'QuotaClassNotFound', `There is no quota class ${request.params.class}: only "default".`)
}

async function limits(context: ComputeContext, request: ApiRequest) {
  const other = request.query.tenant_id
  if (other && other !== request.context.projectId) request.enforce('os_compute_api:limits:other_project')
  const id = other ?? request.context.projectId!
  const [limit, used] = await Promise.all([quota.limitsOf(context.database.db, id), quota.usageOf(context.database.db, id)])
  const networks = !request.version.atLeast('2.36')
  const absolute = {
    maxTotalInstances: limit.instances,
    maxTotalCores: limit.cores,
    maxTotalRAMSize: limit.ram,
    maxServerMeta: limit.metadata_items,
    maxTotalKeypairs: limit.key_pairs,
    maxServerGroups: limit.server_groups,
    maxServerGroupMembers: limit.server_group_members,
    totalInstancesUsed: used.instances,
    totalCoresUsed: used.cores,
    totalRAMUsed: used.ram,
    totalServerGroupsUsed: 0,
    ...(request.version.atLeast('2.57')
      ? {}
      : { maxPersonality: limit.injected_files, maxPersonalitySize: limit.injected_file_content_bytes }),
    ...(request.version.atLeast('2.39') ? {} : { maxImageMeta: limit.metadata_items }),
    ...(networks
      ? {
          maxSecurityGroups: limit.security_groups,
          maxSecurityGroupRules: limit.security_group_rules,
          maxTotalFloatingIps: limit.floating_ips,
          totalSecurityGroupsUsed: 0,
          totalFloatingIpsUsed: 0,
        }
      : {}),
  }
  return { limits: { rate: [], absolute } }
}

type Report = Awaited<ReturnType<typeof usageReport>>[number]

/** Since 2.40 a report comes in pages of servers, each summed up for itself. @throws Fault 400 */
function page(request: ApiRequest, path: string, all: Report[]) {
  if (!request.version.atLeast('2.40')) return { reports: all, links: undefined }
  const { marker, limit } = request.query
  const ids = all.flatMap((report) => report.server_usages.map((one) => one.instance_id))
  const from = marker ? ids.indexOf(marker) + 1 : 0
  if (marker && from === 0) throw badRequest(`marker [${marker}] not found`)
  const shown = new Set(ids.slice(from, from + (wholeNumber('limit', limit) ?? 1000)))
  const reports = all
    .map((report) => ({ ...report, ...summed(report.server_usages.filter((one) => shown.has(one.instance_id))) }))
    .filter((report) => report.server_usages.length > 0)
  return { reports, links: nextLink(request, path, from + shown.size < ids.length, [...shown].at(-1)) }
}

function usageRoutes(context: ComputeContext): Route[] {
  const period = (request: ApiRequest) => {
    const time = (name: string, fallback: number) => {
      const text = request.query[name]
      if (text === undefined) return fallback
      const at = Date.parse(/[Z+]/.test(text) ? text : `${text}Z`)
      if (Number.isNaN(at)) throw badRequest(`Datetime is in invalid format: ${text}`)
      return at
    }
    const until = time('end', Date.now())
    const from = time('start', until - 30 * 86_400_000)
    if (from >= until) throw badRequest('Invalid start time. The start time cannot occur after the end time.')
    return { from, until }
  }
  return [
    {
      method: 'GET',
      path: '/os-simple-tenant-usage',
      doc: 'Show what all projects have used',
      policy: 'os_compute_api:os-simple-tenant-usage:list',
      query: queryOf('start', 'end', 'detailed', 'limit', 'marker'),
      response: Paged('tenant_usages', TenantUsage),
      async handler(request) {
        const { from, until } = period(request)
        const { reports, links } = page(request, '/os-simple-tenant-usage', await usageReport(context, from, until, null))
        const detailed = request.query.detailed === '1'
        const usages = reports.map(({ server_usages, ...sum }) => (detailed ? { ...sum, server_usages } : sum))
        return { tenant_usages: usages, ...(links ? { tenant_usages_links: links } : {}) }
      },
    },
    {
      method: 'GET',
      path: '/os-simple-tenant-usage/:project',
      doc: 'Show what a project has used',
      policy: 'os_compute_api:os-simple-tenant-usage:show',
      target: (request) => ({ project_id: request.params.project }),
      query: queryOf('start', 'end', 'limit', 'marker'),
      response: Type.Object({ tenant_usage: TenantUsageOrNone, tenant_usage_links: Type.Optional(Type.Array(Link)) }),
      async handler(request) {
        const { from, until } = period(request)
        const id = request.params.project!
        const all = await usageReport(context, from, until, id)
        const { reports, links } = page(request, `/os-simple-tenant-usage/${id}`, all)
        return { tenant_usage: reports[0] ?? {}, ...(links ? { tenant_usage_links: links } : {}) }
      },
    },
  ]
}
