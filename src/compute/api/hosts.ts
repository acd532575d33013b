import Type from 'typebox'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import type { ComputeContext } from '../app/context.ts'
import { type Host, listHosts, removeHost, updateHost } from '../app/host.ts'
import { zoneNames } from '../app/zone.ts'
import { ChangedService, Service, Shown, Zone } from './answers.ts'
import { Choice, closed, isTrue, micro, Name, Truth } from './common.ts'
import { hypervisorRoutes } from './hypervisors.ts'

/** Services, hypervisors and zones: what an operator sees of the hosts. */
export function hostRoutes(context: ComputeContext, startedAt: string): Route[] {
  return [...serviceRoutes(context, startedAt), ...hypervisorRoutes(context), ...zoneRoutes(context)]
}

function serviceRoutes(context: ComputeContext, startedAt: string): Route[] {
  const policy = (name: string) => `os_compute_api:os-services:${name}`
  const byId = async (id: string): Promise<Host> => {
    const found = (await listHosts(context)).find((one) => one.service_id === id || String(one.number) === id)
    if (!found) throw notFound(`Service ${id} could not be found.`, 'ServiceNotFound')
    return found
  }
  const onHost = async (host: string): Promise<Host> => {
    const found = (await listHosts(context)).find((one) => one.host === host)
    if (!found) throw notFound(`Service with host ${host} binary nova-compute could not be found.`, 'HostBinaryNotFound')
    return found
  }
  const oldWay = (action: string, doc: string, change: (body: any) => Parameters<typeof updateHost>[2]): Route => ({
    method: 'PUT',
    path: `/os-services/${action}`,
    doc,
    policy: policy('update'),
    microversions: { min: action === 'force-down' ? '2.11' : '2.1', max: '2.52' },
    body: Type.Object(
      {
        host: Name,
        binary: Type.Optional(Choice(['nova-compute'])),
        disabled_reason: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
        forced_down: Type.Optional(Truth),
      },
      closed,
    ),
    response: Shown('service', ChangedService),
    async handler(request) {
      const { body } = request
      await onHost(body.host)
      const columns = change(body)
      await updateHost(context, body.host, columns)
      const service = { host: body.host, binary: 'nova-compute' }
      if (action === 'force-down') return { service: { ...service, forced_down: columns.forced_down === 1 } }
      return {
        service: {
          ...service,
          status: columns.disabled ? 'disabled' : 'enabled',
          ...(columns.disabled_reason ? { disabled_reason: columns.disabled_reason } : {}),
        },
      }
    },
  })
  return [
    {
      method: 'GET',
      path: '/os-services',
      doc: 'List the compute services: conductor, scheduler, and one for each host',
      policy: policy('list'),
      query: queryOf('host', 'binary'),
      response: Shown('services', Type.Array(Service)),
      async handler(request) {
        const { host, binary } = request.query
        const hosts = await listHosts(context)
        const here = hosts[0]?.host ?? 'control'
        const own = ['nova-conductor', 'nova-scheduler'].map((name, i) => controlService(request, name, i, here, startedAt))
        const all = [...own, ...hosts.map((one) => serviceView(request, one))]
        return { services: all.filter((one) => (!host || one.host === host) && (!binary || one.binary === binary)) }
      },
    },
    oldWay('enable', 'Enable a host for new servers', () => ({ disabled: 0, disabled_reason: null })),
    oldWay('disable', 'Disable a host for new servers', () => ({ disabled: 1, disabled_reason: null })),
    oldWay('disable-log-reason', 'Disable a host for new servers and say why', (body) => ({
      disabled: 1,
      disabled_reason: body.disabled_reason ?? null,
    })),
    oldWay('force-down', 'Say that a host is down', (body) => ({
      forced_down: body.forced_down === undefined || isTrue(body.forced_down) ? 1 : 0,
    })),
    {
      method: 'PUT',
      path: '/os-services/:service_id',
      doc: 'Enable, disable or force down a host',
      policy: policy('update'),
      microversions: { min: '2.53' },
      body: Type.Partial(
        Type.Object({
          status: Choice(['enabled', 'disabled']),
          disabled_reason: Type.String({ minLength: 1, maxLength: 255 }),
          forced_down: Truth,
        }),
        closed,
      ),
      response: Shown('service', Service),
      async handler(request) {
        const { status, disabled_reason: reason, forced_down: forced } = request.body
        if (reason !== undefined && status !== 'disabled') throw badRequest('disabled_reason needs status disabled')
        const host = await byId(request.params.service_id!)
        if (!status && forced === undefined) throw badRequest("There is nothing to change: 'status' or 'forced_down' is needed.")
        await updateHost(context, host.host, {
          ...(status ? { disabled: status === 'disabled' ? 1 : 0, disabled_reason: reason ?? null } : {}),
          ...(forced !== undefined ? { forced_down: isTrue(forced) ? 1 : 0 } : {}),
        })
        return { service: serviceView(request, await byId(host.service_id)) }
      },
    },
    {
      method: 'DELETE',
      path: '/os-services/:service_id',
      doc: 'Forget a host that has no servers and no migrations',
      policy: policy('delete'),
      status: 204,
      response: 'nothing',
      async handler(request) {
        await removeHost(context, await byId(request.params.service_id!))
      },
    },
  ]
}

