import { toJson } from '../../kernel/db/columns.ts'
import { badRequest, conflict } from '../../kernel/errors/errors.ts'
import type { Handle } from '../db/handle.ts'
import { rowsWhere } from '../db/rows.ts'
import type { PortRow } from '../db/tables.ts'
import { isMac, prefixOf } from './addresses.ts'
import { dnsName } from './dns-names.ts'
import type { AskedIp } from './ipam.ts'
import { missing } from './noun.ts'
import type { AddressPair, DhcpOption } from './port.ts'

export interface AskedPort {
  id?: string
  name?: string
  description?: string | null
  project_id?: string
  tags?: string[]
  network_id: string
  mac_address?: string
  admin_state_up?: boolean
  device_id?: string | null
  device_owner?: string | null
  fixed_ips?: AskedIp[] | null
  security_groups?: string[] | null
  allowed_address_pairs?: AddressPair[] | null
  extra_dhcp_opts?: DhcpOption[] | null
  port_security_enabled?: boolean
  dns_name?: string | null
  'binding:host_id'?: string | null
  'binding:vnic_type'?: string | null
  'binding:profile'?: Record<string, unknown> | null
}

/** The columns that a port's document fills without looking at anything else. @throws Fault 400 */
export function plainColumns(asked: Partial<AskedPort>, macAddress: string): Partial<PortRow> {
  return {
    ...(asked.admin_state_up !== undefined ? { admin_state_up: Number(asked.admin_state_up) } : {}),
    ...(asked.device_id !== undefined ? { device_id: asked.device_id ?? '' } : {}),
    ...(asked.device_owner !== undefined ? { device_owner: asked.device_owner ?? '' } : {}),
    ...(asked.port_security_enabled !== undefined ? { port_security: Number(asked.port_security_enabled) } : {}),
    ...(asked.dns_name !== undefined ? { dns_name: dnsName(asked.dns_name ?? '') } : {}),
    ...(asked['binding:vnic_type'] !== undefined ? { vnic_type: asked['binding:vnic_type'] ?? 'normal' } : {}),
    ...(asked['binding:profile'] !== undefined ? { profile: toJson(asked['binding:profile'] ?? {}) } : {}),
    ...(asked.allowed_address_pairs !== undefined
      ? { allowed_address_pairs: toJson(pairs(asked.allowed_address_pairs ?? [], macAddress)) }
      : {}),
    ...(asked.extra_dhcp_opts !== undefined ? { extra_dhcp_opts: toJson(options(asked.extra_dhcp_opts ?? [])) } : {}),
  }
}

function pairs(asked: AddressPair[], own: string): AddressPair[] {
  if (asked.length > 10) throw badRequest('The number of allowed address pairs exceeds the maximum 10.', 'AllowedAddressPairExhausted')
  const kept = asked.map(({ ip_address, mac_address = own }) => {
    if (!isMac(mac_address)) throw badRequest(`'${mac_address}' is not a valid MAC address`, 'HTTPBadRequest')
    const prefix = prefixOf(ip_address, 'IP address of an address pair')
    return { ip_address: ip_address.includes('/') ? prefix.text : prefix.text.split('/')[0]!, mac_address: mac_address.toLowerCase() }
  })
  const seen = new Set(kept.map((pair) => `${pair.ip_address} ${pair.mac_address}`))
  if (seen.size < kept.length) throw badRequest('Request contains duplicate address pair.', 'DuplicateAddressPairInRequest')
  return kept
}

function options(asked: DhcpOption[]): DhcpOption[] {
  return asked
    .filter((option) => option.opt_value !== null)
    .map(({ opt_name, opt_value, ip_version = 4 }) => {
      // what dnsmasq's files cannot say would stop the DHCP of the whole network
      if (!/^[a-z0-9-]{1,40}$/.test(opt_name) || !/^[\x20-\x7e]*$/.test(opt_value!) || /["\\]/.test(opt_value!))
        throw badRequest('Invalid data format for extra-dhcp-opt.', 'HTTPBadRequest')
      return { opt_name, opt_value, ip_version }
    })
}

/** What is filtered and what is not must fit together. @throws Fault 400, 409 */
export function checkSecurity(port: Pick<PortRow, 'port_security' | 'allowed_address_pairs'>, groups: string[]): void {
  if (port.port_security === 1) return
  if (groups.length > 0)
    throw badRequest(
      'Port security must be enabled and port must have an IP address in order to use security groups.',
      'PortSecurityAndIPRequiredForSecurityGroups',
    )
  if (port.allowed_address_pairs !== '[]')
    throw conflict('Port Security must be enabled in order to have allowed address pairs on a port.', 'AddressPairAndPortSecurityRequired')
}

export interface GroupWish {
  projectId: string
  asked: string[] | null | undefined
}

/** The groups as asked, or the project's default, for each. @throws Fault 404 for one of another project */
export async function groupsFor(db: Handle, wishes: GroupWish[], isAdmin: boolean): Promise<string[][]> {
  const named = await rowsWhere(
    db,
    'security_groups',
    'id',
    wishes.flatMap((one) => one.asked ?? []),
  )
  const projects = wishes.filter((one) => !one.asked).map((one) => one.projectId)
  const defaults = new Map((await rowsWhere(db, 'security_groups', 'default_of', projects)).map((group) => [group.default_of, group.id]))
  const groups = new Map(named.map((group) => [group.id, group]))
  return wishes.map(({ projectId, asked }) => {
    if (!asked) return [defaults.get(projectId) ?? []].flat()
    for (const id of asked)
      if (!groups.has(id) || !(isAdmin || groups.get(id)!.project_id === projectId)) throw missing({ type: 'Security group' }, id)
    return [...new Set(asked)]
  })
}
