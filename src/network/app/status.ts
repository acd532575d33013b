import { rowsWhere, updateRows } from '../db/rows.ts'
import type { PortRow } from '../db/tables.ts'
import type { Work } from './context.ts'
import { isServers, notice } from './port-removal.ts'

/** What two reports say at once about one port is put together one after the other. */
export const STATUS_LOCK = 'port-status'

/** A port is ACTIVE when the switch carries it and the address service of its subnets, if they have one, knows it; compute hears when that changes. `rows`: as they are by now. */
export async function settleStatus(work: Work, rows: PortRow[]): Promise<void> {
  const { trx } = work
  const ports = rows.filter((port) => port.status !== 'N/A')
  const ips = await rowsWhere(
    trx,
    'allocations',
    'port_id',
    ports.map((port) => port.id),
  )
  const subnets = await rowsWhere(
    trx,
    'subnets',
    'id',
    ips.map((ip) => ip.subnet_id),
  )
  const withDhcp = new Set(subnets.filter((subnet) => subnet.enable_dhcp === 1).map((subnet) => subnet.id))
  const changed: Record<'ACTIVE' | 'DOWN', PortRow[]> = { ACTIVE: [], DOWN: [] }
  for (const port of ports) {
    const waits = port.dhcp_ready === 0 && needsDhcp(port) && ips.some((ip) => ip.port_id === port.id && withDhcp.has(ip.subnet_id))
    const status = port.wired === 1 && port.admin_state_up === 1 && !waits ? 'ACTIVE' : 'DOWN'
    if (status !== port.status) changed[status].push(port)
  }
  for (const status of ['ACTIVE', 'DOWN'] as const)
    await updateRows(
      trx,
      'ports',
      changed[status].map((port) => port.id),
      { status },
    )
  await notice(work, changed.ACTIVE.filter(isServers), 'network-vif-plugged', 'completed')
  await notice(work, changed.DOWN.filter(isServers), 'network-vif-unplugged', null)
}

const needsDhcp = (port: PortRow) => !port.device_owner.startsWith('network:')
