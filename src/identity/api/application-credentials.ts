import Type from 'typebox'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import {
  createApplicationCredential,
  deleteApplicationCredential,
  findApplicationCredential,
  listApplicationCredentials,
} from '../app/application-credential.ts'
import type { IdentityContext, IdentityTables } from '../app/context.ts'
import { listRoles } from '../app/role.ts'
import { closed, pageOf } from './schemas.ts'

const Text = Type.String()
const MaybeText = Type.Union([Text, Type.Null()])
const Shown = Type.Object(
  {
    id: Text,
    name: Text,
    description: MaybeText,
    user_id: Text,
    project_id: Text,
    expires_at: MaybeText,
    unrestricted: Type.Boolean(),
    system: Type.Null(),
    roles: Type.Array(Type.Object({ id: Text, name: Text, domain_id: MaybeText }, { additionalProperties: false })),
    secret: Type.Optional(Text),
    links: Type.Object({ self: Text }),
  },
  { additionalProperties: false },
)
const Answer = Type.Object({ application_credential: Shown })
const Wish = Type.Object(
  {
    application_credential: Type.Object(
      {
        name: Type.String({ minLength: 1, maxLength: 255 }),
        description: Type.Optional(MaybeText),
        secret: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
        expires_at: Type.Optional(MaybeText),
        roles: Type.Optional(Type.Array(Type.Partial(Type.Object({ id: Text, name: Text }), closed), { minItems: 1 })),
        unrestricted: Type.Optional(Type.Boolean()),
      },
      closed,
    ),
  },
  closed,
)

/** Passwords for programs: for one project, with some of a user's roles, and no use where another password is asked for. */
export function applicationCredentialRoutes(context: IdentityContext): Route[] {
  const path = '/users/:id/application_credentials'
  const target = (request: ApiRequest) => ({ 'target.user.id': request.params.id })
  const view = async (request: ApiRequest, row: IdentityTables['application_credentials']) => {
    const held: string[] = JSON.parse(row.roles_json)
    const roles = (await listRoles(context, {})).filter(({ id }) => held.includes(id))
    return {
      id: row.id,
      name: row.name,
      description: row.description,
      user_id: row.user_id,
      project_id: row.project_id,
      expires_at: row.expires_at,
      unrestricted: row.unrestricted === 1,
      system: null,
      roles: roles.map(({ id, name, domain_id }) => ({ id, name, domain_id })),
      links: { self: request.link(`/users/${row.user_id}/application_credentials/${row.id}`) },
    }
  }
  return [
    {
      method: 'GET',
      path,
      doc: 'List application credentials',
      policy: 'identity:list_application_credentials',
      target,
      query: Type.Object({ name: Type.Optional(Text) }),
      response: pageOf('application_credentials', Shown),
      async handler(request) {
        const rows = await listApplicationCredentials(context, request.params.id!, request.query.name)
        return {
          application_credentials: await Promise.all(rows.map((row) => view(request, row))),
          links: { next: null, self: request.link(`/users/${request.params.id}/application_credentials`), previous: null },
        }
      },
    },
    {
      method: 'POST',
      path,
      doc: 'Create an application credential; its secret is told this once',
      policy: 'identity:create_application_credential',
      target,
      body: Wish,
      response: Answer,
      status: 201,
      async handler(request) {
        const { row, secret } = await createApplicationCredential(context, request.context, request.body.application_credential)
        return { application_credential: { ...(await view(request, row)), secret } }
      },
    },
    {
      method: 'GET',
      path: `${path}/:credential_id`,
      doc: 'Show an application credential',
      policy: 'identity:get_application_credential',
      target,
      response: Answer,
      handler: async (request) => ({
        application_credential: await view(
          request,
          await findApplicationCredential(context, request.params.id!, request.params.credential_id!),
        ),
      }),
    },
    {
      method: 'DELETE',
      path: `${path}/:credential_id`,
      doc: 'Delete an application credential; its tokens end with it',
      policy: 'identity:delete_application_credential',
      target,
      status: 204,
      response: 'nothing',
      handler: (request) => deleteApplicationCredential(context, request.context, request.params.id!, request.params.credential_id!),
    },
  ]
}