const controlService = (request: ApiRequest, binary: string, i: number, host: string, startedAt: string) => ({
  id: request.version.atLeast('2.53') ? `00000000-0000-4000-8000-00000000000${i + 1}` : 1_000_000 + i,
  binary,
  host,
  zone: 'internal',
  status: 'enabled',
  state: 'up',
  updated_at: micro(new Date().toISOString()) ?? startedAt,
  disabled_reason: null,
  ...(request.version.atLeast('2.11') ? { forced_down: false } : {}),
})

const serviceView = (request: ApiRequest, one: Host) => ({
  id: request.version.atLeast('2.53') ? one.service_id : Number(one.number),
  binary: 'nova-compute',
  host: one.host,
  zone: one.zone,
  status: one.disabled ? 'disabled' : 'enabled',
  state: one.up ? 'up' : 'down',
  updated_at: micro(one.seen_at),
  disabled_reason: one.disabled_reason,
  ...(request.version.atLeast('2.11') ? { forced_down: one.forced_down === 1 } : {}),
})

function zoneRoutes(context: ComputeContext): Route[] {
  const zones = async (detail: boolean) => {
    const hosts = await listHosts(context)
    const up = (zone: string) => hosts.some((one) => one.zone === zone && !one.disabled)
    const names = (await zoneNames(context)).filter((zone) => hosts.some((one) => one.zone === zone))
    const hostsOf = (zone: string) =>
      Object.fromEntries(
        hosts
          .filter((one) => one.zone === zone)
          .map((one) => [one.host, { 'nova-compute': { available: one.up, active: !one.disabled, updated_at: micro(one.seen_at) } }]),
      )
    return names.map((zoneName) => ({ zoneName, zoneState: { available: up(zoneName) }, hosts: detail ? hostsOf(zoneName) : null }))
  }
  const response = Shown('availabilityZoneInfo', Type.Array(Zone))
  return [
    {
      method: 'GET',
      path: '/os-availability-zone',
      doc: 'List availability zones',
      policy: 'os_compute_api:os-availability-zone:list',
      response,
      handler: async () => ({ availabilityZoneInfo: await zones(false) }),
    },
    {
      method: 'GET',
      path: '/os-availability-zone/detail',
      doc: 'List availability zones with their hosts',
      policy: 'os_compute_api:os-availability-zone:detail',
      response,
      handler: async () => ({ availabilityZoneInfo: await zones(true) }),
    },
  ]
}
