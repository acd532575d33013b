import { badRequest } from '../../kernel/errors/errors.ts'
import { listAggregates, zoneOf, zoneOfHost } from './aggregate.ts'
import type { ComputeContext } from './context.ts'
import { listHosts } from './host.ts'
import type { NewServer } from './new-server.ts'

export interface Place {
  zone: string | null
  host: string | null
  node: string | null
}

/** `zone:host:node`, of which each part may be missing. */
export function parseZone(text: string | null): Place {
  const [zone, host, node, ...rest] = (text ?? '').split(':')
  if (rest.length > 0) throw badRequest(`Unable to parse availability zone ${text}: zone:host:node is its longest form.`, 'InvalidInput')
  return { zone: zone || null, host: host || null, node: node || null }
}

/** @throws Fault 400 for a zone or host that there is not */
export async function placeFor(context: ComputeContext, wanted: Pick<NewServer, 'zone' | 'host' | 'node'>): Promise<Place> {
  const parsed = parseZone(wanted.zone)
  const place = { zone: parsed.zone, host: wanted.host ?? parsed.host, node: wanted.node ?? parsed.node }
  if (!place.zone && !place.host && !place.node) return place
  const hosts = await listHosts(context)
  if (place.host && !hosts.some((one) => one.host === place.host))
    throw badRequest(`Compute host ${place.host} could not be found.`, 'ComputeHostNotFound')
  if (place.node && !hosts.some((one) => one.state.hypervisorHostname === place.node))
    throw badRequest(`Compute host ${place.node} could not be found.`, 'ComputeHostNotFound')
  if (place.zone && !place.host && !(await zoneNames(context)).includes(place.zone))
    throw badRequest(`The requested availability zone is not available: there is no zone ${place.zone}.`, 'AvailabilityZoneNotAvailable')
  return place.host || place.node ? { ...place, zone: null } : place
}

export async function zoneNames(context: ComputeContext): Promise<string[]> {
  const aggregates = await listAggregates(context.database.db)
  return [...new Set([context.settings.defaultZone, ...aggregates.flatMap((one) => zoneOf(one) ?? [])])]
}

export async function zoneNameOf({ database, settings }: ComputeContext, host: string): Promise<string> {
  return zoneOfHost(await listAggregates(database.db), host, settings.defaultZone)
}
