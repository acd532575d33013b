import Type from 'typebox'
import { badRequest, notFound } from '../../kernel/errors/errors.ts'
import type { ApiRequest, Route } from '../../kernel/http/route.ts'
import { type Effect, listAssignments } from '../app/assignments.ts'
import type { IdentityContext } from '../app/context.ts'
import { findGranted, type Grant, grant, grantsOf, hasGrant, ungrant } from '../app/role.ts'
import { AssignmentList, listOf } from './schemas.ts'
import { collection, roleView } from './views.ts'

const Text = Type.Optional(Type.String())

export function grantRoutes(context: IdentityContext): Route[] {
  return [
    ...(['user', 'group'] as const).flatMap((actor) =>
      (['project', 'domain', 'system'] as const).flatMap((target) => grantsOn(context, actor, target)),
    ),
    ...(['user', 'group'] as const).flatMap((actor) =>
      (['project', 'domain'] as const).flatMap((target) => grantsOn(context, actor, target, true)),
    ),
    assignments(context),
  ]
}

/** `inherited`: by the projects below the target instead of by itself. */
function grantsOn(context: IdentityContext, actor: 'user' | 'group', place: 'project' | 'domain' | 'system', inherited = false): Route[] {
  const plain = place === 'system' ? `/system/${actor}s/:actor_id/roles` : `/${place}s/:target_id/${actor}s/:actor_id/roles`
  const base = inherited ? `/OS-INHERIT${plain}` : plain
  const end = inherited ? '/inherited_to_projects' : ''
  const filled = (request: ApiRequest) => base.replace(/:(\w+)/g, (_, name) => request.params[name]!)
  const what = `${inherited ? 'to be inherited from' : 'on'} ${place === 'system' ? 'the system' : `a ${place}`}`
  const of = (request: ApiRequest): Grant => ({
    actor: { kind: actor, id: request.params.actor_id! },
    target: { kind: place, id: place === 'system' ? 'system' : request.params.target_id! },
    roleId: request.params.role_id!,
    inherited,
  })
  // As in Keystone: who may not ask hears of it, too, when there is nobody or nothing of that name; not where roles are inherited
  const target = async (request: ApiRequest) => {
    const granted = of(request)
    if (!inherited) await findGranted(context, granted, request.method === 'DELETE')
    return Object.fromEntries(
      [granted.actor, granted.target].flatMap(({ kind, id }) => [
        [`${kind}_id`, id],
        [`target.${kind}.id`, id],
      ]),
    )
  }
  return [
    {
      method: 'GET',
      path: base + end,
      doc: `Roles of a ${actor} ${what}`,
      policy: 'identity:list_grants',
      target,
      response: listOf('role'),
      handler: async (request) => collection(request, 'roles', filled(request), await grantsOf(context, of(request)), roleView),
    },
    {
      method: 'PUT',
      path: `${base}/:role_id${end}`,
      doc: `Give a ${actor} a role ${what}`,
      policy: 'identity:create_grant',
      target,
      status: 204,
      response: 'nothing',
      handler: (request) => grant(context, of(request)),
    },
    {
      method: 'DELETE',
      path: `${base}/:role_id${end}`,
      doc: `Take a role from a ${actor} ${what}`,
      policy: 'identity:revoke_grant',
      target,
      status: 204,
      response: 'nothing',
      handler: (request) => ungrant(context, of(request)),
    },
    {
      method: 'GET',
      path: `${base}/:role_id${end}`,
      doc: `Whether a ${actor} has a role ${what}`,
      policy: 'identity:check_grant',
      target,
      status: 204,
      response: 'nothing',
      async handler(request) {
        if (!(await hasGrant(context, of(request))))
          throw notFound(`Could not find role assignment with role: ${request.params.role_id}, user or group: ${request.params.actor_id}.`)
      },
    },
  ]
}

function assignments(context: IdentityContext): Route {
  const domainOf = (one: { domain_id: string | null } | undefined, names: (id: string) => string | null) =>
    one?.domain_id ? { domain: { id: one.domain_id, name: names(one.domain_id) } } : {}
  return {
    method: 'GET',
    path: '/role_assignments',
    doc: 'List role assignments',
    policy: 'identity:list_role_assignments',
    response: AssignmentList,
    query: Type.Object({
      'user.id': Text,
      'group.id': Text,
      'role.id': Text,
      'scope.project.id': Text,
      'scope.domain.id': Text,
      'scope.system': Text,
      effective: Text,
      include_names: Text,
      include_subtree: Text,
    }),
    async handler(request) {
      const set = (name: string) => name in request.query && !['0', 'false', 'False'].includes(request.query[name])
      const [named, effective] = [set('include_names'), set('effective')]
      if (effective && request.query['group.id'])
        throw badRequest('Combining effective and group filter will always result in an empty list.')
      const rows = await listAssignments(context, { ...request.query, effective })
      const show = (row: (typeof rows)[number]) => ({
        role: { id: row.role_id, ...(named ? { name: row.role?.name } : {}) },
        [row.actor_kind]: { id: row.actor_id, ...(named ? { name: row.actor?.name, ...domainOf(row.actor, row.nameOf) } : {}) },
        scope:
          row.target_kind === 'system'
            ? { system: { all: true } }
            : {
                [row.target_kind]: { id: row.target_id, ...(named ? { name: row.target?.name, ...domainOf(row.target, row.nameOf) } : {}) },
                ...(row.inherited ? { 'OS-INHERIT:inherited_to': 'projects' } : {}),
              },
        links: linksOf(request, row),
      })
      return { role_assignments: rows.map(show), links: { next: null, self: request.link('/role_assignments'), previous: null } }
    },
  }
}

/** To what was given, and by which ways this comes of it. */
function linksOf(request: ApiRequest, { actor_id, role_id, given, priorId }: Effect) {
  const place = given.target_kind === 'system' ? 'system' : `${given.target_kind}s/${given.target_id}`
  const [before, after] = given.inherited ? ['/OS-INHERIT', '/inherited_to_projects'] : ['', '']
  return {
    assignment: request.link(`${before}/${place}/${given.actor_kind}s/${given.actor_id}/roles/${given.role_id}${after}`),
    ...(given.actor_kind === 'group' && actor_id !== given.actor_id
      ? { membership: request.link(`/groups/${given.actor_id}/users/${actor_id}`) }
      : {}),
    ...(priorId ? { prior_role: request.link(`/prior_role/${priorId}/implies/${role_id}`) } : {}),
  }
}
