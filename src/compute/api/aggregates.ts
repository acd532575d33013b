import Type from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import * as aggregates from '../app/aggregate.ts'
import type { ComputeContext } from '../app/context.ts'
import { Aggregate, Shown } from './answers.ts'
import { closed, micro, Name, Nullable, Wrapped } from './common.ts'

const View = Shown('aggregate', Aggregate)
const ZoneName = Nullable(Type.String({ minLength: 1, maxLength: 255, pattern: '^[^:]*$' }))
const MetadataBody = Type.Record(Type.String({ pattern: '^[a-zA-Z0-9-_:. ]{1,255}$' }), Nullable(Type.String({ maxLength: 255 })), closed)

export function aggregateRoutes(context: ComputeContext): Route[] {
  const policy = (name: string) => `os_compute_api:os-aggregates:${name}`
  const id = (request: ApiRequest) => request.params.aggregate_id!
  const show = async (request: ApiRequest, aggregate: Promise<aggregates.Aggregate>) => ({ aggregate: view(request, await aggregate) })
  const action = (
    name: string,
    rule: string,
    doc: string,
    body: any,
    run: (request: ApiRequest) => Promise<aggregates.Aggregate>,
  ): Route => ({
    method: 'POST',
    path: '/os-aggregates/:aggregate_id/action',
    action: name,
    doc,
    policy: policy(rule),
    body: Wrapped(name, body),
    response: View,
    handler: (request) => show(request, run(request)),
  })
  const HostBody = Type.Object({ host: Name }, closed)
  return [
    {
      method: 'GET',
      path: '/os-aggregates',
      doc: 'List host aggregates',
      policy: policy('index'),
      response: Shown('aggregates', Type.Array(Aggregate)),
      handler: async (request) => ({ aggregates: (await aggregates.listAggregates(context.database.db)).map((one) => view(request, one)) }),
    },
    {
      method: 'POST',
      path: '/os-aggregates',
      doc: 'Create a host aggregate, with an availability zone if one is named',
      policy: policy('create'),
      body: Wrapped('aggregate', Type.Object({ name: Name, availability_zone: Type.Optional(ZoneName) }, closed)),
      response: View,
      async handler(request) {
        const { name, availability_zone } = request.body.aggregate
        const {
          hosts: _hosts,
          metadata: _metadata,
          ...made
        } = view(request, await aggregates.createAggregate(context, name, availability_zone ?? null))
        return { aggregate: made }
      },
    },
    {
      method: 'GET',
      path: '/os-aggregates/:aggregate_id',
      doc: 'Show a host aggregate',
      policy: policy('show'),
      response: View,
      handler: (request) => show(request, aggregates.findAggregate(context.database.db, id(request))),
    },
    {
      method: 'PUT',
      path: '/os-aggregates/:aggregate_id',
      doc: "Change a host aggregate's name or zone",
      policy: policy('update'),
      body: Wrapped('aggregate', Type.Object({ name: Type.Optional(Name), availability_zone: Type.Optional(ZoneName) }, closed)),
      response: View,
      handler(request) {
        const { name, availability_zone: zone } = request.body.aggregate
        if (name === undefined && zone === undefined)
          throw badRequest('Invalid input for field/attribute aggregate: a name or an availability_zone is needed')
        const changed = aggregates.changeAggregate(context, id(request), (before) => ({
          ...(name !== undefined ? { name } : {}),
          ...(zone ? { metadata: { ...before.metadata, availability_zone: zone } } : {}),
        }))
        return show(request, changed)
      },
    },
    {
      method: 'DELETE',
      path: '/os-aggregates/:aggregate_id',
      doc: 'Delete an empty host aggregate',
      policy: policy('delete'),
      status: 200,
      response: 'nothing',
      handler: (request) => aggregates.deleteAggregate(context, id(request)),
    },
    action('add_host', 'add_host', 'Add a host to an aggregate', HostBody, (request) =>
      aggregates.addHost(context, id(request), request.body.add_host.host),
    ),
    action('remove_host', 'remove_host', 'Remove a host from an aggregate', HostBody, (request) =>
      aggregates.removeHost(context, id(request), request.body.remove_host.host),
    ),
    action(
      'set_metadata',
      'set_metadata',
      "Set an aggregate's metadata; null removes a key",
      Type.Object({ metadata: MetadataBody }, closed),
      (request) => aggregates.setMetadata(context, id(request), request.body.set_metadata.metadata),
    ),
    {
      method: 'POST',
      path: '/os-aggregates/:aggregate_id/images',
      doc: 'Have all hosts of an aggregate fetch images before servers need them',
      policy: 'compute:aggregates:images',
      microversions: { min: '2.81' },
      status: 202,
      response: 'nothing',
      body: Type.Object(
        { cache: Type.Array(Type.Object({ id: Type.String({ format: 'uuid' }) }, closed), { minItems: 1, uniqueItems: true }) },
        closed,
      ),
      handler: (request) =>
        aggregates.cacheImages(
          context,
          request.context,
          id(request),
          request.body.cache.map((one: { id: string }) => one.id),
        ),
    },
  ]
}

const view = (request: ApiRequest, one: aggregates.Aggregate) => ({
  id: one.id,
  ...(request.version.atLeast('2.41') ? { uuid: one.uuid } : {}),
  name: one.name,
  availability_zone: aggregates.zoneOf(one) ?? null,
  metadata: one.metadata,
  hosts: one.hosts,
  created_at: micro(one.created_at),
  updated_at: micro(one.updated_at),
  deleted: false,
  deleted_at: null,
})
