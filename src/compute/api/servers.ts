import { badRequest } from '../../kernel/errors/errors.ts'
import type { Passage } from '../../kernel/http/api.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { queryOf } from '../../kernel/http/schema.ts'
import { acceptServers } from '../app/accept.ts'
import type { ComputeContext } from '../app/context.ts'
import type { NewServer, WantedBlockDevice, WantedNetwork } from '../app/new-server.ts'
import type { InstanceRow } from '../app/rows.ts'
import { deleteServer, updateServer } from '../app/server.ts'
import { devicesByServer, pageOfServers, SERVER_QUERY } from '../app/server-list.ts'
import { parseZone } from '../app/zone.ts'
import { AcceptedServer, ServerAnswer, ServerList, ServerSummaries } from './answers.ts'
import { canonical, isAuto, isTrue, links, nextLink, server, targetServer, viewerOf } from './common.ts'
import { ZERO_DISK } from './policies.ts'
import { serverQuery } from './server-query.ts'
import { ChangeServerBody, NewServerBody } from './server-schemas.ts'
import { changedView, hostStatuses, serverSummary, serverView } from './server-view.ts'
import { refuseUnknown, required, type Since } from './since.ts'

const POLICY = 'os_compute_api:servers:'
const Listed = queryOf(...SERVER_QUERY)

const NEW_SERVER: Since = {
  description: '2.19',
  tags: '2.52',
  trusted_image_certificates: '2.63',
  host: '2.74',
  hypervisor_hostname: '2.74',
  hostname: '2.90',
  personality: '2.1-2.56',
}
// what a network card or a disk is called in the guest came with 2.32, and again with 2.42
const NEW_NETWORK: Since = { tag: ['2.32-2.36', '2.42'] }
const NEW_DEVICE: Since = { tag: ['2.32-2.32', '2.42'], volume_type: '2.67' }

export function serverRoutes(context: ComputeContext): Route[] {
  const target = targetServer(context)
  return [
    {
      method: 'POST',
      path: '/servers',
      doc: 'Create one or several servers: accepted at once, built by the create-server saga',
      policy: `${POLICY}create`,
      status: 202,
      body: NewServerBody,
      response: AcceptedServer,
      async handler(request) {
        const wanted = newServer(request)
        if (wanted.host || wanted.node || parseZone(wanted.zone).host || parseZone(wanted.zone).node)
          request.enforce(`${POLICY}create:forced_host`)
        if (wanted.trustedCertificates) request.enforce(`${POLICY}create:trusted_certs`, { project_id: request.context.projectId })
        const { passage } = request as ApiRequest & { passage: Passage }
        const { servers, reservationId, adminPass } = await acceptServers(context, request.context, passage, wanted)
        if (isTrue(request.body.server.return_reservation_id)) return { reservation_id: reservationId }
        const [row] = servers
        const groups = wanted.securityGroups.length > 0 ? wanted.securityGroups : ['default']
        const view = {
          id: row!.id,
          links: links(request, `/servers/${row!.id}`),
          'OS-DCF:diskConfig': row!.auto_disk_config ? 'AUTO' : 'MANUAL',
          security_groups: groups.map((name) => ({ name })),
          adminPass,
        }
        return new Reply({ server: view }, { headers: { Location: request.link(`/servers/${row!.id}`) } })
      },
    },
    {
      method: 'GET',
      path: '/servers',
      doc: 'List servers: ids and names',
      policy: `${POLICY}index`,
      query: Listed,
      response: ServerSummaries,
      async handler(request) {
        const { servers, more } = await pageOfServers(context, viewerOf(request), serverQuery(request))
        return listView(
          request,
          '/servers',
          servers.map((row) => serverSummary(request, row)),
          more,
        )
      },
    },
    {
      method: 'GET',
      path: '/servers/detail',
      doc: 'List servers in full',
      policy: `${POLICY}detail`,
      query: Listed,
      response: ServerList,
      async handler(request) {
        const { servers, more } = await pageOfServers(context, viewerOf(request), serverQuery(request))
        const views = await views_(context, request, servers)
        return listView(request, '/servers/detail', views, more)
      },
    },
    {
      method: 'GET',
      path: '/servers/:server_id',
      doc: 'Show a server',
      policy: `${POLICY}show`,
      target,
      response: ServerAnswer,
      async handler(request) {
        const [view] = await views_(context, request, [await server(context, request)])
        return { server: view }
      },
    },
    {
      method: 'PUT',
      path: '/servers/:server_id',
      doc: "Change a server's name, description, host name or access addresses",
      policy: `${POLICY}update`,
      target,
      body: ChangeServerBody,
      response: ServerAnswer,
      async handler(request) {
        refuseUnknown(request, 'server', request.body.server, { description: '2.19', hostname: '2.90' })
        const { accessIPv4, accessIPv6, ...change } = request.body.server
        const autoDiskConfig = isAuto(request.body.server)
        const addresses = {
          ...(accessIPv4 !== undefined ? { accessIPv4: accessIPv4 || null } : {}),
          ...(accessIPv6 !== undefined ? { accessIPv6: accessIPv6 ? canonical(accessIPv6) : null } : {}),
        }
        const row = await updateServer(context, await server(context, request), { ...change, ...addresses, autoDiskConfig })
        return { server: (await views_(context, request, [row], changedView))[0] }
      },
    },
    {
      method: 'DELETE',
      path: '/servers/:server_id',
      doc: 'Delete a server; what is under way with it is unwound first',
      policy: `${POLICY}delete`,
      target,
      status: 204,
      response: 'nothing',
      async handler(request) {
        await deleteServer(context, request.context, await server(context, request))
      },
    },
  ]
}

