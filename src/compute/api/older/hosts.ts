import Type from 'typebox'
import { badRequest, Fault, notFound } from '../../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../../kernel/http/route.ts'
import { queryOf } from '../../../kernel/http/schema.ts'
import type { ComputeContext } from '../../app/context.ts'
import { type Host, listHosts, sharesOf, updateHost } from '../../app/host.ts'
import { Shown } from '../answers.ts'
import { Choice, closed, Name } from '../common.ts'

const POLICY = 'os_compute_api:os-hosts:'
const shared = { microversions: { max: '2.42' } }
const HostEntry = Type.Object({ host_name: Type.String(), service: Type.String(), zone: Type.String() }, closed)
const Resource = Type.Object(
  { host: Type.String(), project: Type.String(), cpu: Type.Integer(), memory_mb: Type.Integer(), disk_gb: Type.Integer() },
  closed,
)
const Changed = Type.Object({ host: Type.String(), status: Type.Optional(Type.String()) }, closed)

/** Hosts as operators looked at them before 2.43: services and hypervisors say it since. */
export function olderHostRoutes(context: ComputeContext): Route[] {
  const named = async (request: ApiRequest): Promise<Host> => {
    const found = (await listHosts(context)).find(({ host }) => host === request.params.host)
    if (!found) throw notFound(`Compute host ${request.params.host} could not be found.`, 'ComputeHostNotFound')
    return found
  }
  const power = (action: string): Route => ({
    method: 'GET',
    path: `/os-hosts/:host/${action}`,
    doc: `Ask a host to ${action}: no hypervisor here does that`,
    policy: `${POLICY}${action}`,
    ...shared,
    response: 'nothing',
    async handler(request) {
      const { host } = await named(request)
      throw new Fault(501, 'HostPowerNotImplemented', `The hypervisor of ${host} does not switch its host: do it on the machine itself.`)
    },
  })
  return [
    {
      method: 'GET',
      path: '/os-hosts',
      doc: 'List hosts and what they serve (os-services does it since 2.43)',
      policy: `${POLICY}list`,
      query: queryOf('zone'),
      response: Shown('hosts', Type.Array(HostEntry)),
      ...shared,
      async handler(request) {
        const hosts = await listHosts(context)
        const here = hosts[0]?.host ?? 'control'
        const control = ['conductor', 'scheduler'].map((service) => ({ host_name: here, service, zone: 'internal' }))
        const all = [...control, ...hosts.map(({ host, zone }) => ({ host_name: host, service: 'compute', zone }))]
        const { zone } = request.query
        return { hosts: zone ? all.filter((one) => one.zone === zone) : all }
      },
    },
    {
      method: 'GET',
      path: '/os-hosts/:host',
      doc: 'Show what a host has and who uses it (os-hypervisors does it since 2.43)',
      policy: `${POLICY}show`,
      response: Shown('host', Type.Array(Type.Object({ resource: Resource }, closed))),
      ...shared,
      async handler(request) {
        const one = await named(request)
        const view = (project: string, { vcpus, memoryMiB, diskGiB }: { vcpus: number; memoryMiB: number; diskGiB: number }) => ({
          resource: { host: one.host, project, cpu: vcpus, memory_mb: memoryMiB, disk_gb: diskGiB },
        })
        const shares = await sharesOf(context, one.host)
        const sum = { vcpus: 0, memoryMiB: 0, diskGiB: 0 }
        for (const share of shares) for (const what of ['vcpus', 'memoryMiB', 'diskGiB'] as const) sum[what] += share[what]
        return {
          host: [
            view('(total)', one.state),
            view('(used_now)', sum),
            view('(used_max)', sum),
            ...shares.map((share) => view(share.project, share)),
          ],
        }
      },
    },
    {
      method: 'PUT',
      path: '/os-hosts/:host',
      doc: 'Enable or disable a host for new servers (os-services does it since 2.43)',
      policy: `${POLICY}update`,
      body: Type.Object(
        { status: Type.Optional(Choice(['enable', 'disable'])), maintenance_mode: Type.Optional(Choice(['enable', 'disable'])) },
        closed,
      ),
      response: Changed,
      ...shared,
      async handler(request) {
        const { status, maintenance_mode } = request.body
        if (!status && !maintenance_mode) throw badRequest('Invalid input: status or maintenance_mode is needed.')
        const { host } = await named(request)
        if (maintenance_mode)
          throw new Fault(501, 'MaintenanceNotImplemented', `The hypervisor of ${host} has no maintenance mode: disable the host instead.`)
        await updateHost(context, host, status === 'enable' ? { disabled: 0, disabled_reason: null } : { disabled: 1 })
        return { host, status: `${status}d` }
      },
    },
    ...['startup', 'shutdown', 'reboot'].map(power),
    ...auditRoutes(context),
  ]
}

const Log = Type.Object(
  {
    hosts_not_run: Type.Array(Name),
    log: Type.Object({}, closed),
    num_hosts: Type.Integer(),
    num_hosts_done: Type.Integer(),
    num_hosts_not_run: Type.Integer(),
    num_hosts_running: Type.Integer(),
    overall_status: Type.String(),
    period_beginning: Type.String(),
    period_ending: Type.String(),
    total_errors: Type.Integer(),
    total_instances: Type.Integer(),
  },
  closed,
)

/** The log of the monthly audit of usage: nobody runs one here (notifications are not sent), so all hosts have yet to. */
function auditRoutes(context: ComputeContext): Route[] {
  const log = async (before: Date) => {
    const hosts = (await listHosts(context)).map(({ host }) => host)
    const ending = new Date(Date.UTC(before.getUTCFullYear(), before.getUTCMonth()))
    const beginning = new Date(Date.UTC(ending.getUTCFullYear(), ending.getUTCMonth() - 1))
    const text = (time: Date) => time.toISOString().slice(0, 19).replace('T', ' ')
    return {
      hosts_not_run: hosts,
      log: {},
      num_hosts: hosts.length,
      num_hosts_done: 0,
      num_hosts_not_run: hosts.length,
      num_hosts_running: 0,
      overall_status: `0 of ${hosts.length} hosts done. 0 errors.`,
      period_beginning: text(beginning),
      period_ending: text(ending),
      total_errors: 0,
      total_instances: 0,
    }
  }
  return [
    {
      method: 'GET',
      path: '/os-instance_usage_audit_log',
      doc: 'Show which hosts have audited the usage of the last month',
      policy: 'os_compute_api:os-instance-usage-audit-log:list',
      response: Shown('instance_usage_audit_logs', Log),
      handler: async () => ({ instance_usage_audit_logs: await log(new Date()) }),
    },
    {
      method: 'GET',
      path: '/os-instance_usage_audit_log/:before',
      doc: 'The same of the month before a time',
      policy: 'os_compute_api:os-instance-usage-audit-log:show',
      response: Shown('instance_usage_audit_log', Log),
      async handler(request) {
        const before = request.params.before!
        const time = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$/.test(before) ? Date.parse(`${before.replace(' ', 'T')}Z`) : Number.NaN
        if (Number.isNaN(time)) throw badRequest(`Invalid timestamp for date ${before}`)
        return { instance_usage_audit_log: await log(new Date(time)) }
      },
    },
  ]
}
