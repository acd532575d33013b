import Type from 'typebox'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import { listRows } from '../app/listing.ts'
import { acceptVolume, offerVolume, seeTransfer, type TransferRow, withdrawOffer } from '../app/transfer.ts'
import { seeVolume } from '../app/volume.ts'
import { shown } from './answers.ts'
import * as shape from './schemas.ts'
import { theTransfer, transferTarget, truth, viewerOf } from './seen.ts'
import { links, nextLink, time } from './views.ts'

const { Optional } = Type
const MaybeText = shape.Nullable(Type.String())
const Links = Type.Array(Type.Object({ rel: Type.String(), href: Type.String() }))
const Transfer = Type.Object({
  id: Type.String(),
  volume_id: Type.String(),
  name: MaybeText,
  links: Links,
  created_at: Optional(MaybeText),
  auth_key: Optional(Type.String()),
  no_snapshots: Optional(Type.Boolean()),
  source_project_id: Optional(MaybeText),
  destination_project_id: Optional(MaybeText),
  accepted: Optional(Type.Boolean()),
})
const Answer = shown('transfer', Transfer)
const List = Type.Object({ transfers: Type.Array(Transfer), transfers_links: Optional(Links) })

const closed = { additionalProperties: false }
const NewTransfer = Type.Object(
  {
    transfer: Type.Object(
      { volume_id: shape.Uuid, name: Optional(shape.Name), no_snapshots: Optional(shape.Nullable(shape.Flag)) },
      closed,
    ),
  },
  closed,
)
const Accept = Type.Object({ accept: Type.Object({ auth_key: Type.String({ minLength: 1, maxLength: 255 }) }, closed) }, closed)

/** Volumes that are given to another project. Since 3.55 under a name of their own, with their snapshots unless that is not wanted. */
export function transferRoutes(context: VolumeContext): Route[] {
  return ['/os-volume-transfer', '/volume-transfers'].flatMap((path) => routesAt(context, path))
}

function routesAt(context: VolumeContext, path: string): Route[] {
  const since = path === '/volume-transfers' ? { microversions: { min: '3.55' } } : {}
  const target = transferTarget(context)
  const list = (address: string, view: typeof brief) => async (request: ApiRequest) => {
    const { rows, more } = await listRows(context, viewerOf(request), 'transfers', request.query)
    return { transfers: rows.map((row) => view(request, path, row)), ...nextLink(request, address, 'transfers', rows, more) }
  }
  const listing = { ...since, method: 'GET', policy: 'volume:get_all_transfers', query: shape.ListQuery, response: List } as const
  return [
    { ...listing, path, doc: 'List offers of volumes', handler: list(path, brief) },
    { ...listing, path: `${path}/detail`, doc: 'List offers of volumes in full', handler: list(`${path}/detail`, full) },
    {
      ...since,
      method: 'POST',
      path,
      doc: 'Offer a volume to whoever has the key that is answered',
      policy: 'volume:create_transfer',
      status: 202,
      body: NewTransfer,
      response: Answer,
      async handler(request) {
        const { volume_id, name, no_snapshots } = request.body.transfer
        const volume = await seeVolume(context, viewerOf(request), volume_id)
        request.enforce('volume:create_transfer', { project_id: volume.project_id })
        const asked = { name: name?.trim() ?? null, noSnapshots: since.microversions !== undefined && truth(no_snapshots) }
        const { transfer, key } = await offerVolume(context, volume, asked)
        return { transfer: { ...full(request, path, transfer), auth_key: key } }
      },
    },
    {
      ...since,
      method: 'GET',
      path: `${path}/:transfer_id`,
      doc: 'Show an offer of a volume',
      policy: 'volume:get_transfer',
      target,
      response: Answer,
      handler: async (request) => ({ transfer: full(request, path, await theTransfer(context, request)) }),
    },
    {
      ...since,
      method: 'POST',
      path: `${path}/:transfer_id/accept`,
      doc: 'Take an offered volume',
      policy: 'volume:accept_transfer',
      status: 202,
      body: Accept,
      response: Answer,
      async handler(request) {
        const { transfer_id } = request.params
        const taken = await acceptVolume(context, viewerOf(request), transfer_id!, request.body.accept.auth_key)
        return { transfer: brief(request, path, taken) }
      },
    },
    {
      ...since,
      method: 'DELETE',
      path: `${path}/:transfer_id`,
      doc: 'Withdraw an offer of a volume',
      policy: 'volume:delete_transfer',
      target,
      response: 'nothing',
      async handler(request) {
        await withdrawOffer(context, await seeTransfer(context, viewerOf(request), request.params.transfer_id!))
        return new Reply(undefined, { status: 202 })
      },
    },
  ]
}

const brief = (request: ApiRequest, path: string, row: TransferRow) => ({
  id: row.id,
  volume_id: row.volume_id,
  name: row.name,
  links: links(request, `${path}/${row.id}`),
})

const full = (request: ApiRequest, path: string, row: TransferRow) => ({
  ...brief(request, path, row),
  created_at: time(row.created_at),
  ...(request.version.atLeast('3.55') ? { no_snapshots: row.no_snapshots === 1 } : {}),
  ...(request.version.atLeast('3.57') ? { source_project_id: row.project_id, destination_project_id: null, accepted: false } : {}),
})
