import Type from 'typebox'
import { badRequest, Fault, notFound } from '../../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../../kernel/http/route.ts'
import type { FloatingIpDocument } from '../../../network/client.ts'
import type { ComputeContext } from '../../app/context.ts'
import { as } from '../../app/wanted-networks.ts'
import { Shown } from '../answers.ts'
import { closed, Nullable, server, targetServer, Wrapped } from '../common.ts'
import { fixedIpRoutes } from './fixed-ips.ts'

const shared = { microversions: { max: '2.35' } }
const FloatingIp = Type.Object(
  {
    id: Type.String(),
    ip: Type.String(),
    fixed_ip: Nullable(Type.String()),
    instance_id: Nullable(Type.String()),
    pool: Nullable(Type.String()),
  },
  closed,
)

/** Floating IPs and networks as compute showed them before 2.36, and a server's floating IPs before 2.44: the network service has them. */
export function olderNetworkRoutes(context: ComputeContext): Route[] {
  return [...floatingIpRoutes(context), ...actionRoutes(context), ...fixedIpRoutes(context), ...networkRoutes(context)]
}

function floatingIpRoutes(context: ComputeContext): Route[] {
  const policy = (verb: string) => `os_compute_api:os-floating-ips:${verb}`
  /** All of them with what they belong to, asked for at once. */
  const views = async (request: ApiRequest, all: FloatingIpDocument[]) => {
    const { networks } = context
    const [pools, ports] = await Promise.all([
      networks.portions([...new Set(all.map((one) => one.floating_network_id))], (id) => networks.networks({ id }, as(request.context))),
      networks.portions(
        all.flatMap((one) => one.port_id ?? []),
        (id) => networks.ports({ id }, as(request.context)),
      ),
    ])
    return all.map((one) => ({
      id: one.id,
      ip: one.floating_ip_address,
      fixed_ip: one.fixed_ip_address,
      instance_id: ports.find(({ id }) => id === one.port_id)?.device_id || null,
      pool: pools.find(({ id }) => id === one.floating_network_id)?.name || one.floating_network_id,
    }))
  }
  const view = async (request: ApiRequest, one: FloatingIpDocument) => (await views(request, [one]))[0]!
  const path = (request: ApiRequest) => `/floatingips/${encodeURIComponent(request.params.id!)}`
  return [
    {
      method: 'GET',
      path: '/os-floating-ips',
      doc: 'List floating IPs (the network API does it since 2.36)',
      policy: policy('list'),
      response: Shown('floating_ips', Type.Array(FloatingIp)),
      ...shared,
      async handler(request) {
        const mine = await context.networks.floatingIps({ project_id: request.context.projectId! }, as(request.context))
        return { floating_ips: await views(request, mine) }
      },
    },
    {
      method: 'GET',
      path: '/os-floating-ips/:id',
      doc: 'Show a floating IP (the network API does it since 2.36)',
      policy: policy('show'),
      response: Shown('floating_ip', FloatingIp),
      ...shared,
      async handler(request) {
        const { floatingip } = await context.networks.forward({ method: 'GET', path: path(request) }, as(request.context))
        return { floating_ip: await view(request, floatingip) }
      },
    },
    {
      method: 'POST',
      path: '/os-floating-ips',
      doc: 'Take a floating IP of a pool (the network API does it since 2.36)',
      policy: policy('create'),
      body: Type.Union([Type.Object({ pool: Type.Optional(Nullable(Type.String())) }, closed), Type.Null()]),
      response: Shown('floating_ip', FloatingIp),
      ...shared,
      async handler(request) {
        const pool = await poolOf(context, request, request.body?.pool)
        const body = { floatingip: { floating_network_id: pool } }
        const made = await context.networks.forward({ method: 'POST', path: '/floatingips', body }, as(request.context)).catch((error) => {
          throw error instanceof Fault && error.status === 409 ? new Fault(403, 'FloatingIpLimitExceeded', error.message) : error
        })
        return { floating_ip: await view(request, made.floatingip) }
      },
    },
    {
      method: 'DELETE',
      path: '/os-floating-ips/:id',
      doc: 'Give a floating IP back (the network API does it since 2.36)',
      policy: policy('delete'),
      ...shared,
      response: 'nothing',
      async handler(request) {
        await context.networks.forward({ method: 'DELETE', path: path(request) }, as(request.context))
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      method: 'GET',
      path: '/os-floating-ip-pools',
      doc: 'List the networks that have floating IPs (the network API does it since 2.36)',
      policy: 'os_compute_api:os-floating-ip-pools',
      response: Shown('floating_ip_pools', Type.Array(Type.Object({ name: Type.String() }, closed))),
      ...shared,
      async handler(request) {
        const pools = await context.networks.networks({ 'router:external': true }, as(request.context))
        return { floating_ip_pools: pools.map(({ id, name }) => ({ name: name || id })) }
      },
    },
  ]
}

/** @throws Fault 404 for a pool that there is not */
async function poolOf(context: ComputeContext, request: ApiRequest, wanted: string | null | undefined): Promise<string> {
  const pools = await context.networks.networks({ 'router:external': true }, as(request.context))
  const pool = wanted ? pools.find(({ id, name }) => id === wanted || name === wanted) : pools[0]
  if (!pool) throw notFound(wanted ? 'Floating IP pool not found.' : 'No floating IP pool is there.', 'FloatingIpPoolNotFound')
  return pool.id
}

function actionRoutes(context: ComputeContext): Route[] {
  const floating = async (request: ApiRequest, address: string) => {
    const [one] = await context.networks.floatingIps({ floating_ip_address: address }, as(request.context))
    if (!one) throw notFound('floating IP not found', 'FloatingIpNotFound')
    return one
  }
  const bind = (request: ApiRequest, id: string, change: { port_id: string | null; fixed_ip_address?: string }) =>
    context.networks.forward({ method: 'PUT', path: `/floatingips/${id}`, body: { floatingip: change } }, as(request.context))
  const action = {
    method: 'POST' as const,
    path: '/servers/:server_id/action',
    target: targetServer(context),
    microversions: { max: '2.43' },
  }
  return [
    {
      ...action,
      action: 'addFloatingIp',
      doc: 'Bind a floating IP to a server (the network API does it since 2.44)',
      policy: 'os_compute_api:os-floating-ips:add',
      body: Wrapped(
        'addFloatingIp',
        Type.Object({ address: Type.String({ format: 'ipv4' }), fixed_address: Type.Optional(Type.String({ format: 'ipv4' })) }, closed),
      ),
      response: 'nothing',
      async handler(request) {
        const { address, fixed_address } = request.body.addFloatingIp
        const row = await server(context, request)
        const ip = await floating(request, address)
        const ports = await context.networks.ports({ device_id: row.id }, as(request.context))
        const fixed = ports.flatMap((port) => port.fixed_ips.map((one) => ({ port: port.id, address: one.ip_address })))
        const v4 = fixed.filter((one) => one.address.includes('.'))
        const chosen = fixed_address ? v4.find((one) => one.address === fixed_address) : v4[0]
        if (!chosen)
          throw badRequest(fixed_address ? 'Specified fixed address not assigned to instance' : 'No fixed IPs associated to instance')
        await bind(request, ip.id, { port_id: chosen.port, fixed_ip_address: chosen.address }).catch((error) => {
          throw error instanceof Fault && [404, 409].includes(error.status) ? badRequest(error.message, 'FloatingIpAssociateFailed') : error
        })
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      ...action,
      action: 'removeFloatingIp',
      doc: 'Take a floating IP from a server (the network API does it since 2.44)',
      policy: 'os_compute_api:os-floating-ips:remove',
      body: Wrapped('removeFloatingIp', Type.Object({ address: Type.String({ format: 'ipv4' }) }, closed)),
      response: 'nothing',
      async handler(request) {
        const row = await server(context, request)
        const { address } = request.body.removeFloatingIp
        const ip = await floating(request, address)
        const port = ip.port_id ? await context.networks.port(ip.port_id, as(request.context)) : null
        if (port?.device_id !== row.id)
          throw new Fault(409, 'FloatingIpNotAssociated', `Floating IP ${address} is not associated with instance ${row.id}.`)
        await bind(request, ip.id, { port_id: null })
        return new Reply(undefined, { status: 202 })
      },
    },
  ]
}

/** What compute's own networks had beside id and name: nothing of that is known any more, and it is still named. */
const WITHOUT = 'cidr netmask gateway broadcast dns1 dns2 cidr_v6 gateway_v6 netmask_v6'.split(' ')
const WITHOUT_FOR_OPERATORS = [
  'created_at updated_at deleted_at deleted injected bridge vlan vpn_public_address vpn_public_port vpn_private_address dhcp_start',
  'project_id host bridge_interface multi_host priority rxtx_base mtu dhcp_server enable_dhcp share_address',
].flatMap((names) => names.split(' '))
const nothing = (names: string[]) => Object.fromEntries(names.map((name) => [name, null]))

const named = { id: Type.String(), label: Type.String() }
const nulls = (names: string[]) => Object.fromEntries(names.map((name) => [name, Type.Null()]))
const Network = Type.Object({ ...named, ...nulls(WITHOUT), ...Type.Partial(Type.Object(nulls(WITHOUT_FOR_OPERATORS))).properties }, closed)
const TenantNetwork = Type.Object({ ...named, cidr: Type.Literal('None') }, closed)

const KINDS = {
  networks: {
    schema: Network,
    view: (request: ApiRequest) => nothing(request.context.isAdmin ? [...WITHOUT, ...WITHOUT_FOR_OPERATORS] : WITHOUT),
  },
  'tenant-networks': { schema: TenantNetwork, view: () => ({ cidr: 'None' }) },
}

function networkRoutes(context: ComputeContext): Route[] {
  return Object.entries(KINDS).flatMap(([kind, { schema, view: more }]): Route[] => {
    const view = (request: ApiRequest, { id, name }: { id: string; name: string }) => ({ id, label: name, ...more(request) })
    return [
      {
        method: 'GET',
        path: `/os-${kind}`,
        doc: 'List networks (the network API does it since 2.36)',
        policy: `os_compute_api:os-${kind}:list`,
        response: Shown('networks', Type.Array(schema)),
        ...shared,
        async handler(request) {
          const seen = await context.networks.networks({}, as(request.context))
          return { networks: seen.map((one) => view(request, one)) }
        },
      },
      {
        method: 'GET',
        path: `/os-${kind}/:id`,
        doc: 'Show a network (the network API does it since 2.36)',
        policy: `os_compute_api:os-${kind}:show`,
        response: Shown('network', schema),
        ...shared,
        handler: async (request) => ({ network: view(request, await context.networks.network(request.params.id!, as(request.context))) }),
      },
    ]
  })
}
