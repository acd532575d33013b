import { hostname } from 'node:os'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { type Backend, backends, serviceHost, setEnabled, setFrozen, zones } from '../app/backend.ts'
import type { VolumeContext } from '../app/context.ts'
import { freeGiB } from '../app/scheduler.ts'
import { BackendCapabilities, ChangedService, Pools, Services, Zones } from './answers.ts'
import * as shape from './schemas.ts'
import { truth } from './seen.ts'
import { time } from './views.ts'

export function serviceRoutes(context: VolumeContext): Route[] {
  const change = (path: string, doc: string, enable: boolean): Route => ({
    method: 'PUT',
    path: `/os-services/${path}`,
    doc,
    policy: 'volume_extension:services:update',
    body: shape.ServiceChange,
    response: ChangedService,
    async handler(request) {
      const { host, binary, disabled_reason } = request.body
      if (path.endsWith('reason') && !disabled_reason) throw badRequest('Missing required element disabled_reason in request body.')
      if (binary && binary !== 'cinder-volume')
        throw notFound(`Service ${binary} could not be found on host ${host}: cinder-volume alone can be disabled.`, 'ServiceNotFound')
      await setEnabled(context, host, enable, path.endsWith('reason') ? disabled_reason : null)
      const status = enable ? 'enabled' : 'disabled'
      return {
        host,
        service: 'cinder-volume',
        binary: 'cinder-volume',
        disabled: !enable,
        status,
        disabled_reason: enable ? null : (disabled_reason ?? null),
      }
    },
  })
  const freeze = (path: 'freeze' | 'thaw', doc: string): Route => ({
    method: 'PUT',
    path: `/os-services/${path}`,
    doc,
    policy: `volume:${path}_host`,
    body: shape.FrozenHost,
    response: 'nothing',
    async handler(request) {
      await setFrozen(context, request.body.host, path === 'freeze')
      return new Reply(undefined, { status: 202 })
    },
  })
  return [
    {
      method: 'GET',
      path: '/os-services',
      doc: 'List the services that volumes need, and whether they are up',
      policy: 'volume_extension:services:index',
      query: shape.ListQuery,
      response: Services,
      handler: async (request) => ({ services: servicesView(request, await backends(context), context) }),
    },
    freeze('freeze', 'Let nothing new come to a back end'),
    freeze('thaw', 'Let volumes come to a frozen back end again'),
    change('enable', 'Use a back end again', true),
    change('disable', 'Put no new volumes on a back end', false),
    change('disable-log-reason', 'The same, saying why', false),
    {
      method: 'GET',
      path: '/os-availability-zone',
      doc: 'List availability zones',
      policy: 'volume_extension:availability_zone_list',
      response: Zones,
      async handler() {
        const known = await zones(context)
        return { availabilityZoneInfo: known.map(({ name, available }) => ({ zoneName: name, zoneState: { available } })) }
      },
    },
    {
      method: 'GET',
      path: '/capabilities/:host',
      doc: 'Show what a back end can do',
      policy: 'volume_extension:capabilities',
      response: BackendCapabilities,
      async handler(request) {
        const host = request.params.host!
        const one = (await backends(context)).find(({ state }) => state.name === host || serviceHost(state.name) === host)
        if (!one) throw notFound(`Service cinder-volume could not be found on host ${host}.`, 'ServiceNotFound')
        return capabilitiesView(one)
      },
    },
    ...['/scheduler-stats/get_pools', '/scheduler-stats/get_pools/detail'].map(
      (path): Route => ({
        method: 'GET',
        path,
        doc: 'List storage pools as the scheduler sees them',
        policy: 'scheduler_extension:scheduler_stats:get_pools',
        query: shape.ListQuery,
        response: Pools,
        async handler(request) {
          const detail = path.endsWith('detail') || truth(request.query.detail)
          const pools = (await backends(context)).filter((one) => !request.query.name || one.state.name === request.query.name)
          return { pools: pools.map((one) => poolView(one, detail)) }
        },
      }),
    ),
  ]
}

function servicesView(request: ApiRequest, known: Backend[], context: VolumeContext) {
  const { host, binary } = request.query
  const plain = {
    status: 'enabled',
    state: 'up',
    disabled_reason: null,
    updated_at: time(new Date().toISOString()),
    zone: context.settings.defaultZone,
  }
  const all = [
    { binary: 'cinder-scheduler', host: hostname(), ...plain },
    ...known.map((one) => ({
      binary: 'cinder-volume',
      host: serviceHost(one.state.name),
      zone: one.state.availabilityZone,
      status: one.disabled ? 'disabled' : 'enabled',
      state: one.up ? 'up' : 'down',
      disabled_reason: one.disabledReason,
      updated_at: time(one.reportedAt),
      ...(request.version.atLeast('3.7') ? { cluster: null } : {}),
      ...(request.version.atLeast('3.49') ? { backend_state: one.up ? 'up' : 'down' } : {}),
    })),
  ]
  return all.filter((one) => (!host || one.host === host || one.host.startsWith(`${host}@`)) && (!binary || one.binary === binary))
}

const property = (type: string, title: string, description: string) => ({ type, title, description })

function capabilitiesView({ state }: Backend) {
  return {
    namespace: `OS::Storage::Capabilities::${serviceHost(state.name)}`,
    vendor_name: 'Open Source',
    volume_backend_name: /@([^#]*)/.exec(state.name)?.[1] ?? state.name,
    pool_name: null,
    driver_version: '1.0.0',
    storage_protocol: state.protocol,
    display_name: null,
    description: null,
    visibility: null,
    replication_targets: [],
    properties: {
      thin_provisioning: property('boolean', 'Thin Provisioning', 'Sets thin provisioning.'),
      qos: property('boolean', 'QoS', 'Enables QoS.'),
    },
  }
}

function poolView(one: Backend, detail: boolean) {
  const { state } = one
  if (!detail) return { name: state.name }
  return {
    name: state.name,
    capabilities: {
      pool_name: state.name.split('#')[1] ?? state.name,
      volume_backend_name: /@([^#]*)/.exec(state.name)?.[1] ?? state.name,
      driver: state.driver,
      storage_protocol: state.protocol,
      vendor_name: 'Open Source',
      driver_version: '1.0.0',
      total_capacity_gb: state.totalGiB,
      free_capacity_gb: state.freeGiB,
      allocated_capacity_gb: state.allocatedGiB,
      provisioned_capacity_gb: state.provisionedGiB,
      available_gb: freeGiB(one),
      max_over_subscription_ratio: String(state.maxOverSubscription),
      reserved_percentage: state.reservedPercentage,
      thin_provisioning_support: state.thin,
      thick_provisioning_support: !state.thin,
      multiattach: true,
      QoS_support: false,
      backend_state: one.up ? 'up' : 'down',
      notice: state.notice,
      timestamp: time(one.reportedAt),
    },
  }
}
