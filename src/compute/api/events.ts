import Type from 'typebox'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import { Reply, type Route } from '../../kernel/http/route.ts'
import type { ComputeContext } from '../app/context.ts'
import { knownServers, networksChanged } from '../app/network-changed.ts'
import { volumesExtended } from '../app/volume-extended.ts'
import { portPlugged, volumeReimaged } from '../rpc.ts'
import { ExternalEvent, Shown } from './answers.ts'
import { Choice, closed, Wrapped } from './common.ts'

const Event = Type.Object(
  {
    server_uuid: Type.String({ format: 'uuid' }),
    name: Choice([
      'network-vif-plugged',
      'network-vif-unplugged',
      'network-vif-deleted',
      'network-changed',
      'volume-extended',
      'power-update',
      'accelerator-request-bound',
      'volume-reimaged',
    ]),
    status: Type.Optional(Choice(['completed', 'failed', 'in-progress'])),
    tag: Type.Optional(Type.String({ maxLength: 255 })),
  },
  closed,
)

const NEWER: Record<string, string> = {
  'volume-extended': '2.51',
  'power-update': '2.76',
  'accelerator-request-bound': '2.82',
  'volume-reimaged': '2.93',
}

const NEEDS_TAG = new Set(['volume-extended', 'power-update', 'accelerator-request-bound'])

/** The door by which other services tell compute that something of a server is done. */
export function eventRoutes(context: ComputeContext): Route[] {
  return [
    {
      method: 'POST',
      path: '/os-server-external-events',
      doc: 'Tell compute that a port is plugged, a network changed, a volume grew or has another image',
      policy: 'os_compute_api:os-server-external-events:create',
      body: Wrapped('events', Type.Array(Event, { minItems: 1 })),
      response: Shown('events', Type.Array(ExternalEvent)),
      async handler(request) {
        for (const { name } of request.body.events)
          if (Object.hasOwn(NEWER, name) && !request.version.atLeast(NEWER[name]!))
            throw badRequest(`Invalid input for field/attribute name. Value: ${name}. It is no event`)
        const events = request.body.events as { server_uuid: string; name: string; status?: string; tag?: string }[]
        const known = await knownServers(context, [...new Set(events.map((one) => one.server_uuid))])
        const done = events.map((one) => {
          const code = !known.has(one.server_uuid) ? 404 : NEEDS_TAG.has(one.name) && one.tag === undefined ? 400 : 200
          return { ...one, status: code === 200 ? (one.status ?? 'completed') : 'failed', code }
        })
        if (known.size === 0) throw notFound('No instances found for any event')
        const heard = done.filter((one) => one.code === 200)
        const untagged = heard.find((one) => one.name.startsWith('network-vif-') && !one.tag)
        if (untagged) throw badRequest(`Event ${untagged.name} needs the port's id as its tag`)
        for (const one of heard) {
          if (one.name === 'network-vif-plugged') context.bus.publish(portPlugged, { portId: one.tag! })
          if (one.name === 'volume-reimaged' && one.tag) context.bus.publish(volumeReimaged, { volumeId: one.tag })
        }
        const extended = heard.filter((one) => one.name === 'volume-extended')
        await volumesExtended(
          context,
          request.context,
          extended.map((one) => ({ serverId: one.server_uuid, volumeId: one.tag! })),
        )
        const changed = heard.filter((one) => one.name === 'network-changed' || one.name === 'network-vif-deleted')
        await networksChanged(
          context,
          [...new Set(changed.map((one) => one.server_uuid))].map((id) => known.get(id)!),
        )
        return new Reply({ events: done }, { status: done.every((one) => one.code === 200) ? 200 : 207 })
      },
    },
  ]
}
