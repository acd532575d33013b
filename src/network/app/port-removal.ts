import { randomUUID } from 'node:crypto'
import { timestamp } from '../../kernel/db/columns.ts'
import { deleteRows, insertRow, rowsWhere, updateRows } from '../db/rows.ts'
import type { NoticeRow, PortRow } from '../db/tables.ts'
import { events } from '../rpc.ts'
import type { NetworkContext, Work } from './context.ts'

export const NOWHERE = { port_id: null, fixed_ip_address: null, router_id: null, status: 'DOWN' as const, associated_at: null }

/** The ports' rows and all that hangs on them; floating addresses that led to them lead nowhere. */
export async function removePortRows(work: Work, ports: PortRow[]): Promise<void> {
  if (ports.length === 0) return
  const { trx, context, after } = work
  const ids = ports.map((port) => port.id)
  const floating = await rowsWhere(trx, 'floatingips', 'port_id', ids)
  // one that is led elsewhere at this moment stays there
  if (floating.length > 0) await updateRows(trx, 'floatingips', ids, NOWHERE, 'port_id')
  for (const routerId of new Set(floating.flatMap((one) => one.router_id ?? [])))
    after.push(() => context.bus.publish(events.routerChanged, { routerId }))
  const groups = await rowsWhere(trx, 'port_security_groups', 'port_id', ids)
  tellMembersChanged(work, [...new Set(groups.map((row) => row.security_group_id))])
  await deleteRows(trx, 'allocations', 'port_id', ids)
  if (groups.length > 0) await deleteRows(trx, 'port_security_groups', 'port_id', ids)
  await deleteRows(trx, 'ports', 'id', ids)
  await notice(work, ports.filter(isServers), 'network-vif-deleted', null)
  for (const port of ports) after.push(() => tellPortChanged(context, port))
}

/** For the host that has the port, and for those that serve its network or have tunnels of it. */
export function tellPortChanged({ bus }: NetworkContext, { id, network_id }: Pick<PortRow, 'id' | 'network_id'>): void {
  bus.publish(events.portChanged, { portId: id, networkId: network_id }, [id, network_id])
}

export const isServers = (port: Pick<PortRow, 'device_owner' | 'device_id'>) =>
  port.device_owner.startsWith('compute:') && port.device_id !== ''

/** Word of servers' ports for compute, kept with the change it speaks of and delivered after the commit. */
export async function notice(work: Work, ports: PortRow[], name: string, status: string | null): Promise<void> {
  if (ports.length === 0) return
  const about = { name, status, created_at: timestamp() }
  const rows = ports.map((port): NoticeRow => ({ id: randomUUID(), server_uuid: port.device_id, tag: port.id, ...about }))
  await insertRow(work.trx, 'notices', rows)
  work.after.push(() => work.context.wakeNotices())
}

/** Agents look again at who is in these groups, if rules of theirs name them. `joined`: they need not, these addresses came and none went. */
export function tellMembersChanged({ after, context }: Work, groupIds: string[], joined?: string[]): void {
  if (groupIds.length > 0) after.push(() => context.groupNews.changed(groupIds, joined))
}
