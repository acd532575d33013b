import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import { listRows } from '../app/listing.ts'
import { removeMessage, seeMessage } from '../app/message.ts'
import { Extensions, MessageAnswer, MessageList } from './answers.ts'
import * as shape from './schemas.ts'
import { viewerOf } from './seen.ts'
import { messageView, nextLink } from './views.ts'

const EXTENSIONS: Record<string, string> = {
  'os-hosts': 'Admin-only host administration',
  'os-volume-actions': 'Volume actions',
  'os-quota-sets': 'Quotas management support',
  'os-services': 'Services support',
  'os-availability-zone': 'Describe Availability Zones',
  'os-types-extra-specs': 'Type extra specs support',
  'os-volume-type-access': 'Volume type access support',
  'os-vol-image-meta': 'Show image metadata associated with the volume',
  'os-vol-host-attr': 'Expose host as an attribute of a volume',
  'os-vol-tenant-attr': 'Expose the internal project_id as an attribute of a volume',
  'os-extended-snapshot-attributes': 'Extended snapshot attributes support',
  'scheduler-stats': 'Scheduler stats support',
}

/** Where clients look for them by name. */
const NAMES: Record<string, string> = { 'os-hosts': 'Hosts' }

export function infoRoutes(context: VolumeContext): Route[] {
  const message = (request: ApiRequest) => seeMessage(context, viewerOf(request), request.params.message_id!)
  const target = async (request: ApiRequest) => ({ project_id: (await message(request)).project_id })
  const since = { microversions: { min: '3.3' } }
  return [
    {
      method: 'GET',
      path: '/extensions',
      doc: 'List API extensions',
      policy: 'volume_extension:list_extensions',
      response: Extensions,
      handler: () => ({
        extensions: Object.entries(EXTENSIONS).map(([alias, description]) => ({
          alias,
          name: NAMES[alias] ?? alias,
          description,
          links: [],
          updated: '2011-08-08T00:00:00+00:00',
        })),
      }),
    },
    {
      ...since,
      method: 'GET',
      path: '/messages',
      doc: 'List why things that were accepted did not come to be',
      policy: 'message:get_all',
      query: shape.ListQuery,
      response: MessageList,
      async handler(request) {
        const { rows, more } = await listRows(context, viewerOf(request), 'messages', request.query)
        return { messages: rows.map(messageView), ...nextLink(request, '/messages', 'messages', rows, more) }
      },
    },
    {
      ...since,
      method: 'GET',
      path: '/messages/:message_id',
      doc: 'Show such a message',
      policy: 'message:get',
      target,
      response: MessageAnswer,
      handler: async (request) => ({ message: messageView(await message(request)) }),
    },
    {
      ...since,
      method: 'DELETE',
      path: '/messages/:message_id',
      doc: 'Delete such a message',
      policy: 'message:delete',
      target,
      response: 'nothing',
      async handler(request) {
        await removeMessage(context, await message(request))
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}