const listView = (request: ApiRequest, path: string, servers: { id: string }[], more: boolean) => {
  const next = nextLink(request, path, more, servers.at(-1)?.id)
  return { servers, ...(next ? { servers_links: next } : {}) }
}

async function views_(
  context: ComputeContext,
  request: ApiRequest,
  rows: InstanceRow[],
  view: (...args: Parameters<typeof serverView>) => { id: string } = serverView,
): Promise<{ id: string }[]> {
  const [devices, statusOf] = await Promise.all([devicesByServer(context, rows), hostStatuses(context, request)])
  return rows.map((row) => view(request, row, devices.get(row.id) ?? [], statusOf(row.host)))
}

/** The request's words, with the defaults of its microversion. @throws Fault 400 */
function newServer(request: ApiRequest): NewServer {
  const { server: body } = request.body
  const hints = request.body['os:scheduler_hints'] ?? request.body['OS-SCH-HNT:scheduler_hints'] ?? body['os:scheduler_hints'] ?? {}
  refuseUnknown(request, 'server', body, NEW_SERVER)
  for (const network of Array.isArray(body.networks) ? body.networks : []) refuseUnknown(request, 'networks', network, NEW_NETWORK)
  for (const device of body.block_device_mapping_v2 ?? []) refuseUnknown(request, 'block_device_mapping_v2', device, NEW_DEVICE)
  if (request.version.atLeast('2.37') && body.networks === undefined) throw required('server', 'networks')
  if (typeof body.networks === 'string' && !request.version.atLeast('2.37'))
    throw badRequest(`Invalid input for field/attribute networks. Value: ${body.networks}. '${body.networks}' is not of type 'array'`)
  const minCount = Number(body.min_count ?? 1)
  const maxCount = Number(body.max_count ?? minCount)
  if (minCount > maxCount) throw badRequest('min_count must be <= max_count')
  if (body.user_data && !isBase64(body.user_data))
    throw badRequest('Userdata content cannot be decoded: it must be base64.', 'InstanceUserDataMalformed')
  for (const file of body.personality ?? [])
    if (!isBase64(file.contents)) throw badRequest(`Personality content for ${file.path} cannot be decoded`)
  return {
    name: body.name,
    description: body.description ?? null,
    hostname: body.hostname ?? null,
    imageRef: body.imageRef || null,
    flavorRef: String(body.flavorRef),
    networks: Array.isArray(body.networks) ? body.networks.map(wantedNetwork) : (body.networks ?? null),
    securityGroups: (body.security_groups ?? []).map((one: { name: string }) => one.name).filter(Boolean),
    keyName: body.key_name ?? null,
    userData: body.user_data ?? null,
    metadata: body.metadata ?? {},
    tags: body.tags ?? [],
    files: body.personality ?? [],
    configDrive: isTrue(body.config_drive),
    autoDiskConfig: isAuto(body),
    zone: body.availability_zone ?? null,
    host: body.host ?? null,
    node: body.hypervisor_hostname ?? null,
    hints,
    minCount,
    maxCount,
    blockDevices: (body.block_device_mapping_v2 ?? []).map(wantedDevice).concat((body.block_device_mapping ?? []).map(legacyDevice)),
    accessIPv4: body.accessIPv4 ?? null,
    accessIPv6: body.accessIPv6 ? canonical(body.accessIPv6) : null,
    adminPass: body.adminPass ?? null,
    trustedCertificates: body.trusted_image_certificates ?? null,
    unboundDisk: request.allowed(ZERO_DISK),
  }
}

const wantedNetwork = (one: any): WantedNetwork => ({
  uuid: one.uuid ?? null,
  port: one.port ?? null,
  fixedIp: one.fixed_ip ?? null,
  tag: one.tag ?? null,
})

function wantedDevice(one: any): WantedBlockDevice {
  const sourceType = one.source_type ?? 'volume'
  if (['volume', 'snapshot'].includes(sourceType) && !one.uuid)
    throw badRequest('Block Device Mapping is Invalid: uuid is missing.', 'InvalidBDM')
  return {
    sourceType,
    destinationType: one.destination_type ?? (sourceType === 'image' ? 'local' : 'volume'),
    uuid: one.uuid ?? null,
    bootIndex: one.boot_index === undefined || one.boot_index === null ? null : Number(one.boot_index),
    sizeGiB: one.volume_size ? Number(one.volume_size) : null,
    deviceName: one.device_name ?? null,
    deleteOnTermination: isTrue(one.delete_on_termination),
    tag: one.tag ?? null,
    volumeType: one.volume_type ?? null,
  }
}

function legacyDevice(one: any): WantedBlockDevice {
  return wantedDevice({
    source_type: one.snapshot_id ? 'snapshot' : 'volume',
    uuid: one.snapshot_id ?? one.volume_id,
    volume_size: one.volume_size,
    device_name: one.device_name,
    boot_index: one.device_name === 'vda' || one.device_name === '/dev/vda' ? 0 : null,
    delete_on_termination: one.delete_on_termination,
  })
}

/** An IPv6 address in the one form that RFC 5952 gives it. */

const isBase64 = (text: string) => /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text) && text.replace(/\s/g, '').length % 4 === 0
