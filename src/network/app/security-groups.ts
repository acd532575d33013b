import { conflict } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { deleteRow, insertRow, rowsWhere, updateRow } from '../db/rows.ts'
import type { SecurityGroupRow, SecurityRuleRow } from '../db/tables.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { missing, type Noun, owned, refuseKnownIds, STANDARD } from './noun.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { ruleRow, tellPortsOf } from './security-rules.ts'
import { flags, named, standard } from './standard.ts'

export interface SecurityGroup extends SecurityGroupRow {
  rules: SecurityRuleRow[]
}

export const groupNoun: Noun<'security_groups', SecurityGroup> = {
  name: 'security_group',
  plural: 'security_groups',
  type: 'Security group',
  table: 'security_groups',
  columns: { ...STANDARD, stateful: ['stateful', 'flag'] },
  visible: owned,
  async dress(db, rows) {
    const rules = await rowsWhere(
      db,
      'security_group_rules',
      'security_group_id',
      rows.map((row) => row.id),
    )
    const byGroup = Map.groupBy(
      rules.sort((a, b) => a.created_at.localeCompare(b.created_at) || a.fingerprint.localeCompare(b.fingerprint)),
      (rule) => rule.security_group_id,
    )
    return rows.map((row) => ({ ...row, rules: byGroup.get(row.id) ?? [] }))
  },
}

export interface AskedGroup {
  id?: string
  name?: string
  description?: string | null
  project_id?: string
  tags?: string[]
  stateful?: boolean
}

const FAMILIES = ['IPv4', 'IPv6'] as const

/** The group that ports get when nothing is said: nobody from outside it comes in. Made for a project when it is first looked for. */
export async function ensureDefaultGroups(context: NetworkContext, projectIds: string[]): Promise<void> {
  const lacking = async (db: Handle) => {
    const owners = new Set((await rowsWhere(db, 'security_groups', 'default_of', projectIds)).map((group) => group.default_of))
    return [...new Set(projectIds)].filter((projectId) => projectId !== '' && !owners.has(projectId))
  }
  const seen = await lacking(context.database.db)
  if (seen.length === 0) return
  await mutate(context, seen.map(defaultGroupLock), async (work) => await addDefaultGroups(work, await lacking(work.trx)))
}

/** A project's default group does not come or go meanwhile. */
export const defaultGroupLock = (projectId: string) => `default-group:${projectId}`

/** For projects that have none. Behind their {@link defaultGroupLock}s. */
export async function addDefaultGroups(work: Work, projectIds: string[]): Promise<void> {
  const groups = projectIds.map((projectId) => {
    const group = newGroup(projectId, { name: 'default', description: 'Default security group' }, projectId)
    const among = { security_group_id: group.id, direction: 'ingress', remote_group_id: group.id } as const
    return { ...group, rules: [...group.rules, ...FAMILIES.map((ethertype) => ruleRow(projectId, { ...among, ethertype }))] }
  })
  await insertGroups(work, groups)
}

function newGroup(projectId: string, asked: AskedGroup, defaultOf: string | null): SecurityGroup {
  const row: SecurityGroupRow = { ...standard(asked, projectId), stateful: Number(asked.stateful ?? true), default_of: defaultOf }
  const rules = FAMILIES.map((ethertype) => ruleRow(projectId, { security_group_id: row.id, direction: 'egress', ethertype }))
  return { ...row, rules }
}

async function insertGroups({ trx }: Work, groups: SecurityGroup[]): Promise<void> {
  await insertRow(
    trx,
    'security_groups',
    groups.map(({ rules, ...row }) => row),
  )
  await insertRow(
    trx,
    'security_group_rules',
    groups.flatMap((group) => group.rules),
  )
}

