import Type from 'typebox'
import { fromJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { consoleTarget, remoteConsole } from '../app/console.ts'
import type { ComputeContext } from '../app/context.ts'
import { vifsOf } from '../app/instance-spec.ts'
import { changeMetadata, changeTags } from '../app/server.ts'
import { groupsOf } from '../app/server-security.ts'
import { traceOf } from '../app/trace.ts'
import { computeTopic, host } from '../rpc.ts'
import { Addresses, ConsoleTarget, Diagnostics, LibvirtDiagnostics, SecurityGroup, Shown, Topology, Trace } from './answers.ts'
import { Choice, closed, Metadata, server, targetServer, Wrapped } from './common.ts'
import { inCommonWords, inLibvirtsWords } from './diagnostics-view.ts'
import { serverPasswordRoutes } from './server-password.ts'
import { addressesOf } from './server-view.ts'

/** What hangs on a server: metadata, tags, addresses, groups, console, diagnostics, trace. */
export function serverPartRoutes(context: ComputeContext): Route[] {
  const target = targetServer(context)
  const row = (request: ApiRequest) => server(context, request)
  return [
    ...metadataRoutes(context),
    ...tagRoutes(context),
    ...serverPasswordRoutes(context),
    {
      method: 'GET',
      path: '/servers/:server_id/ips',
      doc: "List a server's addresses by network",
      policy: 'os_compute_api:ips:index',
      target,
      response: Shown('addresses', Addresses()),
      handler: async (request) => ({ addresses: plain(addressesOf(vifsOf(await row(request)))) }),
    },
    {
      method: 'GET',
      path: '/servers/:server_id/ips/:label',
      doc: "List a server's addresses on one network",
      policy: 'os_compute_api:ips:show',
      target,
      response: Addresses(),
      async handler(request) {
        const { label } = request.params
        const addresses = plain(addressesOf(vifsOf(await row(request))))
        if (!Object.hasOwn(addresses, label!)) throw notFound('Instance is not a member of specified network')
        return { [label!]: addresses[label!] }
      },
    },
    {
      method: 'GET',
      path: '/servers/:server_id/os-security-groups',
      doc: "List the security groups of a server's ports",
      policy: 'os_compute_api:os-security-groups:list',
      target,
      response: Shown('security_groups', Type.Array(SecurityGroup)),
      async handler(request) {
        const groups = await groupsOf(context, request.context, await row(request))
        return {
          security_groups: groups.map((one) => ({
            id: one.id,
            name: one.name,
            description: one.description,
            tenant_id: one.project_id,
            rules: [],
          })),
        }
      },
    },
    {
      method: 'POST',
      path: '/servers/:server_id/remote-consoles',
      doc: 'Make the address of a page with the guest’s screen',
      policy: 'os_compute_api:os-remote-consoles',
      microversions: { min: '2.6' },
      target,
      body: Wrapped(
        'remote_console',
        Type.Object({ protocol: Choice(['vnc', 'spice', 'serial', 'rdp', 'mks']), type: Type.String() }, closed),
      ),
      response: Shown('remote_console', Type.Object({ protocol: Type.String(), type: Type.String(), url: Type.String() })),
      async handler(request) {
        const { protocol, type } = request.body.remote_console
        if (protocol === 'mks' && !request.version.atLeast('2.8'))
          throw badRequest(`Invalid input for field/attribute protocol. Value: mks. 'mks' is not one of ['vnc', 'spice', 'rdp', 'serial']`)
        return { remote_console: { protocol, type, ...(await remoteConsole(context, await row(request), protocol)) } }
      },
    },
    {
      method: 'GET',
      path: '/os-console-auth-tokens/:token',
      doc: 'Show where a console token leads, for a console proxy',
      policy: 'os_compute_api:os-console-auth-tokens',
      response: Shown('console', ConsoleTarget),
      async handler(request) {
        if (!request.version.atLeast('2.31')) throw new Fault(401, 'Unauthorized', 'The requested console type details are not accessible')
        const { instanceId, host: address, port } = await consoleTarget(context, request.params.token!)
        return { console: { instance_uuid: instanceId, host: address, port, internal_access_path: null } }
      },
    },
    {
      method: 'GET',
      path: '/servers/:server_id/topology',
      doc: "Show a server's NUMA nodes: guests here have none of their own",
      policy: 'os_compute_api:server-topology:index',
      microversions: { min: '2.78' },
      target,
      response: Topology,
      async handler(request) {
        await row(request)
        return { nodes: [], pagesize_kb: null }
      },
    },
    {
      method: 'GET',
      path: '/servers/:server_id/diagnostics',
      doc: 'Show what the hypervisor counts of a guest',
      policy: 'os_compute_api:server-diagnostics',
      target,
      response: Type.Union([Diagnostics, LibvirtDiagnostics]),
      async handler(request) {
        const { id, host: where } = await row(request)
        if (!where) throw conflict(`Instance ${id} is not ready`, 'InstanceNotReady')
        const counted = await context.bus.call(computeTopic(where), host.diagnostics, { uuid: id })
        return request.version.atLeast('2.48') ? inCommonWords(counted) : inLibvirtsWords(counted)
      },
    },
    {
      method: 'GET',
      path: '/servers/:server_id/trace',
      doc: 'The fifty steps of this server: when, how long, with what evidence',
      policy: 'os_compute_api:yun-trace:show',
      target,
      response: Shown('trace', Trace),
      async handler(request) {
        const one = await row(request)
        return { trace: { server_id: one.id, name: one.name, steps: await traceOf(context.trace, context.database, one) } }
      },
    },
  ]
}

const plain = (addresses: Record<string, any[]>): Record<string, any[]> =>
  Object.fromEntries(Object.entries(addresses).map(([label, list]) => [label, list.map(({ version, addr }) => ({ version, addr }))]))

function metadataRoutes(context: ComputeContext): Route[] {
  const target = targetServer(context)
  const path = '/servers/:server_id/metadata'
  const now = async (request: ApiRequest) => fromJson<Record<string, string>>((await server(context, request)).metadata_json)
  const change = async (request: ApiRequest, how: (now: Record<string, string>) => Record<string, string>) =>
    changeMetadata(context, await server(context, request), how)
  const shape = { response: Shown('metadata', Metadata), target }
  const item = (request: ApiRequest, metadata: Record<string, string>) => {
    const { key } = request.params
    if (!Object.hasOwn(metadata, key!)) throw notFound('Metadata item was not found')
    return { meta: { [key!]: metadata[key!] } }
  }
  return [
    {
      method: 'GET',
      path,
      doc: "Show a server's metadata",
      policy: 'os_compute_api:server-metadata:index',
      ...shape,
      handler: async (request) => ({ metadata: await now(request) }),
    },
    {
      method: 'POST',
      path,
      doc: "Add to a server's metadata",
      policy: 'os_compute_api:server-metadata:create',
      ...shape,
      body: Wrapped('metadata', Metadata),
      handler: async (request) => ({ metadata: await change(request, (before) => ({ ...before, ...request.body.metadata })) }),
    },
    {
      method: 'PUT',
      path,
      doc: "Replace a server's metadata",
      policy: 'os_compute_api:server-metadata:update_all',
      ...shape,
      body: Wrapped('metadata', Metadata),
      handler: async (request) => ({ metadata: await change(request, () => request.body.metadata) }),
    },
    {
      method: 'GET',
      path: `${path}/:key`,
      doc: 'Show one item of metadata',
      policy: 'os_compute_api:server-metadata:show',
      target,
      response: Shown('meta', Metadata),
      handler: async (request) => item(request, await now(request)),
    },
    {
      method: 'PUT',
      path: `${path}/:key`,
      doc: 'Set one item of metadata',
      policy: 'os_compute_api:server-metadata:update',
      target,
      body: Wrapped('meta', Metadata),
      response: Shown('meta', Metadata),
      async handler(request) {
        if (!Object.hasOwn(request.body.meta, request.params.key!)) throw badRequest('Request body and URI mismatch')
        return item(request, await change(request, (before) => ({ ...before, ...request.body.meta })))
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:key`,
      doc: 'Remove one item of metadata',
      policy: 'os_compute_api:server-metadata:delete',
      target,
      status: 204,
      response: 'nothing',
      async handler(request) {
        const { key } = request.params
        item(request, await now(request))
        await change(request, ({ [key!]: _gone, ...rest }) => rest)
      },
    },
  ]
}

function tagRoutes(context: ComputeContext): Route[] {
  const target = targetServer(context)
  const path = '/servers/:server_id/tags'
  const since = { microversions: { min: '2.26' }, target }
  const now = async (request: ApiRequest) => fromJson<string[]>((await server(context, request)).tags_json)
  const change = async (request: ApiRequest, how: (now: string[]) => string[]) => changeTags(context, await server(context, request), how)
  const missing = (tag: string) => notFound(`Server has no tag '${tag}'`)
  return [
    {
      method: 'GET',
      path,
      doc: "List a server's tags",
      policy: 'os_compute_api:os-server-tags:index',
      ...since,
      response: Shown('tags', Type.Array(Type.String())),
      handler: async (request) => ({ tags: await now(request) }),
    },
    {
      method: 'PUT',
      path,
      doc: "Replace a server's tags",
      policy: 'os_compute_api:os-server-tags:update_all',
      ...since,
      body: Wrapped('tags', Type.Array(Type.String({ minLength: 1, maxLength: 60, pattern: '^[^,/]*$' }), { maxItems: 50 })),
      response: Shown('tags', Type.Array(Type.String())),
      handler: async (request) => ({ tags: await change(request, () => request.body.tags) }),
    },
    {
      method: 'DELETE',
      path,
      doc: "Remove all of a server's tags",
      policy: 'os_compute_api:os-server-tags:delete_all',
      ...since,
      status: 204,
      response: 'nothing',
      handler: async (request) => void (await change(request, () => [])),
    },
    {
      method: 'GET',
      path: `${path}/:tag`,
      doc: 'Ask whether a server has a tag',
      policy: 'os_compute_api:os-server-tags:show',
      ...since,
      status: 204,
      response: 'nothing',
      async handler(request) {
        if (!(await now(request)).includes(request.params.tag!)) throw missing(request.params.tag!)
      },
    },
    {
      method: 'PUT',
      path: `${path}/:tag`,
      doc: 'Add a tag to a server',
      policy: 'os_compute_api:os-server-tags:update',
      ...since,
      response: 'nothing',
      async handler(request) {
        if (!/^[^,/]{1,60}$/.test(request.params.tag!)) throw badRequest('A tag has 1 to 60 letters, commas and slashes not among them')
        const had = (await now(request)).includes(request.params.tag!)
        await change(request, (tags) => [...tags, request.params.tag!])
        return new Reply(undefined, {
          status: had ? 204 : 201,
          headers: { Location: request.link(`/servers/${request.params.server_id}/tags/${encodeURIComponent(request.params.tag!)}`) },
        })
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:tag`,
      doc: 'Remove a tag from a server',
      policy: 'os_compute_api:os-server-tags:delete',
      ...since,
      status: 204,
      response: 'nothing',
      async handler(request) {
        if (!(await now(request)).includes(request.params.tag!)) throw missing(request.params.tag!)
        await change(request, (tags) => tags.filter((tag) => tag !== request.params.tag))
      },
    },
  ]
}
