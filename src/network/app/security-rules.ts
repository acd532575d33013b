import { createHash } from 'node:crypto'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import { deleteRow, insertRow, rowsWhere } from '../db/rows.ts'
import type { SecurityRuleRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import { type Prefix, prefixOf } from './addresses.ts'
import { mutate, type NetworkContext, type Viewer, type Work } from './context.ts'
import { missing, type Noun, owned, refuseKnownIds, STANDARD } from './noun.ts'
import { checkQuota, quotaLock } from './quotas.ts'
import { standard } from './standard.ts'

export type SecurityRule = SecurityRuleRow

export const ruleNoun: Noun<'security_group_rules', SecurityRule> = {
  name: 'security_group_rule',
  plural: 'security_group_rules',
  type: 'Security group rule',
  table: 'security_group_rules',
  columns: {
    ...STANDARD,
    security_group_id: ['security_group_id', 'text'],
    direction: ['direction', 'text'],
    ethertype: ['ethertype', 'text'],
    protocol: ['protocol', 'text'],
    port_range_min: ['port_range_min', 'number'],
    port_range_max: ['port_range_max', 'number'],
    remote_ip_prefix: ['remote_ip_prefix', 'text'],
    remote_group_id: ['remote_group_id', 'text'],
  },
  visible: owned,
  dress: async (_db, rows) => rows,
}

export interface AskedRule {
  id?: string
  description?: string | null
  project_id?: string
  security_group_id: string
  direction: 'ingress' | 'egress'
  ethertype?: string | null
  protocol?: string | number | null
  port_range_min?: number | null
  port_range_max?: number | null
  remote_ip_prefix?: string | null
  remote_group_id?: string | null
}

const NUMBERS: Record<string, number> = {
  ah: 51,
  dccp: 33,
  egp: 8,
  esp: 50,
  gre: 47,
  icmp: 1,
  icmpv6: 58,
  igmp: 2,
  ipip: 4,
  'ipv6-encap': 41,
  'ipv6-frag': 44,
  'ipv6-icmp': 58,
  'ipv6-nonxt': 59,
  'ipv6-opts': 60,
  'ipv6-route': 43,
  ospf: 89,
  pgm: 113,
  rsvp: 46,
  sctp: 132,
  tcp: 6,
  udp: 17,
  udplite: 136,
  vrrp: 112,
}
const WITH_PORTS = new Set([6, 17, 33, 132, 136])
const ICMP = new Set([1, 58])

const bad = (message: string, code: string) => badRequest(message, code)
const numberOf = (protocol: string) => (Object.hasOwn(NUMBERS, protocol) ? NUMBERS[protocol]! : Number(protocol))

function protocolOf(given: string | number | null | undefined, ethertype: string): string | null {
  if (given === null || given === undefined || given === '' || given === 'any') return null
  const said = String(given).toLowerCase()
  // one spelling of a number: a program further down may take 010 for eight, or for a name
  const protocol = /^\d+$/.test(said) ? String(Number(said)) : said
  if (/^\d+$/.test(protocol) ? Number(protocol) > 255 : !Object.hasOwn(NUMBERS, protocol))
    throw bad(
      `Security group rule protocol ${given} not supported. Only protocol values [None, ${Object.keys(NUMBERS).join(', ')}] and integer representations [0 to 255] are supported.`,
      'SecurityGroupRuleInvalidProtocol',
    )
  return ethertype === 'IPv6' && ['icmp', 'icmpv6'].includes(protocol) ? 'ipv6-icmp' : protocol
}

function checkPorts(protocol: string | null, min: number | null, max: number | null): void {
  for (const port of [min, max])
    if (port !== null && (port < 0 || port > 65_535)) throw bad(`Invalid value for port ${port}`, 'SecurityGroupInvalidPortValue')
  if (min === null && max === null) return
  if (protocol === null) throw bad('Must also specify protocol if port range is given.', 'SecurityGroupProtocolRequiredWithPorts')
  const number = numberOf(protocol)
  if (ICMP.has(number)) {
    for (const [field, value] of [
      ['port_range_min', min],
      ['port_range_max', max],
    ] as const)
      if (value !== null && (value < 0 || value > 255))
        throw bad(
          `Invalid value for ICMP ${field === 'port_range_min' ? 'type' : 'code'} (${field}) ${value}. It must be 0 to 255.`,
          'SecurityGroupInvalidIcmpValue',
        )
    if (min === null)
      throw bad(`ICMP code (port-range-max) ${max} is provided but ICMP type (port-range-min) is missing.`, 'SecurityGroupMissingIcmpType')
    return
  }
  if (!WITH_PORTS.has(number)) throw bad(`Ports cannot be given for protocol ${protocol}.`, 'SecurityGroupInvalidProtocolForPort')
  if (min === null || max === null || min > max || min < 1 || max > 65_535)
    throw bad('For TCP/UDP protocols, port_range_min must be <= port_range_max, both from 1 to 65535.', 'SecurityGroupInvalidPortRange')
}

/** With the bits of the host that were given, as it is shown; an address alone is a prefix of one. */
const asGiven = (text: string, prefix: Prefix) => (text.includes('/') ? text : `${text}/${prefix.length}`)

/** @throws Fault 400 saying what does not fit together */
export function ruleRow(projectId: string, asked: AskedRule): SecurityRuleRow {
  const ethertype = asked.ethertype?.toLowerCase() === 'ipv6' ? 'IPv6' : 'IPv4'
  const protocol = protocolOf(asked.protocol, ethertype)
  const [min, max] = [asked.port_range_min ?? null, asked.port_range_max ?? null]
  checkPorts(protocol, min, max)
  if (asked.remote_ip_prefix && asked.remote_group_id)
    throw bad('Only remote_ip_prefix or remote_group_id may be provided.', 'SecurityGroupRemoteGroupAndRemoteIpPrefix')
  const prefix = asked.remote_ip_prefix ? prefixOf(asked.remote_ip_prefix, 'remote_ip_prefix') : null
  if (prefix && (prefix.version === 6) !== (ethertype === 'IPv6'))
    throw bad(`Conflicting value ethertype ${ethertype} for CIDR ${prefix.text}`, 'SecurityGroupRuleParameterConflict')
  const remote = prefix?.text ?? null
  const group = asked.remote_group_id ?? null
  const essence = [
    asked.direction,
    ethertype,
    protocol === null ? null : numberOf(protocol),
    min,
    max,
    remote === '0.0.0.0/0' || remote === '::/0' ? null : remote,
    group,
  ]
  return {
    ...standard(asked, projectId),
    security_group_id: asked.security_group_id,
    direction: asked.direction,
    ethertype,
    protocol,
    port_range_min: min,
    port_range_max: max,
    remote_ip_prefix: prefix ? asGiven(asked.remote_ip_prefix!, prefix) : null,
    remote_group_id: group,
    fingerprint: createHash('sha256').update(JSON.stringify(essence)).digest('hex'),
  }
}

/** All or none. @throws Fault 400, 404 for a group that the viewer does not see, 409 for a rule that is there */
export async function createRules(context: NetworkContext, viewer: Viewer, asked: AskedRule[]): Promise<SecurityRule[]> {
  const projects = asked.map((one) => one.project_id ?? viewer.projectId)
  const locks = [
    ...projects.map((project) => quotaLock('security_group_rule', project)),
    ...asked.flatMap((one) => [`group:${one.security_group_id}`, ...(one.remote_group_id ? [`group:${one.remote_group_id}`] : [])]),
  ]
  return await mutate(context, locks, async (work) => {
    await checkQuota(work, 'security_group_rule', projects)
    await refuseKnownIds(work.trx, ruleNoun as Noun, asked)
    await checkGroups(
      work,
      viewer,
      asked.flatMap((one) => [one.security_group_id, one.remote_group_id ?? one.security_group_id]),
    )
    const rows = asked.map((one, i) => ruleRow(projects[i]!, one))
    await refuseKnown(work, rows)
    await insertRow(work.trx, 'security_group_rules', rows)
    await tellPortsOf(
      work,
      asked.map((one) => one.security_group_id),
    )
    return rows
  })
}

async function checkGroups({ trx }: Work, viewer: Viewer, ids: string[]): Promise<void> {
  const groups = await rowsWhere(trx, 'security_groups', 'id', ids)
  const known = new Set(groups.filter((group) => viewer.isAdmin || group.project_id === viewer.projectId).map((group) => group.id))
  for (const id of ids) if (!known.has(id)) throw missing({ type: 'Security group' }, id)
}

async function refuseKnown({ trx }: Work, rows: SecurityRuleRow[]): Promise<void> {
  const key = (row: Pick<SecurityRuleRow, 'security_group_id' | 'fingerprint'>) => `${row.security_group_id} ${row.fingerprint}`
  const there = await trx
    .selectFrom('security_group_rules')
    .select(['id', 'security_group_id', 'fingerprint'])
    .where('security_group_id', 'in', [...new Set(rows.map((row) => row.security_group_id))])
    .where('fingerprint', 'in', [...new Set(rows.map((row) => row.fingerprint))])
    .execute()
  const known = new Map(there.map((row) => [key(row), row.id]))
  for (const row of rows) {
    const same = known.get(key(row))
    if (same) throw conflict(`Security group rule already exists. Rule id is ${same}.`, 'SecurityGroupRuleExists')
    known.set(key(row), row.id)
  }
}

export async function deleteRule(context: NetworkContext, rule: SecurityRule): Promise<void> {
  await mutate(context, [`group:${rule.security_group_id}`], async (work) => {
    if (!(await deleteRow(work.trx, 'security_group_rules', rule.id))) throw missing(ruleNoun, rule.id)
    await tellPortsOf(work, [rule.security_group_id])
  })
}

/** Agents look again at the filters of the ports that have one of these groups. */
export async function tellPortsOf({ trx, after, context }: Work, groupIds: string[]): Promise<void> {
  const rows = await rowsWhere(trx, 'port_security_groups', 'security_group_id', groupIds)
  const portIds = [...new Set(rows.map((row) => row.port_id))]
  if (portIds.length > 0) after.push(() => context.bus.publish(events.securityGroupChanged, { portIds }))
}
