import Type from 'typebox'
import { badRequest, Fault } from '../../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../../kernel/http/route.ts'
import { queryOf } from '../../../kernel/http/schema.ts'
import type { ComputeContext } from '../../app/context.ts'
import { ruleView } from '../../app/older-security-groups.ts'
import { as } from '../../app/wanted-networks.ts'
import { Shown } from '../answers.ts'
import { closed, isTrue, Nullable, open, wholeNumber } from '../common.ts'

const POLICY = 'os_compute_api:os-security-groups:'
const Port = Nullable(Type.Union([Type.Integer(), Type.String({ maxLength: 16 })]))
export const OlderRule = Type.Object(
  {
    id: Type.String(),
    parent_group_id: Type.String(),
    ip_protocol: Nullable(Type.String()),
    from_port: Nullable(Type.Integer()),
    to_port: Nullable(Type.Integer()),
    group: Type.Object({ name: Type.Optional(Type.String()), tenant_id: Type.Optional(Type.String()) }, closed),
    ip_range: Type.Object({ cidr: Type.Optional(Type.String()) }, closed),
  },
  closed,
)
export const OlderGroup = Type.Object(
  { id: Type.String(), name: Type.String(), description: Type.String(), tenant_id: Type.String(), rules: Type.Array(OlderRule) },
  closed,
)
const Text = Type.Union([Type.String({ maxLength: 255 }), Type.Null()])
const more = open('what Nova overlooks here, too')
const NewGroup = Type.Object(
  { security_group: Type.Object({ name: Type.String({ minLength: 1, maxLength: 255 }), description: Type.Optional(Text) }, more) },
  more,
)
const NewRule = Type.Object(
  {
    security_group_rule: Type.Object(
      {
        parent_group_id: Type.String({ format: 'uuid' }),
        ip_protocol: Type.Optional(Nullable(Type.String())),
        from_port: Type.Optional(Port),
        to_port: Type.Optional(Port),
        cidr: Type.Optional(Nullable(Type.String())),
        group_id: Type.Optional(Nullable(Type.String())),
      },
      more,
    ),
  },
  more,
)
const shared = { microversions: { max: '2.35' } }

