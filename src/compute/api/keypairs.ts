import Type from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { lastOf, queryOf } from '../../kernel/http/schema.ts'
import type { ComputeContext } from '../app/context.ts'
import { createKeypair, deleteKeypair, findKeypair, listKeypairs } from '../app/keypair.ts'
import type { KeypairRow } from '../app/rows.ts'
import { KeypairAnswer, KeypairBrief, Paged } from './answers.ts'
import { Choice, closed, micro, nextLink, Wrapped, wholeNumber } from './common.ts'
import { refuseUnknown, required } from './since.ts'

const NewKeypair = Wrapped(
  'keypair',
  Type.Object(
    {
      name: Type.String({ minLength: 1, maxLength: 255, pattern: '^[\\w .@-]+$' }),
      type: Type.Optional(Choice(['ssh', 'x509'])),
      public_key: Type.Optional(Type.String({ maxLength: 16_384 })),
      user_id: Type.Optional(Type.String({ maxLength: 64 })),
    },
    closed,
  ),
)

export function keypairRoutes(context: ComputeContext): Route[] {
  /** Their own; from 2.10 administrators may name another user. */
  const userOf = (request: ApiRequest, named: string | undefined): string => {
    if (named && named !== request.context.userId && request.version.atLeast('2.10')) request.enforce('os_compute_api:os-keypairs:any_user')
    return (request.version.atLeast('2.10') && named) || request.context.userId!
  }
  const ofUser = queryOf('user_id')
  return [
    {
      method: 'GET',
      path: '/os-keypairs',
      doc: "List one's key pairs",
      policy: 'os_compute_api:os-keypairs:index',
      query: queryOf('user_id', 'marker', 'limit'),
      response: Paged('keypairs', KeypairBrief),
      async handler(request) {
        const rows = await listKeypairs(context, userOf(request, lastOf(request.query).user_id))
        const { marker, limit } = request.version.atLeast('2.35') ? request.query : {}
        const from = marker ? rows.findIndex((row) => row.name === marker) + 1 : 0
        if (marker && from === 0) throw badRequest(`marker [${marker}] not found`)
        const page = rows.slice(from, from + (wholeNumber('limit', limit) ?? 1000))
        const next = nextLink(request, '/os-keypairs', from + page.length < rows.length, page.at(-1)?.name)
        return { keypairs: page.map((row) => ({ keypair: brief(request, row) })), ...(next ? { keypairs_links: next } : {}) }
      },
    },
    {
      method: 'POST',
      path: '/os-keypairs',
      doc: 'Import a public key, or make a key pair (before 2.92)',
      policy: 'os_compute_api:os-keypairs:create',
      body: NewKeypair,
      response: KeypairAnswer,
      async handler(request) {
        const { name, type = 'ssh', public_key, user_id } = request.body.keypair
        refuseUnknown(request, 'keypair', request.body.keypair, { type: '2.2', user_id: '2.10' })
        if (request.version.atLeast('2.92') && !public_key) throw required('keypair', 'public_key')
        if (!request.version.atLeast('2.92') && /[.@]/.test(name))
          throw badRequest('Keypair data is invalid: Keypair name contains unsafe characters')
        const owner = { userId: userOf(request, user_id), projectId: request.context.projectId ?? '' }
        const { keypair, privateKey } = await createKeypair(context, owner, { name, type, publicKey: public_key })
        const view = { ...brief(request, keypair), user_id: keypair.user_id, ...(privateKey ? { private_key: privateKey } : {}) }
        return new Reply({ keypair: view }, { status: request.version.atLeast('2.2') ? 201 : 200 })
      },
    },
    {
      method: 'GET',
      path: '/os-keypairs/:name',
      doc: 'Show a key pair',
      policy: 'os_compute_api:os-keypairs:show',
      query: ofUser,
      response: KeypairAnswer,
      async handler(request) {
        const row = await findKeypair(context, userOf(request, lastOf(request.query).user_id), request.params.name!)
        return {
          keypair: {
            ...brief(request, row),
            user_id: row.user_id,
            id: Number(row.number),
            created_at: micro(row.created_at),
            updated_at: null,
            deleted: false,
            deleted_at: null,
          },
        }
      },
    },
    {
      method: 'DELETE',
      path: '/os-keypairs/:name',
      doc: 'Delete a key pair',
      policy: 'os_compute_api:os-keypairs:delete',
      query: ofUser,
      response: 'nothing',
      async handler(request) {
        await deleteKeypair(context, userOf(request, lastOf(request.query).user_id), request.params.name!)
        return new Reply(undefined, { status: request.version.atLeast('2.2') ? 204 : 202 })
      },
    },
  ]
}

const brief = (request: ApiRequest, row: KeypairRow) => ({
  name: row.name,
  public_key: row.public_key,
  fingerprint: row.fingerprint,
  ...(request.version.atLeast('2.2') ? { type: row.type } : {}),
})
