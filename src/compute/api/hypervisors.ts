import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import type { ComputeContext } from '../app/context.ts'
import { type Host, listHosts, serversOn } from '../app/host.ts'
import { Hypervisor, HypervisorBrief, HypervisorSum, HypervisorUptime, Paged, Shown } from './answers.ts'
import { nextLink, wholeNumber } from './common.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export function hypervisorRoutes(context: ComputeContext): Route[] {
  const policy = (name: string) => `os_compute_api:os-hypervisors:${name}`
  const response = Paged('hypervisors', HypervisorBrief)
  const query = queryOf('hypervisor_hostname_pattern', 'with_servers', 'limit', 'marker')
  const find = async (request: ApiRequest): Promise<Host> => {
    const id = request.params.id!
    if (request.version.atLeast('2.53') && !UUID.test(id)) throw badRequest(`Invalid uuid ${id}`)
    const found = (await listHosts(context)).find((one) => one.provider_id === id || String(one.number) === id)
    if (!found) throw notFound(`Hypervisor with ID '${id}' could not be found.`)
    return found
  }
  const matching = async (request: ApiRequest): Promise<Host[]> => {
    const hosts = await listHosts(context)
    const pattern = request.version.atLeast('2.53') ? request.query.hypervisor_hostname_pattern : undefined
    if (!pattern) return hosts
    const found = hosts.filter((one) => one.state.hypervisorHostname.includes(pattern))
    if (found.length === 0) throw notFound(`No hypervisor matching '${pattern}' could be found.`)
    return found
  }
  /** One page, since 2.33. @throws Fault 400 */
  const page = (request: ApiRequest, path: string, hosts: Host[]) => {
    const { marker, limit } = request.version.atLeast('2.33') ? request.query : {}
    const from = marker ? hosts.findIndex((one) => String(idOf(request, one)) === marker) + 1 : 0
    if (marker && from === 0) throw badRequest(`marker [${marker}] not found`)
    const shown = hosts.slice(from, from + (wholeNumber('limit', limit) ?? 1000))
    const next = nextLink(request, path, from + shown.length < hosts.length, shown.at(-1) && String(idOf(request, shown.at(-1)!)))
    return { shown, links: next ? { hypervisors_links: next } : {} }
  }
  const serversOf = (hosts: Host[]) =>
    serversOn(
      context,
      hosts.map((one) => one.host),
    )
  const withServers = async (request: ApiRequest, hosts: Host[]) => {
    const servers =
      hosts.length > 0 && request.version.atLeast('2.53') && /^(true|1)$/i.test(request.query.with_servers ?? '')
        ? await serversOf(hosts)
        : null
    return (host: Host) => ({
      servers: servers?.get(host.host)?.map((row) => ({ uuid: row.id, name: row.name })) ?? (servers ? [] : undefined),
    })
  }
  return [
    {
      method: 'GET',
      path: '/os-hypervisors',
      doc: 'List hypervisors',
      policy: policy('list'),
      query,
      response,
      async handler(request) {
        const { shown, links } = page(request, '/os-hypervisors', await matching(request))
        const servers = await withServers(request, shown)
        return { hypervisors: shown.map((one) => ({ ...brief(request, one), ...servers(one) })), ...links }
      },
    },
    {
      method: 'GET',
      path: '/os-hypervisors/detail',
      doc: 'List hypervisors in full',
      policy: policy('list-detail'),
      query,
      response: Paged('hypervisors', Hypervisor),
      async handler(request) {
        const { shown, links } = page(request, '/os-hypervisors/detail', await matching(request))
        const servers = await withServers(request, shown)
        return { hypervisors: shown.map((one) => ({ ...view(request, one), ...servers(one) })), ...links }
      },
    },
    {
      method: 'GET',
      path: '/os-hypervisors/statistics',
      doc: 'Sum up all hypervisors',
      policy: policy('statistics'),
      microversions: { max: '2.87' },
      response: Shown('hypervisor_statistics', HypervisorSum),
      handler: async () => ({ hypervisor_statistics: sumUp(await listHosts(context)) }),
    },
    {
      method: 'GET',
      path: '/os-hypervisors/:id/search',
      doc: 'Find hypervisors by a part of their name',
      policy: policy('search'),
      microversions: { max: '2.52' },
      response,
      async handler(request) {
        const found = (await listHosts(context)).filter((one) => one.state.hypervisorHostname.includes(request.params.id!))
        if (found.length === 0) throw notFound(`No hypervisor matching '${request.params.id}' could be found.`)
        return { hypervisors: found.map((one) => brief(request, one)) }
      },
    },
    {
      method: 'GET',
      path: '/os-hypervisors/:id/servers',
      doc: 'List the servers of hypervisors found by a part of their name',
      policy: policy('servers'),
      microversions: { max: '2.52' },
      response,
      async handler(request) {
        const found = (await listHosts(context)).filter((one) => one.state.hypervisorHostname.includes(request.params.id!))
        if (found.length === 0) throw notFound(`No hypervisor matching '${request.params.id}' could be found.`)
        const servers = await serversOf(found)
        return {
          hypervisors: found.map((one) => ({
            ...brief(request, one),
            servers: (servers.get(one.host) ?? []).map((row) => ({ uuid: row.id, name: row.name })),
          })),
        }
      },
    },
    {
      method: 'GET',
      path: '/os-hypervisors/:id/uptime',
      doc: 'Since when the host process runs',
      policy: policy('show'),
      microversions: { max: '2.87' },
      response: Shown('hypervisor', HypervisorUptime),
      async handler(request) {
        const host = await find(request)
        if (!host.up) throw badRequest(`Host ${host.host} is down.`)
        return { hypervisor: { ...brief(request, host), uptime: uptime(host) } }
      },
    },
    {
      method: 'GET',
      path: '/os-hypervisors/:id',
      doc: 'Show a hypervisor',
      policy: policy('show'),
      query: queryOf('with_servers'),
      response: Shown('hypervisor', Hypervisor),
      async handler(request) {
        const host = await find(request)
        const servers = await withServers(request, [host])
        return { hypervisor: { ...view(request, host), ...servers(host) } }
      },
    },
  ]
}

