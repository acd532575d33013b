import type { Handle } from '../db/handle.ts'
import { hasSwitch } from './agents.ts'

/** How a port is plugged on a host: with the bridge between guest and switch on which the firewall sits. */
export async function vifTypeOn(db: Handle, host: string): Promise<string> {
  if (!host) return 'unbound'
  return (await hasSwitch(db, host)) ? 'ovs' : 'binding_failed'
}

export const vifDetails = (vifType: string): Record<string, unknown> =>
  vifType === 'ovs' ? { port_filter: true, ovs_hybrid_plug: true, bridge_name: 'br-int', datapath_type: 'system', connectivity: 'l2' } : {}
