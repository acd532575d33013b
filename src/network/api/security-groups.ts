import type { Route } from '../../kernel/http/route.ts'
import type { NetworkContext } from '../app/context.ts'
import { createGroups, deleteGroup, ensureDefaultGroups, groupNoun, updateGroup } from '../app/security-groups.ts'
import { createRules, deleteRule, ruleNoun } from '../app/security-rules.ts'
import { resource } from './resource.ts'
import { bodies } from './schemas.ts'
import { groupView, ruleView } from './views.ts'

export const securityGroupRoutes = (context: NetworkContext): Route[] => [
  ...resource({
    context,
    noun: groupNoun,
    path: 'security-groups',
    view: groupView,
    schema: bodies.security_group,
    fixed: ['security_group_rules'],
    before: (viewer) => ensureDefaultGroups(context, [viewer.projectId]),
    create: (viewer, documents) => createGroups(context, viewer, documents),
    update: (_viewer, group, document) => updateGroup(context, group, document),
    remove: (viewer, group) => deleteGroup(context, viewer, group),
  }),
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
