import { Reply, type Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { changeMembers } from '../app/group-members.ts'
import { createGroups, deleteGroup, ensureDefaultGroups, groupNoun, updateGroup } from '../app/security-groups.ts'
import { createRules, deleteRule, ruleNoun } from '../app/security-rules.ts'
import { resource } from './resource.ts'
import { bodies, MembersBody } from './schemas.ts'
import { seen } from './seen.ts'
import { groupView, ruleView } from './views.ts'

export const securityGroupRoutes = (context: NetworkContext): Route[] => [
  ...resource({
    context,
    noun: groupNoun,
    path: 'security-groups',
    view: groupView,
    schema: bodies.security_group,
    before: (viewer) => ensureDefaultGroups(context, [viewer.projectId]),
    create: (viewer, documents) => createGroups(context, viewer, documents),
    update: (_viewer, group, document) => updateGroup(context, group, document),
    remove: (viewer, group) => deleteGroup(context, viewer, group),
  }),
  ...(['add', 'remove'] as const).map(
    (change): Route => ({
      method: 'PUT',
      path: `/security-groups/:id/${change}_ports`,
      doc: change === 'add' ? 'Put many ports into a security group at once' : 'Take many ports out of a security group at once',
      policy: `yun_${change}_ports`,
      body: MembersBody,
      response: 'nothing',
      async handler(request) {
        await changeMembers(context, await seen(context, groupNoun, request), request.body.port_ids, change)
        return new Reply(undefined, { status: 204 })
      },
    }),
  ),
  ...resource({
    context,
    noun: ruleNoun,
    path: 'security-group-rules',
    view: ruleView,
    schema: bodies.security_group_rule,
    create: (viewer, documents) => createRules(context, viewer, documents),
    remove: (_viewer, rule) => deleteRule(context, rule),
  }),
]