/** Security groups as compute showed them before 2.36: the network service has them. */
export function olderSecurityGroupRoutes(context: ComputeContext): Route[] {
  const ask = (
    request: ApiRequest,
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
    query?: Record<string, string>,
  ) => context.networks.forward({ method, path, body, query }, as(request.context)).catch(older)
  const named = (request: ApiRequest) => `/security-groups/${encodeURIComponent(request.params.id!)}`
  const rulesOf = (group: any): any[] => group.security_group_rules.filter((rule: any) => rule.direction === 'ingress')
  /** The groups that rules name are asked for at once. */
  const views = async (request: ApiRequest, those: any[]) => {
    const remote = new Set<string>(those.flatMap((group) => rulesOf(group).flatMap((rule) => rule.remote_group_id ?? [])))
    const { networks } = context
    const groups = await networks.portions([...remote], (id) => networks.securityGroups({ id }, as(request.context)))
    return those.map((group) => ({
      id: group.id,
      name: group.name,
      description: group.description,
      tenant_id: group.project_id,
      rules: rulesOf(group).map((rule) => ruleView(rule, groups)),
    }))
  }
  const view = async (request: ApiRequest, group: any) => (await views(request, [group]))[0]
  const one = { response: Shown('security_group', OlderGroup), ...shared }
  return [
    {
      method: 'GET',
      path: '/os-security-groups',
      doc: 'List security groups (the network API does it since 2.36)',
      policy: `${POLICY}get`,
      query: queryOf('all_tenants', 'limit', 'offset'),
      response: Shown('security_groups', Type.Array(OlderGroup)),
      ...shared,
      async handler(request) {
        const all = request.context.isAdmin && isTrue(request.query.all_tenants)
        const whose: Record<string, string> = all ? {} : { project_id: request.context.projectId! }
        const { security_groups } = await ask(request, 'GET', '/security-groups', undefined, whose)
        const from = wholeNumber('offset', request.query.offset) ?? 0
        const page = security_groups.slice(from, from + (wholeNumber('limit', request.query.limit) ?? 1000))
        return { security_groups: await views(request, page) }
      },
    },
    {
      method: 'POST',
      path: '/os-security-groups',
      doc: 'Create a security group (the network API does it since 2.36)',
      policy: `${POLICY}create`,
      body: NewGroup,
      ...one,
      async handler(request) {
        const { name, description } = request.body.security_group
        const made = await ask(request, 'POST', '/security-groups', { security_group: { name, description: description ?? '' } })
        return { security_group: await view(request, made.security_group) }
      },
    },
    {
      method: 'GET',
      path: '/os-security-groups/:id',
      doc: 'Show a security group (the network API does it since 2.36)',
      policy: `${POLICY}show`,
      ...one,
      handler: async (request) => ({ security_group: await view(request, (await ask(request, 'GET', named(request))).security_group) }),
    },
    {
      method: 'PUT',
      path: '/os-security-groups/:id',
      doc: 'Change name and description of a security group (the network API does it since 2.36)',
      policy: `${POLICY}update`,
      body: NewGroup,
      ...one,
      async handler(request) {
        const { name, description } = request.body.security_group
        const body = { security_group: { name, ...(description === undefined || description === null ? {} : { description }) } }
        return { security_group: await view(request, (await ask(request, 'PUT', named(request), body)).security_group) }
      },
    },
    {
      method: 'DELETE',
      path: '/os-security-groups/:id',
      doc: 'Delete a security group (the network API does it since 2.36)',
      policy: `${POLICY}delete`,
      ...shared,
      response: 'nothing',
      async handler(request) {
        await ask(request, 'DELETE', named(request))
        return new Reply(undefined, { status: 202 })
      },
    },
    {
      method: 'POST',
      path: '/os-security-group-rules',
      doc: 'Create a rule of a security group (the network API does it since 2.36)',
      policy: `${POLICY}rule:create`,
      body: NewRule,
      response: Shown('security_group_rule', OlderRule),
      ...shared,
      async handler(request) {
        const asked = request.body.security_group_rule
        const made = await ask(request, 'POST', '/security-group-rules', { security_group_rule: networkRule(asked) })
        const rule = made.security_group_rule
        const groups = rule.remote_group_id ? await context.networks.securityGroups({ id: rule.remote_group_id }, as(request.context)) : []
        return { security_group_rule: ruleView(rule, groups) }
      },
    },
    {
      method: 'DELETE',
      path: '/os-security-group-rules/:id',
      doc: 'Delete a rule of a security group (the network API does it since 2.36)',
      policy: `${POLICY}rule:delete`,
      ...shared,
      response: 'nothing',
      async handler(request) {
        await ask(request, 'DELETE', `/security-group-rules/${encodeURIComponent(request.params.id!)}`)
        return new Reply(undefined, { status: 202 })
      },
    },
  ]
}

/** The same rule in the network service's words. @throws Fault 400 */
function networkRule(asked: any) {
  const port = (value: unknown) => {
    if (value === undefined || value === null) return null
    if (!/^-?\d+$/.test(String(value))) throw badRequest(`Invalid port ${value}: a whole number is needed.`)
    return Number(value) === -1 ? null : Number(value)
  }
  const protocol = asked.ip_protocol?.toLowerCase() ?? null
  if (protocol === null && !asked.group_id) throw badRequest('A protocol is needed: TCP, UDP or ICMP.')
  const cidr = asked.group_id ? null : (asked.cidr ?? '0.0.0.0/0')
  return {
    direction: 'ingress',
    ethertype: cidr?.includes(':') ? 'IPv6' : 'IPv4',
    security_group_id: asked.parent_group_id,
    protocol,
    port_range_min: port(asked.from_port),
    port_range_max: port(asked.to_port),
    remote_ip_prefix: cidr,
    remote_group_id: asked.group_id ?? null,
  }
}

/** Compute knew no 409 for groups in use or names that are taken, and 403 for what is over quota. */
function older(error: unknown): never {
  if (error instanceof Fault && error.status === 409) throw new Fault(/quota/i.test(error.message) ? 403 : 400, error.code, error.message)
  throw error
}
