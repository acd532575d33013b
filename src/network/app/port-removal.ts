import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { insertRow, updateRow } from '../db/rows.ts'
import type { NoticeRow, PortRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import type { Work } from './context.ts'

/** The port's row and all that hangs on it; floating addresses that led to it lead nowhere. */
export async function removePortRow(work: Work, port: PortRow): Promise<void> {
  const { trx, context, after } = work
  const floating = await trx.selectFrom('floatingips').selectAll().where('port_id', '=', port.id).execute()
  for (const { id, router_id } of floating) {
    await updateRow(trx, 'floatingips', id, { port_id: null, fixed_ip_address: null, router_id: null, status: 'DOWN', associated_at: null })
    if (router_id) after.push(() => context.bus.publish(events.routerChanged, { routerId: router_id }))
  }
  const members = await membersOfSameGroups(work, port.id)
  await trx.deleteFrom('allocations').where('port_id', '=', port.id).execute()
  await trx.deleteFrom('port_security_groups').where('port_id', '=', port.id).execute()
  await trx.deleteFrom('ports').where('id', '=', port.id).execute()
  if (isServers(port)) await notice(work, port, 'network-vif-deleted', null)
  after.push(() => context.bus.publish(events.portChanged, { portId: port.id, networkId: port.network_id }))
  if (members.length > 0) after.push(() => context.bus.publish(events.securityGroupChanged, { portIds: members }))
}

export const isServers = (port: Pick<PortRow, 'device_owner' | 'device_id'>) =>
  port.device_owner.startsWith('compute:') && port.device_id !== ''

/** Word for compute, kept with the change it speaks of and delivered after the commit. */
export async function notice(work: Work, port: PortRow, name: string, status: string | null): Promise<void> {
  const row: NoticeRow = { id: randomUUID(), name, server_uuid: port.device_id, tag: port.id, status, created_at: timestamp() }
  await insertRow(work.trx, 'notices', row)
  work.after.push(() => work.context.wakeNotices())
}

/** Other ports whose rules name a group that this port is in: their filters list its addresses. */
export async function membersOfSameGroups({ trx }: Work, portId: string): Promise<string[]> {
  const rows = await trx
    .selectFrom('port_security_groups as mine')
    .innerJoin('security_group_rules as rule', 'rule.remote_group_id', 'mine.security_group_id')
    .innerJoin('port_security_groups as theirs', 'theirs.security_group_id', 'rule.security_group_id')
    .select('theirs.port_id')
    .distinct()
    .where('mine.port_id', '=', portId)
    .where('theirs.port_id', '!=', portId)
    .execute()
  return rows.map((row) => row.port_id)
}
