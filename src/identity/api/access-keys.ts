import Type from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { IdentityContext } from '../app/context.ts'
import { type AccessKey, createAccessKey, deleteAccessKey, findAccessKey, listAccessKeys } from '../app/credential.ts'
import { overlooked, pageOf } from './schemas.ts'

const Text = Type.String()
const Shown = Type.Object({
  user_id: Text,
  tenant_id: Text,
  access: Text,
  secret: Type.Union([Text, Type.Null()]),
  trust_id: Type.Null(),
  links: Type.Object({ self: Text }),
})
const Answer = Type.Object({ credential: Shown })

/** A user's access keys, as EC2 and S3 have them: OS-EC2. */
export function accessKeyRoutes(context: IdentityContext): Route[] {
  const path = '/users/:id/credentials/OS-EC2'
  const target = (request: ApiRequest) => ({ 'target.credential.user_id': request.params.id })
  const view = (request: ApiRequest, key: AccessKey) => ({
    ...key,
    links: { self: request.link(`/users/${key.user_id}/credentials/OS-EC2/${key.access}`) },
  })
  return [
    {
      method: 'GET',
      path,
      doc: 'List a user’s access keys',
      policy: 'identity:ec2_list_credentials',
      target,
      response: pageOf('credentials', Shown),
      async handler(request) {
        const self = request.link(`/users/${request.params.id}/credentials/OS-EC2`)
        const keys = await listAccessKeys(context, request.params.id!)
        return { credentials: keys.map((key) => view(request, key)), links: { next: null, self, previous: null } }
      },
    },
    {
      method: 'POST',
      path,
      doc: 'Draw an access key and its secret for a project',
      policy: 'identity:ec2_create_credential',
      target,
      body: Type.Object({ tenant_id: Type.String({ minLength: 1, maxLength: 64 }) }, overlooked),
      response: Answer,
      status: 201,
      async handler(request) {
        const key = await createAccessKey(context, request.context, request.params.id!, request.body.tenant_id)
        return { credential: view(request, key) }
      },
    },
    {
      method: 'GET',
      path: `${path}/:access`,
      doc: 'Show an access key and its secret',
      policy: 'identity:ec2_get_credential',
      target,
      response: Answer,
      handler: async (request) => ({
        credential: view(request, await findAccessKey(context, request.params.id!, request.params.access!)),
      }),
    },
    {
      method: 'DELETE',
      path: `${path}/:access`,
      doc: 'Delete an access key',
      policy: 'identity:ec2_delete_credential',
      target,
      status: 204,
      response: 'nothing',
      handler: (request) => deleteAccessKey(context, request.context, request.params.id!, request.params.access!),
    },
  ]
}
