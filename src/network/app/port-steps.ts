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

/** Steps 19, 22 and 23: what servers' new ports were given. */
export function recordPorts(context: NetworkContext, viewer: Viewer, ports: { port: Port; network: NetworkRow }[], ms: number): void {
  if (ports.length === 0) return
  const startedAt = now() - ms
  for (const { port, network } of ports) recordPort(viewer, port, network, { startedAt, ms })
  const ids = ports.flatMap(({ port }) => port.securityGroups)
  describeGroups(context, ids)
    .then((texts) => {
      for (const { port } of ports) {
        const text = port.securityGroups.flatMap((id) => texts.get(id) ?? []).join('; ') || withoutGroups(port)
        const evidence = { text, groups: port.securityGroups }
        recordOf(port, { step: 22, name: 'security-groups', requestId: viewer.requestId, startedAt, ms, evidence })
      }
    })
    .catch((error) => context.log.warn({ err: error }, 'the security groups of new ports could not be described'))
}

function recordPort({ requestId }: Viewer, port: Port, network: NetworkRow, { startedAt, ms }: { startedAt: number; ms: number }): void {
  recordOf(port, {
    step: 19,
    name: 'mac-address',
    requestId,
    startedAt,
    ms,
    evidence: { text: port.mac_address, macAddress: port.mac_address },
  })
  const address = port.fixedIps.map((ip) => ip.address).join(', ') || 'no address'
  recordOf(port, {
    step: 23,
    name: 'port',
    requestId,
    startedAt,
    ms,
    evidence: { text: `port ${port.id}, ${address} on ${network.name || network.id}`, networkId: network.id, fixedIps: port.fixedIps },
  })
}

const withoutGroups = (port: Port) => (port.port_security === 1 ? 'no group: nothing comes in or goes out' : 'not filtered')

async function describeGroups(context: NetworkContext, ids: string[]): Promise<Map<string, string>> {
  const { db } = context.database
  const groups = await groupNoun.dress(db, await rowsWhere(db, 'security_groups', 'id', ids), context)
  return new Map(groups.map((group) => [group.id, describeGroup(group)]))
}