export async function createGroups(context: NetworkContext, viewer: Viewer, asked: AskedGroup[]): Promise<SecurityGroup[]> {
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  await ensureDefaultGroups(context, projects)
  const locks = projects.flatMap((project) => [quotaLock('security_group', project), quotaLock('security_group_rule', project)])
  return await mutate(context, locks, async (work) => {
    await checkQuota(work, 'security_group', projects)
    await refuseKnownIds(work.trx, groupNoun as Noun, asked)
    await checkQuota(
      work,
      'security_group_rule',
      projects.flatMap((project) => FAMILIES.map(() => project)),
    )
    if (asked.some((one) => one.name === 'default'))
      throw conflict('Default security group already exists.', 'SecurityGroupDefaultAlreadyExists')
    const groups = asked.map((one, i) => newGroup(projects[i]!, one, null))
    await insertGroups(work, groups)
    return groups
  })
}

export async function updateGroup(context: NetworkContext, group: SecurityGroup, asked: AskedGroup): Promise<SecurityGroup> {
  if (!group.default_of && asked.name === 'default')
    throw conflict('Default security group already exists.', 'SecurityGroupDefaultAlreadyExists')
  if (group.default_of && asked.name !== undefined && asked.name !== 'default')
    throw conflict('Updating default security group not allowed.', 'SecurityGroupCannotUpdateDefault')
  return await mutate(context, [`group:${group.id}`], async ({ trx }) => {
    if (!(await updateRow(trx, 'security_groups', group.id, { ...named(asked), ...flags(asked, { stateful: 'stateful' }) })))
      throw missing(groupNoun, group.id)
    return (await groupNoun.dress(trx, await rowsWhere(trx, 'security_groups', 'id', [group.id]), context))[0]!
  })
}

/** @throws Fault 409 when ports have it, or it is the project's default */
export async function deleteGroup(context: NetworkContext, viewer: Viewer, group: SecurityGroup): Promise<void> {
  if (group.default_of && !viewer.isAdmin)
    throw conflict('Insufficient rights for removing default security group.', 'SecurityGroupCannotRemoveDefault')
  const locks = [`group:${group.id}`, ...(group.default_of ? [defaultGroupLock(group.default_of)] : [])]
  await mutate(context, locks, async (work) => {
    const { trx } = work
    const user = await trx.selectFrom('port_security_groups').select('port_id').where('security_group_id', '=', group.id).executeTakeFirst()
    if (user) throw conflict(`Security Group ${group.id} in use.`, 'SecurityGroupInUse')
    const naming = await rowsWhere(trx, 'security_group_rules', 'remote_group_id', [group.id])
    const others = naming.map((rule) => rule.security_group_id).filter((id) => id !== group.id)
    await tellPortsOf(work, others)
    await trx.deleteFrom('security_group_rules').where('remote_group_id', '=', group.id).execute()
    await trx.deleteFrom('security_group_rules').where('security_group_id', '=', group.id).execute()
    if (!(await deleteRow(trx, 'security_groups', group.id))) throw missing(groupNoun, group.id)
  })
}

/** "default: 4 rules, egress any, ingress from itself": for a user to read. */
export function describeGroup(group: SecurityGroup): string {
  const { rules } = group
  const egress = rules.filter((rule) => rule.direction === 'egress')
  const ingress = rules.filter((rule) => rule.direction === 'ingress')
  const what = (rule: SecurityRuleRow) =>
    rule.protocol
      ? `${rule.protocol}${rule.port_range_min === null ? '' : ` ${rule.port_range_min}`}`
      : rule.remote_group_id
        ? 'from itself'
        : 'any'
  const any = egress.some((rule) => !rule.protocol && !rule.remote_ip_prefix && !rule.remote_group_id)
  const out = any ? 'egress any' : `egress ${egress.length} rules`
  const allowed = [...new Set(ingress.map(what))]
  return `${group.name}: ${rules.length} rules, ${out}, ingress ${allowed.length > 0 ? allowed.slice(0, 4).join(', ') : 'nothing'}`
}
