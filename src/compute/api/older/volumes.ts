import Type, { type TSchema } from 'typebox'
import { badRequest, Fault } from '../../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../../kernel/http/route.ts'
import { queryOf } from '../../../kernel/http/schema.ts'
import type { ComputeContext } from '../../app/context.ts'
import { as } from '../../app/wanted-networks.ts'
import { Shown } from '../answers.ts'
import { Count, closed, Nullable, Truth, Wrapped, wholeNumber } from '../common.ts'

const POLICY = 'os_compute_api:os-volumes:'
const shared = { microversions: { max: '2.35' } }
const Text = Nullable(Type.String({ maxLength: 255 }))
const Attachment = Type.Object(
  {
    id: Type.Optional(Type.String()),
    volumeId: Type.Optional(Type.String()),
    serverId: Type.Optional(Type.String()),
    device: Type.Optional(Type.String()),
  },
  closed,
)
const Volume = Type.Object(
  {
    id: Type.String(),
    status: Type.String(),
    size: Type.Integer(),
    availabilityZone: Type.String(),
    createdAt: Type.String(),
    attachments: Type.Array(Attachment),
    displayName: Nullable(Type.String()),
    displayDescription: Nullable(Type.String()),
    volumeType: Nullable(Type.String()),
    snapshotId: Nullable(Type.String()),
    metadata: Type.Record(Type.String(), Type.String()),
  },
  closed,
)
const Snapshot = Type.Object(
  {
    id: Type.String(),
    volumeId: Type.String(),
    status: Type.String(),
    size: Type.Integer(),
    createdAt: Type.String(),
    displayName: Nullable(Type.String()),
    displayDescription: Nullable(Type.String()),
  },
  closed,
)
const NewVolume = Wrapped(
  'volume',
  Type.Object(
    {
      size: Count(1),
      display_name: Type.Optional(Text),
      display_description: Type.Optional(Text),
      volume_type: Type.Optional(Text),
      metadata: Type.Optional(Nullable(Type.Record(Type.String(), Type.String()))),
      snapshot_id: Type.Optional(Text),
      availability_zone: Type.Optional(Text),
    },
    closed,
  ),
)
const NewSnapshot = Wrapped(
  'snapshot',
  Type.Object(
    { volume_id: Type.String(), force: Type.Optional(Truth), display_name: Type.Optional(Text), display_description: Type.Optional(Text) },
    closed,
  ),
)

/** Volumes and snapshots as compute showed them before 2.36: the volume service has them. */
export function olderVolumeRoutes(context: ComputeContext): Route[] {
  const ask = (request: ApiRequest, method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) =>
    context.volumes.forward({ method, path, body }, as(request.context)).catch((error) => {
      throw error instanceof Fault && error.status === 413 ? new Fault(403, error.code, error.message) : error
    })
  return [
    ...kind({
      ask,
      path: '/os-volumes',
      theirs: '/volumes',
      one: 'volume',
      verbs: { list: 'list', detail: 'detail', show: 'show', create: 'create', remove: 'delete' },
      body: NewVolume,
      schema: Volume,
      view: volumeView,
      wish: ({ display_name, display_description, ...asked }) => ({
        ...asked,
        size: Number(asked.size),
        name: display_name,
        description: display_description,
      }),
    }),
    ...kind({
      ask,
      path: '/os-snapshots',
      theirs: '/snapshots',
      one: 'snapshot',
      verbs: {
        list: 'snapshots:list',
        detail: 'snapshots:detail',
        show: 'snapshots:show',
        create: 'snapshots:create',
        remove: 'snapshots:delete',
      },
      body: NewSnapshot,
      schema: Snapshot,
      view: snapshotView,
      wish: ({ display_name, display_description, volume_id, force = false }) => ({
        volume_id,
        force,
        name: display_name,
        description: display_description,
      }),
    }),
  ]
}

interface Kind {
  ask: (request: ApiRequest, method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) => Promise<any>
  path: string
  /** Below the volume API. */
  theirs: string
  one: 'volume' | 'snapshot'
  verbs: Record<'list' | 'detail' | 'show' | 'create' | 'remove', string>
  body: TSchema
  schema: TSchema
  view: (document: any) => object
  wish: (asked: any) => object
}

function kind({ ask, path, theirs, one, verbs, body, schema, view, wish }: Kind): Route[] {
  const many = `${one}s`
  const named = (request: ApiRequest) => `${theirs}/${encodeURIComponent(request.params.id!)}`
  const list = (suffix: '' | '/detail'): Route => ({
    method: 'GET',
    path: path + suffix,
    doc: `List ${many}${suffix ? ' in full' : ''} (the volume API does it since 2.36)`,
    policy: POLICY + (suffix ? verbs.detail : verbs.list),
    query: queryOf('limit', 'offset'),
    response: Shown(many, Type.Array(schema)),
    ...shared,
    async handler(request) {
      const all = (await ask(request, 'GET', `${theirs}/detail`))[many]
      const from = wholeNumber('offset', request.query.offset) ?? 0
      return { [many]: all.slice(from, from + (wholeNumber('limit', request.query.limit) ?? 1000)).map(view) }
    },
  })
  const single = { response: Shown(one, schema), ...shared }
  return [
    list(''),
    list('/detail'),
    {
      method: 'GET',
      path: `${path}/:id`,
      doc: `Show a ${one} (the volume API does it since 2.36)`,
      policy: POLICY + verbs.show,
      ...single,
      handler: async (request) => ({ [one]: view((await ask(request, 'GET', named(request)))[one]) }),
    },
    {
      method: 'POST',
      path,
      doc: `Create a ${one} (the volume API does it since 2.36)`,
      policy: POLICY + verbs.create,
      body,
      ...single,
      async handler(request) {
        const asked = wish(request.body[one])
        if ('size' in asked && Number(asked.size) < 1) throw badRequest('The size of a volume is 1 GiB or more.')
        return { [one]: view((await ask(request, 'POST', theirs, { [one]: asked }))[one]) }
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:id`,
      doc: `Delete a ${one} (the volume API does it since 2.36)`,
      policy: POLICY + verbs.remove,
      ...shared,
      response: 'nothing',
      async handler(request) {
        await ask(request, 'DELETE', named(request))
        return new Reply(undefined, { status: 202 })
      },
    },
  ]
}

/** An attachment of a free volume is an empty object, as it always was. */
const volumeView = (volume: any) => ({
  id: volume.id,
  status: volume.status,
  size: volume.size,
  availabilityZone: volume.availability_zone,
  createdAt: volume.created_at,
  attachments:
    volume.attachments.length === 0
      ? [{}]
      : volume.attachments.map((one: any) => ({
          id: one.volume_id ?? volume.id,
          volumeId: volume.id,
          serverId: one.server_id,
          device: one.device ?? '',
        })),
  displayName: volume.name,
  displayDescription: volume.description,
  volumeType: volume.volume_type,
  snapshotId: volume.snapshot_id,
  metadata: volume.metadata,
})

const snapshotView = (snapshot: any) => ({
  id: snapshot.id,
  volumeId: snapshot.volume_id,
  status: snapshot.status,
  size: snapshot.size,
  createdAt: snapshot.created_at,
  displayName: snapshot.name,
  displayDescription: snapshot.description,
})
