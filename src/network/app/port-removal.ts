import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { insertRow, rowsWhere, updateRow } from '../db/rows.ts'
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
  tellMembersChanged(work, await groupsOf(work, port.id))
  await trx.deleteFrom('allocations').where('port_id', '=', port.id).execute()
  await trx.deleteFrom('port_security_groups').where('port_id', '=', port.id).execute()
  await trx.deleteFrom('ports').where('id', '=', port.id).execute()
  if (isServers(port)) await notice(work, port, 'network-vif-deleted', null)
  after.push(() => context.bus.publish(events.portChanged, { portId: port.id, networkId: port.network_id }))
}

export const isServers = (port: Pick<PortRow, 'device_owner' | 'device_id'>) =>
  port.device_owner.startsWith('compute:') && port.device_id !== ''

/** Word for compute, kept with the change it speaks of and delivered after the commit. */
export async function notice(work: Work, port: PortRow, name: string, status: string | null): Promise<void> {
  const row: NoticeRow = { id: randomUUID(), name, server_uuid: port.device_id, tag: port.id, status, created_at: timestamp() }
  await insertRow(work.trx, 'notices', row)
  work.after.push(() => work.context.wakeNotices())
}

/** Agents look again at who is in these groups, if rules of theirs name them. `joined`: they need not, these addresses came and none went. */
export function tellMembersChanged({ after, context }: Work, groupIds: string[], joined?: string[]): void {
  if (groupIds.length > 0) after.push(() => context.bus.publish(events.groupMembersChanged, { groupIds, joined }))
}

export const groupsOf = async ({ trx }: Work, portId: string): Promise<string[]> =>
  (await rowsWhere(trx, 'port_security_groups', 'port_id', [portId])).map((row) => row.security_group_id)
