import type { Handle } from '../db/handle.ts'
import { withSwitch } from './agents.ts'

/** How ports are plugged on these hosts: with the bridge between guest and switch on which the firewall sits. */
export async function vifTypesOn(db: Handle, hosts: string[]): Promise<(host: string) => string> {
  const plugged = await withSwitch(db, hosts.filter(Boolean))
  return (host) => (host === '' ? 'unbound' : plugged.has(host) ? 'ovs' : 'binding_failed')
}

export const vifDetails = (vifType: string): Record<string, unknown> =>
  vifType === 'ovs' ? { port_filter: true, ovs_hybrid_plug: true, bridge_name: 'br-int', datapath_type: 'system', connectivity: 'l2' } : {}
