import Type from 'typebox'
import type { Route } from '../../kernel/http/route.ts'
import type { ComputeContext } from '../app/context.ts'
import { forgetPassword, passwordOf } from '../app/server-password.ts'
import { closed, server, targetServer } from './common.ts'

export function serverPasswordRoutes(context: ComputeContext): Route[] {
  const { db } = context.database
  const path = '/servers/:server_id/os-server-password'
  const target = targetServer(context)
  return [
    {
      method: 'GET',
      path,
      doc: 'Show the password that the guest has posted, encrypted with the public key of its key pair',
      policy: 'os_compute_api:os-server-password:show',
      target,
      response: Type.Object({ password: Type.String() }, closed),
      handler: async (request) => ({ password: await passwordOf(db, (await server(context, request)).id) }),
    },
    {
      method: 'DELETE',
      path,
      doc: 'Forget the password that the guest has posted; in the guest it stays',
      policy: 'os_compute_api:os-server-password:clear',
      target,
      status: 204,
      response: 'nothing',
      async handler(request) {
        await forgetPassword(db, (await server(context, request)).id)
      },
    },
  ]
}
