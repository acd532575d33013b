import { randomBytes } from 'node:crypto'
import { toJson } from '../../kernel/db/columns.ts'
import type { PortRow } from '../db/tables.ts'
import { standard } from './standard.ts'

/** In the range that OpenStack's clouds use. */
export const newMac = (): string => `fa:16:3e:${[...randomBytes(3)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`

export interface NewPort {
  id?: string
  projectId: string
  networkId: string
  macAddress: string
  deviceId: string
  deviceOwner: string
  name?: string
  description?: string | null
  tags?: string[]
  host?: string
}

/** A port of the cloud's own; ports of others add to it. */
export function newPortRow(port: NewPort): PortRow {
  const host = port.host ?? ''
  return {
    ...standard(port, port.projectId),
    network_id: port.networkId,
    mac_address: port.macAddress,
    admin_state_up: 1,
    status: 'DOWN',
    device_id: port.deviceId,
    device_owner: port.deviceOwner,
    dns_name: '',
    port_security: 0,
    allowed_address_pairs: '[]',
    extra_dhcp_opts: '[]',
    host,
    vif_type: host ? 'ovs' : 'unbound',
    vnic_type: 'normal',
    profile: toJson({}),
    wired: 0,
    dhcp_ready: 0,
  }
}
