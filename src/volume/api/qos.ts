import Type from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { VolumeContext } from '../app/context.ts'
import * as qos from '../app/qos.ts'
import { seeType } from '../app/type.ts'
import { ExtraSpec, shown } from './answers.ts'
import * as shape from './schemas.ts'
import { truth, viewerOf } from './seen.ts'
import { links } from './views.ts'

const Text = Type.String()
const Specs = Type.Object({ id: Text, name: Text, consumer: Text, specs: ExtraSpec })
const One = Type.Object({ qos_specs: Specs, links: Type.Array(Type.Object({ rel: Text, href: Text })) })
const Associations = shown('qos_associations', Type.Array(Type.Object({ association_type: Text, id: Text, name: Text })))
const Values = Type.Record(Type.String({ minLength: 1, maxLength: 255 }), shape.Text)
const Body = Type.Object({ qos_specs: Values }, { additionalProperties: false })
const Keys = Type.Object({ keys: Type.Array(Type.String({ minLength: 1, maxLength: 255 })) }, { additionalProperties: false })
const accepted = () => new Reply(undefined, { status: 202 })

/** What a type of volumes promises of speed, and who keeps the promise. */
export function qosRoutes(context: VolumeContext): Route[] {
  const the = (request: ApiRequest) => qos.seeQos(context, request.params.qos_id!)
  const view = (request: ApiRequest, one: qos.QosSpecs) => ({ qos_specs: specsView(one), links: links(request, `/qos-specs/${one.id}`) })
  const linking = (verb: string, doc: string, work: typeof qos.associate): Route => ({
    method: 'GET',
    path: `/qos-specs/:qos_id/${verb}`,
    doc,
    policy: 'volume_extension:qos_specs_manage:update',
    query: shape.ListQuery,
    response: 'nothing',
    async handler(request) {
      const { vol_type_id } = request.query
      if (typeof vol_type_id !== 'string') throw badRequest('Volume Type id must not be None.')
      await work(context, await the(request), await seeType(context, viewerOf(request), vol_type_id))
      return accepted()
    },
  })
  return [
    {
      method: 'GET',
      path: '/qos-specs',
      doc: 'List QoS specs',
      policy: 'volume_extension:qos_specs_manage:get_all',
      query: shape.ListQuery,
      response: shown('qos_specs', Type.Array(Specs)),
      handler: async () => ({ qos_specs: (await qos.listQos(context)).map(specsView) }),
    },
    {
      method: 'POST',
      path: '/qos-specs',
      doc: 'Create QoS specs',
      policy: 'volume_extension:qos_specs_manage:create',
      body: Body,
      response: One,
      async handler(request) {
        const { name = '', consumer = 'back-end', ...specs } = request.body.qos_specs
        if (name.trim() === '') throw badRequest('Invalid input received: qos_specs needs a name.', 'InvalidInput')
        return view(request, await qos.createQos(context, name.trim(), known(consumer), specs))
      },
    },
    {
      method: 'GET',
      path: '/qos-specs/:qos_id',
      doc: 'Show QoS specs',
      policy: 'volume_extension:qos_specs_manage:get',
      response: One,
      handler: async (request) => view(request, await the(request)),
    },
    {
      method: 'PUT',
      path: '/qos-specs/:qos_id',
      doc: 'Set keys of QoS specs, or who they are for',
      policy: 'volume_extension:qos_specs_manage:update',
      body: Body,
      response: shown('qos_specs', ExtraSpec),
      async handler(request) {
        const one = await the(request)
        const { consumer = one.consumer, ...specs } = request.body.qos_specs
        await qos.changeQos(context, one, known(consumer), specs)
        return { qos_specs: request.body.qos_specs }
      },
    },
    {
      method: 'PUT',
      path: '/qos-specs/:qos_id/delete_keys',
      doc: 'Remove keys of QoS specs',
      policy: 'volume_extension:qos_specs_manage:update',
      body: Keys,
      response: 'nothing',
      async handler(request) {
        await qos.dropQosKeys(context, await the(request), request.body.keys)
        return accepted()
      },
    },
    {
      method: 'DELETE',
      path: '/qos-specs/:qos_id',
      doc: 'Delete QoS specs',
      policy: 'volume_extension:qos_specs_manage:delete',
      query: shape.ListQuery,
      response: 'nothing',
      async handler(request) {
        await qos.deleteQos(context, await the(request), truth(request.query.force))
        return accepted()
      },
    },
    {
      method: 'GET',
      path: '/qos-specs/:qos_id/associations',
      doc: 'List the volume types that have QoS specs',
      policy: 'volume_extension:qos_specs_manage:get_all',
      response: Associations,
      async handler(request) {
        const types = await qos.associationsOf(context, await the(request))
        return { qos_associations: types.map(({ id, name }) => ({ association_type: 'volume_type', id, name })) }
      },
    },
    linking('associate', 'Give QoS specs to a volume type', qos.associate),
    linking('disassociate', 'Take QoS specs from a volume type', qos.disassociate),
    {
      method: 'GET',
      path: '/qos-specs/:qos_id/disassociate_all',
      doc: 'Take QoS specs from every volume type',
      policy: 'volume_extension:qos_specs_manage:update',
      response: 'nothing',
      async handler(request) {
        await qos.disassociateAll(context, await the(request))
        return accepted()
      },
    },
  ]
}

const specsView = ({ id, name, consumer, specs }: qos.QosSpecs) => ({ id, name, consumer, specs })

function known(consumer: string): string {
  if (qos.CONSUMERS.includes(consumer)) return consumer
  throw badRequest(`Invalid qos specs: Valid consumer of QoS specs are: ${qos.CONSUMERS.join(', ')}.`, 'InvalidQoSSpecs')
}
