import { now, record, type StepRecord } from '../../kernel/trace/trace.ts'
import { rowsWhere } from '../db/rows.ts'
import type { NetworkRow } from '../db/tables.ts'
import type { NetworkContext, Viewer } from './context.ts'
import type { Port } from './port.ts'
import { describeGroup, groupNoun } from './security-groups.ts'

/** A step that happened to a port: joined by its server, when it has one. */
export function recordOf(port: { id: string; device_id: string }, step: Omit<StepRecord, 'subject' | 'service' | 'outcome'>): void {
  record({
    ...step,
    subject: `port:${port.id}`,
    service: 'network',
    outcome: 'done',
    evidence: { ...step.evidence, portId: port.id, serverId: port.device_id },
  })
}

/** Steps 19, 22 and 23: what a server's new port was given. */
export function recordPort(context: NetworkContext, viewer: Viewer, port: Port, network: NetworkRow, ms: number): void {
  const requestId = viewer.requestId
  const startedAt = now() - ms
  recordOf(port, {
    step: 19,
    name: 'mac-address',
    requestId,
    startedAt,
    ms,
    evidence: { text: port.mac_address, macAddress: port.mac_address },
  })
  const address = port.fixedIps.map((ip) => ip.address).join(', ') || 'no address'
  describeGroups(context, port)
    .then((text) =>
      recordOf(port, { step: 22, name: 'security-groups', requestId, startedAt, ms, evidence: { text, groups: port.securityGroups } }),
    )
    .catch((error) => context.log.warn({ err: error, port: port.id }, 'the security groups of a port could not be described'))
  recordOf(port, {
    step: 23,
    name: 'port',
    requestId,
    startedAt,
    ms,
    evidence: { text: `port ${port.id}, ${address} on ${network.name || network.id}`, networkId: network.id, fixedIps: port.fixedIps },
  })
}

async function describeGroups(context: NetworkContext, port: Port): Promise<string> {
  if (port.securityGroups.length === 0) return port.port_security === 1 ? 'no group: nothing comes in or goes out' : 'not filtered'
  const { db } = context.database
  const groups = await groupNoun.dress(db, await rowsWhere(db, 'security_groups', 'id', port.securityGroups), context)
  return groups.map(describeGroup).join('; ')
}