const uptime = (one: Host) => `up since ${one.state.startedAt}`
const idOf = (request: ApiRequest, one: Host) => (request.version.atLeast('2.53') ? one.provider_id : Number(one.number))

const brief = (request: ApiRequest, one: Host) => ({
  id: idOf(request, one),
  hypervisor_hostname: one.state.hypervisorHostname,
  state: one.up ? 'up' : 'down',
  status: one.disabled ? 'disabled' : 'enabled',
})

function view(request: ApiRequest, one: Host) {
  const { state } = one
  return {
    ...brief(request, one),
    hypervisor_type: state.hypervisorType,
    hypervisor_version: state.hypervisorVersion,
    host_ip: state.hostIp,
    service: {
      id: request.version.atLeast('2.53') ? one.service_id : Number(one.number),
      host: one.host,
      disabled_reason: one.disabled_reason,
    },
    ...(request.version.atLeast('2.88') ? { uptime: uptime(one) } : amounts(request, one)),
  }
}

function amounts(request: ApiRequest, { state }: Host) {
  const cpu = {
    vendor: 'unknown',
    arch: state.supportedInstances[0]?.[0] ?? 'x86_64',
    model: state.cpuModel,
    features: state.cpuFeatures,
    topology: { sockets: 1, cores: state.vcpus, threads: 1 },
  }
  return {
    vcpus: state.vcpus,
    vcpus_used: state.vcpusUsed,
    memory_mb: state.memoryMiB,
    memory_mb_used: state.memoryMiBUsed,
    free_ram_mb: state.memoryMiB - state.memoryMiBUsed,
    local_gb: state.diskGiB,
    local_gb_used: state.diskGiBUsed,
    free_disk_gb: state.diskGiB - state.diskGiBUsed,
    disk_available_least: state.freeDiskGiB,
    running_vms: state.runningVms,
    current_workload: state.ioOps,
    cpu_info: request.version.atLeast('2.28') ? cpu : JSON.stringify(cpu),
  }
}

function sumUp(hosts: Host[]) {
  const up = hosts.filter((one) => !one.disabled)
  const sum = (of: (one: Host['state']) => number) => up.reduce((total, one) => total + of(one.state), 0)
  return {
    count: up.length,
    vcpus: sum((one) => one.vcpus),
    vcpus_used: sum((one) => one.vcpusUsed),
    memory_mb: sum((one) => one.memoryMiB),
    memory_mb_used: sum((one) => one.memoryMiBUsed),
    free_ram_mb: sum((one) => one.memoryMiB - one.memoryMiBUsed),
    local_gb: sum((one) => one.diskGiB),
    local_gb_used: sum((one) => one.diskGiBUsed),
    free_disk_gb: sum((one) => one.diskGiB - one.diskGiBUsed),
    disk_available_least: sum((one) => one.freeDiskGiB),
    running_vms: sum((one) => one.runningVms),
    current_workload: sum((one) => one.ioOps),
  }
}
