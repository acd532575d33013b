import Type from 'typebox'
import type { ComputeContext } from '../app/context.ts'
import { offload, shelve, type Unshelve, unshelve } from '../app/shelve.ts'
import type { Action } from './action-entry.ts'
import { closed, Nullable, targetServer } from './common.ts'
import { refuseUnknown } from './since.ts'

const Place = Nullable(Type.String({ minLength: 1, maxLength: 255 }))

export function shelveActions(context: ComputeContext): Record<string, Action> {
  const target = targetServer(context)
  return {
    shelve: {
      doc: 'Put a server away: its disk is kept as an image, its host is free again',
      policy: 'os-shelve:shelve',
      run: (row, request) => shelve(context, request.context, row),
    },
    shelveOffload: {
      doc: 'Take a shelved server that is still on its host away from it',
      policy: 'os-shelve:shelve_offload',
      run: (row, request) => offload(context, request.context, row),
    },
    unshelve: {
      doc: 'Bring a shelved server back, on a host that is chosen anew; from 2.77 in a zone, from 2.91 on a host that is named',
      policy: 'os-shelve:unshelve',
      body: Nullable(Type.Object({ availability_zone: Type.Optional(Place), host: Type.Optional(Place) }, closed)),
      async run(row, request) {
        const wanted: { availability_zone?: string | null; host?: string | null } = request.body.unshelve ?? {}
        refuseUnknown(request, 'unshelve', wanted, { availability_zone: '2.77', host: '2.91' })
        if (wanted.host) request.enforce('os_compute_api:os-shelve:unshelve_to_host', await target(request))
        await unshelve(context, request.context, row, { zone: wanted.availability_zone, host: wanted.host } satisfies Unshelve)
      },
    },
  }
}
