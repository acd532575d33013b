import { randomUUID } from 'node:crypto'
import Type from 'typebox'
import { badRequest, conflict, notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { attachInterface, attachVolume, detachInterface, detachVolume, findAttachment, keepOnTermination } from '../app/attachment.ts'
import type { ComputeContext } from '../app/context.ts'
import type { BlockDeviceRow, InstanceRow } from '../app/rows.ts'
import { devicesByServer } from '../app/server-list.ts'
import { swapVolume } from '../app/swap-volume.ts'
import { as, portsFor } from '../app/wanted-networks.ts'
import { InterfaceAttachment, Shown, VolumeAttachment } from './answers.ts'
import { closed, isTrue, Nullable, server, Truth, targetServer, Wrapped } from './common.ts'
import { refuseUnknown } from './since.ts'

/** Volumes and network cards that come and go while a server lives. */
export function attachmentRoutes(context: ComputeContext): Route[] {
  return [...volumeRoutes(context), ...interfaceRoutes(context)]
}

function volumeRoutes(context: ComputeContext): Route[] {
  const target = targetServer(context)
  const policy = (name: string) => `os_compute_api:os-volumes-attachments:${name}`
  const path = '/servers/:server_id/os-volume_attachments'
  const Answer = Shown('volumeAttachment', VolumeAttachment)
  return [
    {
      method: 'GET',
      path,
      doc: "List a server's volumes",
      policy: policy('index'),
      target,
      response: Shown('volumeAttachments', Type.Array(VolumeAttachment)),
      async handler(request) {
        const row = await server(context, request)
        const devices = (await devicesByServer(context, [row])).get(row.id) ?? []
        return { volumeAttachments: devices.filter((one) => one.volume_id).map((one) => view(request, one)) }
      },
    },
    {
      method: 'POST',
      path,
      doc: 'Attach a volume to a server',
      policy: policy('create'),
      target,
      body: Wrapped(
        'volumeAttachment',
        Type.Object(
          {
            volumeId: Type.String({ format: 'uuid' }),
            device: Type.Optional(
              Nullable(Type.String({ minLength: 1, maxLength: 255, pattern: '(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$|^vd[a-z]$' })),
            ),
            tag: Type.Optional(Type.String({ minLength: 1, maxLength: 60, pattern: '^[^,/]*$' })),
            delete_on_termination: Type.Optional(Truth),
          },
          closed,
        ),
      ),
      response: Answer,
      async handler(request) {
        refuseUnknown(request, 'volumeAttachment', request.body.volumeAttachment, { tag: '2.49', delete_on_termination: '2.79' })
        const { volumeId, device = null, tag = null, delete_on_termination: deleteToo } = request.body.volumeAttachment
        const row = await server(context, request)
        mayBeShelved(request, row, 'attach_volume')
        const wanted = { volumeId, device, tag, deleteOnTermination: isTrue(deleteToo), sharedToo: request.version.atLeast('2.60') }
        const made = await attachVolume(context, request.context, row, wanted)
        return { volumeAttachment: madeView(request, made) }
      },
    },
    {
      method: 'GET',
      path: `${path}/:volume_id`,
      doc: 'Show how a volume is attached to a server',
      policy: policy('show'),
      target,
      response: Answer,
      handler: async (request) => ({
        volumeAttachment: view(request, await findAttachment(context, await server(context, request), request.params.volume_id!)),
      }),
    },
    {
      method: 'PUT',
      path: `${path}/:volume_id`,
      doc: 'Put another volume in the place of one below a running server',
      policy: policy('swap'),
      microversions: { max: '2.84' },
      target,
      status: 202,
      response: 'nothing',
      body: Wrapped('volumeAttachment', Type.Object({ volumeId: Type.String({ format: 'uuid' }) }, closed)),
      async handler(request) {
        const row = await server(context, request)
        await swapVolume(context, request.context, row, request.params.volume_id!, request.body.volumeAttachment.volumeId)
      },
    },
    {
      method: 'PUT',
      path: `${path}/:volume_id`,
      doc: 'Say whether a volume goes when its server goes; put another volume in its place',
      policy: policy('update'),
      microversions: { min: '2.85' },
      target,
      status: 202,
      response: 'nothing',
      body: Wrapped(
        'volumeAttachment',
        Type.Object(
          {
            volumeId: Type.String({ format: 'uuid' }),
            id: Type.Optional(Type.String({ format: 'uuid' })),
            serverId: Type.Optional(Type.String({ format: 'uuid' })),
            device: Type.Optional(Nullable(Type.String())),
            tag: Type.Optional(Nullable(Type.String())),
            delete_on_termination: Type.Optional(Truth),
          },
          closed,
        ),
      ),
      async handler(request) {
        const { volumeId, id, serverId, device, tag, delete_on_termination: deleteToo } = request.body.volumeAttachment
        const row = await server(context, request)
        const swaps = volumeId !== request.params.volume_id
        if (swaps) request.enforce(policy('swap'))
        const attached = await findAttachment(context, row, request.params.volume_id!)
        const fixed = {
          id: [id, attached.volume_id],
          serverId: [serverId, row.id],
          device: [device, attached.device],
          tag: [tag, attached.tag],
        }
        for (const [name, [asked, now]] of Object.entries(fixed))
          if (asked !== undefined && asked !== now) throw badRequest(`The ${name} of an attachment cannot be changed.`)
        if (deleteToo !== undefined) await keepOnTermination(context, attached, !isTrue(deleteToo))
        if (swaps) await swapVolume(context, request.context, row, request.params.volume_id!, volumeId)
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:volume_id`,
      doc: 'Detach a volume from a server',
      policy: policy('delete'),
      target,
      status: 202,
      response: 'nothing',
      async handler(request) {
        const row = await server(context, request)
        mayBeShelved(request, row, 'detach_volume')
        await detachVolume(context, request.context, row, request.params.volume_id!)
      },
    },
  ]
}

/** Since 2.20 a server's volumes come and go while it is shelved, too. @throws Fault 409 */
function mayBeShelved(request: ApiRequest, row: InstanceRow, action: string): void {
  if (row.vm_state.startsWith('shelved') && !request.version.atLeast('2.20'))
    throw conflict(`Cannot '${action}' instance ${row.id} while it is in vm_state ${row.vm_state}`, 'InstanceInvalidState')
}

const view = (request: ApiRequest, one: BlockDeviceRow) => {
  const { id, ...rest } = madeView(request, one)
  return request.version.atLeast('2.89') ? { attachment_id: one.id, bdm_uuid: one.id, ...rest } : { id, ...rest }
}

/** What is made keeps the id by which attachments were known before 2.89. */
const madeView = (request: ApiRequest, one: BlockDeviceRow) => ({
  id: one.volume_id,
  volumeId: one.volume_id,
  serverId: one.server_id,
  device: one.device,
  ...(request.version.atLeast('2.70') ? { tag: one.tag } : {}),
  ...(request.version.atLeast('2.79') ? { delete_on_termination: one.delete_on_termination === 1 } : {}),
})

function interfaceRoutes(context: ComputeContext): Route[] {
  const target = targetServer(context)
  const policy = (name: string) => `os_compute_api:os-attach-interfaces:${name}`
  const path = '/servers/:server_id/os-interface'
  const ports = async (request: ApiRequest) => await context.networks.ports({ device_id: (await server(context, request)).id })
  const one = async (request: ApiRequest) => {
    const port = (await ports(request)).find((each: any) => each.id === request.params.port_id)
    if (!port) throw notFound(`Port id ${request.params.port_id} could not be found.`, 'PortNotFound')
    return port
  }
  const Answer = Shown('interfaceAttachment', InterfaceAttachment)
  return [
    {
      method: 'GET',
      path,
      doc: "List a server's ports",
      policy: policy('list'),
      target,
      response: Shown('interfaceAttachments', Type.Array(InterfaceAttachment)),
      handler: async (request) => ({ interfaceAttachments: (await ports(request)).map(portView) }),
    },
    {
      method: 'POST',
      path,
      doc: 'Give a server a port, or one more on a network',
      policy: policy('create'),
      target,
      body: Type.Object(
        {
          interfaceAttachment: Type.Optional(
            Nullable(
              Type.Object(
                {
                  net_id: Type.Optional(Type.String({ format: 'uuid' })),
                  port_id: Type.Optional(Type.String({ format: 'uuid' })),
                  fixed_ips: Type.Optional(Type.Array(Type.Object({ ip_address: Type.String() }, closed), { minItems: 1, maxItems: 1 })),
                  tag: Type.Optional(Type.String({ minLength: 1, maxLength: 60, pattern: '^[^,/]*$' })),
                },
                closed,
              ),
            ),
          ),
        },
        closed,
      ),
      response: Answer,
      async handler(request) {
        refuseUnknown(request, 'interfaceAttachment', request.body.interfaceAttachment, { tag: '2.49' })
        const { net_id = null, port_id = null, fixed_ips = [], tag = null } = request.body.interfaceAttachment ?? {}
        if (net_id && port_id) throw badRequest('Must not input both network_id and port_id')
        if (fixed_ips.length > 0 && !net_id) throw badRequest('Must input network_id when request IP address')
        const row = await server(context, request)
        const wish = net_id || port_id ? [{ uuid: net_id, port: port_id, fixedIp: fixed_ips[0]?.ip_address ?? null, tag }] : null
        const [wanted] = (await portsFor(context, request.context, { networks: wish } as never, 1))[0]!
        if (!wanted) throw badRequest('There is no network for a port: name one.')
        const portId = wanted.given ? wanted.portId : randomUUID()
        await attachInterface(context, request.context, row, { ...wanted, portId })
        const [port] = await context.networks.ports({ id: portId }, as(request.context))
        if (!port) throw notFound(`Port id ${portId} could not be found.`, 'PortNotFound')
        return { interfaceAttachment: portView(port) }
      },
    },
    {
      method: 'GET',
      path: `${path}/:port_id`,
      doc: "Show one of a server's ports",
      policy: policy('show'),
      target,
      response: Answer,
      handler: async (request) => ({ interfaceAttachment: portView(await one(request)) }),
    },
    {
      method: 'DELETE',
      path: `${path}/:port_id`,
      doc: 'Take a port from a server',
      policy: policy('delete'),
      target,
      status: 202,
      response: 'nothing',
      async handler(request) {
        const port = await one(request)
        await detachInterface(context, request.context, await server(context, request), port.id)
      },
    },
  ]
}

const portView = (port: any) => ({
  port_id: port.id,
  net_id: port.network_id,
  mac_addr: port.mac_address,
  port_state: port.status,
  fixed_ips: port.fixed_ips,
})
