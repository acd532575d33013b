import { timestamp } from '../../kernel/db/columns.ts'
import { insertRow, rowsWhere } from '../db/rows.ts'
import { mutate, type NetworkContext } from './context.ts'
import { tellPort } from './new-ports.ts'
import { missing } from './noun.ts'
import { loadPorts, portNoun } from './port.ts'
import { checkSecurity } from './port-rules.ts'
import { groupNoun, type SecurityGroup } from './security-groups.ts'

/** Puts all of these ports into a group, or takes them out of it: those that are in it or not already stay. All or none. @throws Fault 400, 404 */
export async function changeMembers(
  context: NetworkContext,
  { id: groupId }: SecurityGroup,
  portIds: string[],
  change: 'add' | 'remove',
): Promise<void> {
  const seen = await loadPorts(context.database.db, portIds)
  const locks = seen.flatMap((port) => [`network:${port.network_id}`, `port:${port.id}`])
  await mutate(context, [`group:${groupId}`, ...locks], async (work) => {
    const { trx } = work
    if ((await rowsWhere(trx, 'security_groups', 'id', [groupId])).length === 0) throw missing(groupNoun, groupId)
    const ports = await loadPorts(trx, portIds)
    const lacking = portIds.find((id) => !ports.some((port) => port.id === id))
    if (lacking !== undefined) throw missing(portNoun, lacking)
    const others = ports.filter((port) => port.securityGroups.includes(groupId) === (change === 'remove'))
    if (others.length === 0) return
    const ids = others.map((port) => port.id)
    if (change === 'add') {
      for (const port of others) checkSecurity(port, [...port.securityGroups, groupId])
      await insertRow(
        trx,
        'port_security_groups',
        ids.map((port_id) => ({ port_id, security_group_id: groupId })),
      )
    } else await trx.deleteFrom('port_security_groups').where('security_group_id', '=', groupId).where('port_id', 'in', ids).execute()
    await trx
      .updateTable('ports')
      .set((eb) => ({ revision: eb('revision', '+', 1), updated_at: timestamp() }))
      .where('id', 'in', ids)
      .execute()
    for (const port of others) tellPort(work, port, [...new Set([...port.securityGroups, groupId])])
  })
}
