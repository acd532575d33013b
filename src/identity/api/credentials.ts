import Type from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { IdentityContext, IdentityTables } from '../app/context.ts'
import { createCredential, deleteCredential, findCredential, listCredentials, updateCredential } from '../app/credential.ts'
import { overlooked, pageOf } from './schemas.ts'

const Text = Type.String()
const MaybeId = Type.Union([Type.String({ maxLength: 64 }), Type.Null()])
const Shown = Type.Object({ id: Text, user_id: Text, project_id: MaybeId, type: Text, blob: Text, links: Type.Object({ self: Text }) })
const Answer = Type.Object({ credential: Shown })
const fields = {
  type: Type.String({ minLength: 1, maxLength: 255 }),
  blob: Type.String(),
  project_id: Type.Optional(MaybeId),
}

/** Secrets of other protocols that users keep here: access keys, seeds of one-time passwords, certificates. */
export function credentialRoutes(context: IdentityContext): Route[] {
  const path = '/credentials'
  const view = (request: ApiRequest, row: IdentityTables['credentials']) => ({
    ...row,
    links: { self: request.link(`${path}/${row.id}`) },
  })
  const target = async (request: ApiRequest) => ({
    'target.credential.user_id': (await findCredential(context, request.params.id!)).user_id,
  })
  return [
    {
      method: 'GET',
      path,
      doc: 'List credentials, one’s own or those that one may see',
      policy: 'identity:list_credentials',
      query: Type.Object({ user_id: Type.Optional(Text), type: Type.Optional(Text) }),
      response: pageOf('credentials', Shown),
      async handler(request) {
        const rows = await listCredentials(context, request.query)
        const seen = rows.filter((row) => request.allowed('identity:get_credential', { 'target.credential.user_id': row.user_id }))
        return { credentials: seen.map((row) => view(request, row)), links: { next: null, self: request.link(path), previous: null } }
      },
    },
    {
      method: 'POST',
      path,
      doc: 'Keep a credential; it lies sealed',
      policy: 'identity:create_credential',
      target: (request) => ({ 'target.credential.user_id': request.body.credential.user_id }),
      body: Type.Object(
        { credential: Type.Object({ ...fields, user_id: Type.String({ minLength: 1, maxLength: 64 }) }, overlooked) },
        overlooked,
      ),
      response: Answer,
      status: 201,
      handler: async (request) => ({ credential: view(request, await createCredential(context, request.context, sent(request))) }),
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      doc: 'Show a credential',
      policy: 'identity:get_credential',
      target,
      response: Answer,
      handler: async (request) => ({ credential: view(request, await findCredential(context, request.params.id!)) }),
    },
    {
      method: 'PATCH',
      path: `${path}/:id`,
      doc: 'Change a credential',
      policy: 'identity:update_credential',
      target,
      body: Type.Object({ credential: Type.Partial(Type.Object(fields), { ...overlooked, minProperties: 1 }) }, overlooked),
      response: Answer,
      async handler(request) {
        const { user_id: _, ...asked } = sent(request)
        return { credential: view(request, await updateCredential(context, request.context, request.params.id!, asked)) }
      },
    },
    {
      method: 'DELETE',
      path: `${path}/:id`,
      doc: 'Delete a credential',
      policy: 'identity:delete_credential',
      target,
      status: 204,
      response: 'nothing',
      handler: (request) => deleteCredential(context, request.context, request.params.id!),
    },
  ]
}

/** What a credential consists of; other attributes are overlooked. */
const sent = ({ body: { credential } }: ApiRequest): any =>
  Object.fromEntries(Object.entries(credential).filter(([name]) => name in fields || name === 'user_id'))
