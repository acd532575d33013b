import Type from 'typebox'
import { notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import type { IdentityContext } from '../app/context.ts'
import { projectsOfUser } from '../app/reach.ts'
import { changeOwnPassword, findGroup, findUser, isMember, listGroups, listUsers, setMember } from '../app/user.ts'
import { closed, listOf, overlooked } from './schemas.ts'
import { collection, groupView, projectView, userView } from './views.ts'

/** Who belongs to what, and a user's own password. */
export function memberRoutes(context: IdentityContext): Route[] {
  const ofUser = (request: ApiRequest) => ({ 'target.user.id': request.params.id })
  return [
    {
      method: 'GET',
      path: '/users/:id/projects',
      doc: 'Projects on which a user has a role',
      policy: 'identity:list_user_projects',
      response: listOf('project'),
      target: ofUser,
      handler: async (request) =>
        collection(
          request,
          'projects',
          `/users/${request.params.id}/projects`,
          await projectsOfUser(context, (await findUser(context, request.params.id!)).id),
          projectView,
        ),
    },
    {
      method: 'GET',
      path: '/users/:id/groups',
      doc: 'Groups of a user',
      policy: 'identity:list_groups_for_user',
      response: listOf('group'),
      target: ofUser,
      handler: async (request) =>
        collection(
          request,
          'groups',
          `/users/${request.params.id}/groups`,
          await listGroups(context, { user_id: (await findUser(context, request.params.id!)).id }),
          groupView,
        ),
    },
    {
      method: 'POST',
      path: '/users/:id/password',
      doc: "Change one's own password",
      policy: { open: 'the old password says who asks: it may have expired' },
      body: Type.Object(
        { user: Type.Object({ original_password: Type.String(), password: Type.String({ minLength: 1, maxLength: 4096 }) }, closed) },
        overlooked,
      ),
      status: 204,
      response: 'nothing',
      handler: (request) => changeOwnPassword(context, request.params.id!, request.body.user.original_password, request.body.user.password),
    },
    {
      method: 'GET',
      path: '/groups/:id/users',
      doc: 'Users of a group',
      policy: 'identity:list_users_in_group',
      response: listOf('user'),
      handler: async (request) =>
        collection(
          request,
          'users',
          `/groups/${request.params.id}/users`,
          await listUsers(context, { group_id: (await findGroup(context, request.params.id!)).id }),
          userView,
        ),
    },
    {
      method: 'PUT',
      path: '/groups/:id/users/:user_id',
      doc: 'Put a user into a group',
      policy: 'identity:add_user_to_group',
      status: 204,
      response: 'nothing',
      handler: (request) => setMember(context, request.params.id!, request.params.user_id!, true),
    },
    {
      method: 'DELETE',
      path: '/groups/:id/users/:user_id',
      doc: 'Take a user out of a group',
      policy: 'identity:remove_user_from_group',
      status: 204,
      response: 'nothing',
      handler: (request) => setMember(context, request.params.id!, request.params.user_id!, false),
    },
    {
      method: 'GET',
      path: '/groups/:id/users/:user_id',
      doc: 'Whether a user is in a group',
      policy: 'identity:check_user_in_group',
      status: 204,
      response: 'nothing',
      async handler(request) {
        if (!(await isMember(context, request.params.id!, request.params.user_id!)))
          throw notFound(`User ${request.params.user_id} not found in group ${request.params.id}.`)
      },
    },
  ]
}
