import type { Handle } from '../db/handle.ts'
import { rowsWhere } from '../db/rows.ts'
import type { PortRow } from '../db/tables.ts'
import type { FixedIp } from '../rpc.ts'
import { type Noun, STANDARD } from './noun.ts'

export interface Port extends PortRow {
  fixedIps: FixedIp[]
  securityGroups: string[]
  dnsDomain: string
}

export interface AddressPair {
  ip_address: string
  mac_address?: string
}
export interface DhcpOption {
  opt_name: string
  opt_value: string | null
  ip_version?: 4 | 6
}

export const portNoun: Noun<'ports', Port> = {
  name: 'port',
  plural: 'ports',
  type: 'Port',
  table: 'ports',
  columns: {
    ...STANDARD,
    network_id: ['network_id', 'text'],
    mac_address: ['mac_address', 'text'],
    admin_state_up: ['admin_state_up', 'flag'],
    status: ['status', 'text'],
    device_id: ['device_id', 'text'],
    device_owner: ['device_owner', 'text'],
    dns_name: ['dns_name', 'text'],
    port_security_enabled: ['port_security', 'flag'],
    'binding:host_id': ['host', 'text'],
    'binding:vif_type': ['vif_type', 'text'],
    'binding:vnic_type': ['vnic_type', 'text'],
  },
  filters: {
    fixed_ips: (values) => (query) => {
      const wanted = values.map((value) => value.split(/[=:](.*)/s, 2) as [string, string])
      const of = (name: string) => wanted.filter(([key]) => key === name).map(([, value]) => value)
      const [subnets, addresses, parts] = [of('subnet_id'), of('ip_address'), of('ip_address_substr')]
      return query.where((eb) => {
        let holders: any = eb.selectFrom('allocations').select('port_id')
        if (subnets.length > 0) holders = holders.where('subnet_id', 'in', subnets)
        if (addresses.length > 0) holders = holders.where('address', 'in', addresses)
        for (const part of parts) holders = holders.where((inner: any) => inner(inner.fn('instr', ['address', inner.val(part)]), '>', 0))
        return eb('id', 'in', holders)
      })
    },
    security_groups: (values) => (query) =>
      query.where((eb) => eb('id', 'in', eb.selectFrom('port_security_groups').select('port_id').where('security_group_id', 'in', values))),
    ip_allocation: (values) => (query) => (values.includes('immediate') ? query : query.where('id', '=', '')),
  },
  visible: (projectId) => (query) =>
    query.where((eb) =>
      eb.or([
        eb('project_id', '=', projectId),
        eb('network_id', 'in', eb.selectFrom('networks').select('networks.id').where('networks.project_id', '=', projectId)),
      ]),
    ),
  dress: dressPorts,
}

export async function dressPorts(db: Handle, rows: PortRow[]): Promise<Port[]> {
  const ids = rows.map((row) => row.id)
  const ips = Map.groupBy(await rowsWhere(db, 'allocations', 'port_id', ids), (ip) => ip.port_id)
  const groups = Map.groupBy(await rowsWhere(db, 'port_security_groups', 'port_id', ids), (one) => one.port_id)
  const networks = await rowsWhere(
    db,
    'networks',
    'id',
    rows.map((row) => row.network_id),
  )
  const domains = new Map(networks.map((network) => [network.id, network.dns_domain]))
  return rows.map((row) => ({
    ...row,
    fixedIps: (ips.get(row.id) ?? [])
      .sort((a, b) => a.position - b.position)
      .map(({ subnet_id, address }) => ({ subnetId: subnet_id, address })),
    securityGroups: (groups.get(row.id) ?? []).map((one) => one.security_group_id).sort(),
    dnsDomain: domains.get(row.network_id) ?? '',
  }))
}

export const loadPorts = async (db: Handle, ids: string[]): Promise<Port[]> => await dressPorts(db, await rowsWhere(db, 'ports', 'id', ids))

export const loadPort = async (db: Handle, id: string): Promise<Port | undefined> => (await loadPorts(db, [id]))[0]

/** As the host file and the names of the guests have it. */
export const hostnameOf = (port: Pick<Port, 'dns_name'>, address: string) =>
  port.dns_name || `host-${address.replace(/[.:]+/g, '-').replace(/^-|-$/g, '')}`
